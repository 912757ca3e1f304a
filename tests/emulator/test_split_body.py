from __future__ import annotations

import json
from io import BytesIO
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_provider_claude_batch.emulator.errors import ApiError
from airflow_provider_claude_batch.emulator.split_body import BodySplitter

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["custom_id", "params", "x", '},{"']), inner)
    ),
    max_leaves=8,
)
all_params = st.lists(st.dictionaries(st.text(max_size=5), json_values, max_size=3), min_size=1, max_size=6)


def split(body: bytes, piece_bytes: int, max_requests: int = 100) -> list[dict[str, object]]:
    with TemporaryDirectory() as name:
        splitter = BodySplitter(Path(name), max_requests)
        for start in range(0, len(body), piece_bytes):
            splitter.feed(body[start : start + piece_bytes])
        splitter.close()
        assert {path.name for path in Path(name).iterdir()} == {"requests.jsonl"}
        return [json.loads(line) for line in BytesIO((Path(name) / "requests.jsonl").read_bytes())]


def entries(params: list[dict[str, object]]) -> list[dict[str, object]]:
    return [{"custom_id": f"row-{number}", "params": one} for number, one in enumerate(params)]


@settings(deadline=None)
@given(
    all_params,
    st.integers(1, 50),
    st.sampled_from([(",", ":"), (", ", ": ")]),
    st.sampled_from([None, 1]),
    st.booleans(),
)
def test_however_a_body_is_written_and_arrives_its_requests_are_those_of_one_parse(
    params, piece_bytes, separators, indent, ensure_ascii
):
    requests = entries(params)
    body = json.dumps({"requests": requests}, separators=separators, indent=indent, ensure_ascii=ensure_ascii)
    assert split(body.encode("utf-8", "surrogatepass"), piece_bytes) == requests


def test_a_request_that_holds_the_text_of_another_is_one_request():
    inner = {"messages": [{"custom_id": "a", "params": {}}, {"custom_id": "b", "params": {}}]}
    requests = entries([{"x": 1}, inner, {"x": '},{"custom_id":"c"'}])
    assert split(json.dumps({"requests": requests}, separators=(",", ":")).encode(), 7) == requests


def test_a_line_break_between_two_values_does_not_break_a_line():
    body = b'{"requests":[{"custom_id":"a",\n"params":{}},{"custom_id":"b","params":\r\n{}}]}'
    assert split(body, 10) == [{"custom_id": "a", "params": {}}, {"custom_id": "b", "params": {}}]


def test_params_may_come_before_the_custom_id():
    requests = [{"params": {"x": 1}, "custom_id": "a"}, {"params": {"x": 2}, "custom_id": "b"}]
    assert split(json.dumps({"requests": requests}).encode(), 10) == requests


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"", "The request body is not valid JSON"),
        (b'{"requests":[{"custom_id":"a","params":{}}', "The request body is not valid JSON"),
        (b'{"requests":[{"custom_id":"a","params":{}}]}}', "The request body is not valid JSON"),
        (
            b'{"requests":[{"custom_id":"a","params":{"x":[1,}},{"custom_id":"b","params":{}}]}',
            "not valid JSON",
        ),
        (b'{"requests":[{"custom_id":"a","params":{"x":"\\ud800"}}]}', "The request body is not valid JSON"),
        (b"[]", "Input should be a valid dictionary"),
        (b"{}", "requests: Field required"),
        (b'{"requests":{}}', "requests: Input should be a valid list"),
        (b'{"requests":[]}', "requests: List should have at least 1 item after validation, not 0"),
        (b'{"requests":[{"custom_id":"a","params":{}}],"x":1}', "x: Extra inputs are not permitted"),
        (b'{"requests":[{"custom_id":"a"}]}', "requests.0.params: Field required"),
        (b'{"requests":[{"params":{}}]}', "requests.0.custom_id: Field required"),
        (
            b'{"requests":[{"custom_id":1,"params":{}}]}',
            "requests.0.custom_id: Input should be a valid string",
        ),
        (
            b'{"requests":[{"custom_id":"a","params":[]}]}',
            "requests.0.params: Input should be a valid dictionary",
        ),
        (
            b'{"requests":[{"custom_id":"a","params":{},"x":1}]}',
            "requests.0.x: Extra inputs are not permitted",
        ),
        (
            b'{"requests":[{"custom_id":"a","params":{}},{"custom_id":"b c","params":{}},{"custom_id":"d"}]}',
            "requests.1.custom_id: String should match pattern '^[a-zA-Z0-9_-]{1,64}$'",
        ),
        (
            b'{"requests":[{"custom_id":"a","params":{}},{"custom_id":"a","params":{}}]}',
            "requests.1.custom_id: custom_id must be unique",
        ),
    ],
)
@pytest.mark.parametrize("piece_bytes", [1, 10, 1000])
def test_a_wrong_body_is_refused_with_the_first_thing_that_is_wrong(body, message, piece_bytes):
    with pytest.raises(ApiError, match=r".") as caught:
        split(body, piece_bytes)
    assert caught.value.status == 400
    assert message in caught.value.message


def test_one_request_too_many_is_refused():
    body = json.dumps({"requests": entries([{}] * 4)}, separators=(",", ":")).encode()
    assert len(split(body, 20, max_requests=4)) == 4
    with pytest.raises(ApiError, match=r"at most 3 items after validation, not 4"):
        split(body, 20, max_requests=3)
