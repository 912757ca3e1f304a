"""What holds of every request, whatever the rows, the template and the cutting are."""

import json
import re

import pyarrow as pa
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from airflow_provider_claude_batch.core.custom_ids import parse_custom_id
from airflow_provider_claude_batch.core.limits import CUSTOM_ID_PATTERN
from airflow_provider_claude_batch.core.lines import lines_to_chunks
from airflow_provider_claude_batch.core.request_template import build_params, compile_request
from airflow_provider_claude_batch.core.requests_to_shards import BODY_END, BODY_START, ShardCutter
from airflow_provider_claude_batch.core.rows_to_requests import RowsToRequests, rows_to_requests
from airflow_provider_claude_batch.errors import RowTemplateError

IDENTITY = "0123456789abcdef"
HOSTILE = [
    '"',
    "\\",
    "\\u0000",
    "\x00",
    "\x01\x1f\x7f",
    "\r\n\u2028\u2029",
    "\u202e\u05d0\u0661",
    "\U0001f600\U0010ffff",
    "\ud7ff\ufffe\ufeff",
    "e\u0301",
    "{{ conn.x.password }} {% if %} {# #}",
    '{"a": {"b": []}}',
    "{ body }",
    "{1}",
    "{}",
    "{",
    "}",
    "%s %(body)s $body",
]
texts = st.lists(st.sampled_from(HOSTILE) | st.text(max_size=5), max_size=5).map("".join)
# A colon would make a format spec of what follows, which has tests of its own.
literals = texts.map(lambda text: text.replace(":", ""))
templates = st.lists(literals | st.sampled_from(["{body}", "{id}"]), max_size=6).map("".join)


def encode(rows, *, template, first_row=0, samples_per_row=1, custom_id_from=None):
    params = build_params(
        model="m",
        max_tokens=9,
        messages=[{"role": "user", "content": f"> {template}"}],
        system=None,
        output_format=None,
        request_params={},
    )
    how = RowsToRequests(
        identity=IDENTITY,
        template=compile_request(params, columns=rows.schema.names),
        key=("id",),
        passthrough=(),
        digest_context=b"",
        samples_per_row=samples_per_row,
        custom_id_from=custom_id_from,
    )
    return rows_to_requests(rows, how, first_row=first_row).requests


def rows_of(bodies, *, first=0):
    ids = range(first, first + len(bodies))
    return pa.RecordBatch.from_pydict(
        {"id": pa.array(ids, pa.int64()), "body": pa.array(bodies, pa.string())}
    )


def slowly_filled(template: str, values: dict[str, str]) -> str:
    """Fill a template letter by letter."""
    filled, position = "", 0
    while position < len(template):
        for name, value in values.items():
            if template.startswith("{" + name + "}", position):
                filled += value
                position += len(name) + 2
                break
        else:
            filled += template[position]
            position += 1
    return filled


@settings(max_examples=500, deadline=None)
@given(templates, st.lists(texts, min_size=1, max_size=4))
def test_a_filled_template_is_what_the_slow_way_makes_of_it(template, bodies):
    try:
        requests = encode(rows_of(bodies), template=template)
    except RowTemplateError:  # letters and braces met, and named a column that is not there
        assume(False)
    for number, (request, body) in enumerate(zip(requests, bodies, strict=True)):
        content = json.loads(request)["params"]["messages"][0]["content"]
        assert content == slowly_filled(f"> {template}", {"body": body, "id": str(number)})


@settings(deadline=None)
@given(st.lists(texts, min_size=1, max_size=4))
def test_a_request_is_one_line_of_compact_utf_8(bodies):
    for request in encode(rows_of(bodies), template="{body}"):
        assert b"\n" not in request
        compact = json.dumps(json.loads(request), ensure_ascii=False, separators=(",", ":"))
        assert json.loads(request.decode()) == json.loads(compact)
        assert request == compact.encode()


@settings(deadline=None)
@given(
    st.lists(st.lists(texts, max_size=4), max_size=5),
    st.integers(1, 3),
    st.integers(1, 5),
    st.integers(700, 1500),
)
def test_rows_become_shards_without_a_loss_in_order_and_within_both_limits(
    chunks, samples, max_requests, max_bytes
):
    cutter = ShardCutter(max_requests=max_requests, max_bytes=max_bytes)
    shards: dict[int, list[bytes]] = {}
    first_row = 0
    for bodies in chunks:
        rows = rows_of(bodies, first=first_row)
        requests = encode(rows, template="{body}", first_row=first_row, samples_per_row=samples)
        assume(all(len(request) < max_bytes - 20 for request in requests))
        for part in cutter.cut([len(request) for request in requests]):
            shards.setdefault(part.shard_index, []).extend(requests[part.start : part.stop])
        first_row += len(bodies)
    sent = []
    for requests in shards.values():
        body = b"".join(lines_to_chunks([b"\n".join(requests) + b"\n"], start=BODY_START, end=BODY_END))
        assert len(requests) <= max_requests
        assert len(body) <= max_bytes
        sent += json.loads(body)["requests"]
    contents = [request["params"]["messages"][0]["content"] for request in sent]
    assert contents == [f"> {body}" for bodies in chunks for body in bodies for _ in range(samples)]
    ids = [request["custom_id"] for request in sent]
    assert [parse_custom_id(custom_id) for custom_id in ids] == [(IDENTITY, i) for i in range(len(ids))]


@settings(deadline=None)
@given(
    st.lists(st.from_regex(r"[A-Za-z0-9_-]{0,36}", fullmatch=True).filter(bool), min_size=1, max_size=6),
    st.integers(1, 3),
    st.integers(0, 10**9),
)
def test_no_two_requests_have_the_same_custom_id_whatever_stands_in_front(values, samples, first_row):
    requests = encode(
        rows_of(values),
        template="x",
        first_row=first_row,
        samples_per_row=samples,
        custom_id_from="body",
    )
    ids = [json.loads(request)["custom_id"] for request in requests]
    assert len(set(ids)) == len(values) * samples
    assert all(re.fullmatch(CUSTOM_ID_PATTERN, custom_id) for custom_id in ids)
    first = first_row * samples
    assert [parse_custom_id(custom_id) for custom_id in ids] == [
        (IDENTITY, first + i) for i in range(len(ids))
    ]
