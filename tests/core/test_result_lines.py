import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_provider_claude_batch.core.lines import chunks_to_blocks
from airflow_provider_claude_batch.core.result_blocks_to_arrow import (
    UnreadableBlockError,
    block_to_arrow,
    content_texts,
    read_at_once,
    read_line_by_line,
)
from airflow_provider_claude_batch.core.result_lines import repaired_line
from tests.core import wire_lines

RANDOM = st.randoms(use_true_random=True)


def lines_of(rnd):
    return [wire_lines.line(rnd) for _ in range(rnd.randrange(1, 6))]


def rows_of(read):
    return [json.dumps(row, sort_keys=True, allow_nan=False) for row in read.to_pylist()]


@settings(max_examples=500)
@given(RANDOM)
def test_a_block_that_is_read_at_once_says_what_its_lines_say(rnd):
    block = b"".join(line + b"\n" for line in lines_of(rnd))
    at_once = read_at_once(block)
    if at_once is not None:
        assert rows_of(at_once) == rows_of(read_line_by_line(block))


@settings(max_examples=200)
@given(RANDOM)
def test_what_a_line_becomes_does_not_depend_on_its_neighbours(rnd):
    def alone(line):
        try:
            return block_to_arrow(line + b"\n").to_pylist()
        except UnreadableBlockError:
            return None

    lines = lines_of(rnd)
    each = [alone(line) for line in lines]
    block = b"".join(line + b"\n" for line in lines)
    if None in each:
        with pytest.raises(UnreadableBlockError) as caught:
            block_to_arrow(block)
        assert caught.value.line == each.index(None)
    else:
        assert block_to_arrow(block).to_pylist() == [rows[0] for rows in each]


@given(RANDOM)
def test_a_line_reads_the_same_by_msgspec_and_by_json(rnd):
    line = json.dumps(wire_lines.entry(rnd)).encode()
    only_by_json = line[:-1] + b', "unused": "\\ud800"}'
    assert repaired_line(only_by_json, is_whole=True) == repaired_line(line, is_whole=True)


@given(st.lists(st.binary(max_size=9).map(lambda line: line.replace(b"\n", b"")), max_size=9), st.data())
def test_blocks_are_whole_lines_and_the_same_however_the_stream_was_cut(lines, data):
    stream = b"".join(line + b"\n" for line in lines) + data.draw(st.sampled_from([b"", b"tail"]))
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=6)))
    chunks = [stream[a:b] for a, b in zip([0, *cuts], [*cuts, len(stream)], strict=True)]
    size = data.draw(st.integers(1, 20))
    blocks = list(chunks_to_blocks(chunks, block_bytes=size))
    assert b"".join(blocks) == stream
    assert all(block.endswith(b"\n") and size <= len(block) for block in blocks[:-1])
    assert all(len(block[: block[:-1].rfind(b"\n") + 1]) < size for block in blocks)
    assert blocks == list(chunks_to_blocks([stream], block_bytes=size))


def one(line):
    return block_to_arrow(line + b"\n").to_pylist()[0]


def test_a_line_that_is_no_json_is_counted_and_keeps_its_id():
    row = one(b'{"custom_id":"a-1","result":{"type":"succ')
    assert (row["custom_id"], row["outcome"], row["error_type"]) == ("a-1", "errored", "unreadable_result")


def test_a_last_line_that_was_cut_is_not_a_result():
    with pytest.raises(UnreadableBlockError) as caught:
        block_to_arrow(b'{"custom_id":"a-1","result":{"type":"expired"}}\n{"custom_id":"a-2","result":{"ty')
    assert caught.value.line == 1


def test_a_succeeded_line_without_a_message_is_counted_as_unreadable():
    row = one(b'{"custom_id":"a","result":{"type":"succeeded","message":"?"}}')
    assert (row["result_type"], row["outcome"], row["error_type"]) == (
        "succeeded",
        "errored",
        "unreadable_result",
    )


def test_a_result_type_that_is_not_known_is_kept_and_errored():
    row = one(b'{"custom_id":"a","result":{"type":"paused"}}')
    assert (row["result_type"], row["outcome"], row["error_type"]) == (
        "paused",
        "errored",
        "unknown_result_type",
    )


def test_empty_lines_do_not_count():
    line = b'{"custom_id":"a","result":{"type":"expired"}}'
    assert block_to_arrow(b"\n" + line + b"\n\n" + line + b"\r\n").num_rows == 2
    assert block_to_arrow(b"\n\n").num_rows == 0


@pytest.mark.parametrize("first", [b"null", b"[1]", b"7", b'"x"', b"\xef\xbb\xbf"])
def test_a_block_that_begins_with_no_object_is_no_result(first):
    with pytest.raises(UnreadableBlockError):
        block_to_arrow(first + b"\n" + b'{"custom_id":"a","result":{"type":"expired"}}\n')


def test_an_odd_line_in_a_large_block_leaves_the_others_as_they_are():
    lines = [b'{"custom_id":"a-%d","result":{"type":"expired"}}' % number for number in range(5_000)]
    odd = b'{"custom_id":"a-4000","result":{"type":"exp\\ud800ired"}}'
    rows = block_to_arrow(b"\n".join([*lines[:4_000], odd, *lines[4_001:]]))
    assert rows["custom_id"].to_pylist() == [f"a-{number}" for number in range(5_000)]
    assert [row for row in range(5_000) if rows["outcome"][row].as_py() != "expired"] == [4_000]


def test_a_nesting_that_no_reader_follows_is_kept_as_unreadable():
    deep = b'{"custom_id":"a","result":{"type":"succeeded","message":' + b"[" * 100_000
    assert one(deep)["error_type"] == "unreadable_result"


@given(RANDOM)
def test_content_is_kept_as_json_as_it_came(rnd):
    content = wire_lines.any_json(rnd, depth=4)
    entry = {"custom_id": "a", "result": {"type": "succeeded", "message": {"content": content}}}
    text = content_texts(json.dumps(entry).encode() + b"\n")[0].as_py()
    without_nan = json.loads(json.dumps(content), parse_constant=lambda _: None)
    assert (text is None) == (content is None)
    assert text is None or json.loads(text) == without_nan


def test_content_of_a_line_without_an_answer_is_null():
    assert content_texts(b'{"custom_id":"a","result":{"type":"expired"}}\n').to_pylist() == [None]


def test_content_with_a_lone_surrogate_is_valid_unicode():
    line = b'{"custom_id":"a","result":{"message":{"content":[{"type":"text","text":"a\\ud800"}]}}}'
    assert json.loads(content_texts(line)[0].as_py()) == [{"type": "text", "text": "a\ufffd"}]
