import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_claude_batch.core.lines import chunks_to_lines, lines_to_chunks
from airflow_provider_claude_batch.core.requests_to_shards import (
    BODY_END,
    BODY_START,
    ShardCutter,
    body_bytes,
)

#: A size of 0 is a row that is not sent.
sizes_in_chunks = st.lists(st.lists(st.integers(0, 60), max_size=8), max_size=8)


def cut_all(chunks, *, max_requests, max_bytes):
    cutter = ShardCutter(max_requests=max_requests, max_bytes=max_bytes)
    placed = []
    for chunk in chunks:
        covered = 0
        for part in cutter.cut(chunk):
            assert part.start == covered
            covered = part.stop
            placed += [(part.shard_index, size) for size in chunk[part.start : part.stop]]
        assert covered == len(chunk)
    return placed


@given(sizes_in_chunks, st.integers(1, 7), st.integers(80, 130))
def test_shards_keep_every_request_in_order_within_both_limits(chunks, max_requests, max_bytes):
    placed = cut_all(chunks, max_requests=max_requests, max_bytes=max_bytes)
    assert [size for _, size in placed] == [size for chunk in chunks for size in chunk]
    indexes = [index for index, _ in placed]
    assert indexes == sorted(indexes)
    for index in set(indexes):
        shard = [size for at, size in placed if at == index and size]
        assert len(shard) <= max_requests
        assert not shard or body_bytes(len(shard), sum(shard)) <= max_bytes


@given(sizes_in_chunks, st.integers(1, 7))
def test_a_shard_is_filled_before_the_next_begins(chunks, max_requests):
    placed = cut_all(chunks, max_requests=max_requests, max_bytes=10_000)
    sent = [index for index, size in placed if size]
    assert sent == [i // max_requests for i in range(len(sent))]


def test_a_request_that_fits_no_shard_is_not_cut():
    with pytest.raises(ValueError, match="does not fit"):
        list(ShardCutter(max_bytes=50).cut([60]))


@given(st.lists(st.binary(min_size=1).map(bytes.hex).map(str.encode), min_size=1), st.integers(1, 9))
def test_the_body_has_exactly_the_planned_size(requests, chunk_bytes):
    file = b"\n".join(requests) + b"\n"
    chunks = [file[i : i + chunk_bytes] for i in range(0, len(file), chunk_bytes)]
    body = b"".join(lines_to_chunks(chunks, start=BODY_START, end=BODY_END))
    assert body == BODY_START + b",".join(requests) + BODY_END
    assert len(body) == body_bytes(len(requests), sum(map(len, requests)))


@given(st.lists(st.text("ab\r", min_size=1).map(str.encode)), st.integers(1, 9), st.booleans())
def test_lines_do_not_depend_on_where_the_stream_was_cut(lines, chunk_bytes, ended):
    stream = b"\n".join(lines) + (b"\n" if ended else b"")
    chunks = [stream[i : i + chunk_bytes] for i in range(0, len(stream), chunk_bytes)]
    assert list(chunks_to_lines(chunks)) == lines
