"""Bytes as they arrive from the network to whole lines. Imports nothing of ours."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator


def chunks_to_lines(chunks: Iterable[bytes]) -> Iterator[bytes]:
    r"""
    Cut a stream of bytes at ``\n`` and leave out empty lines.

    Lazy: one chunk and one unfinished line are in memory. What follows the last line end is a line too;
    whether it is a whole one is for the reader of the line to find out.

    :param chunks: Bytes in order, cut anywhere.
    """
    unfinished: list[bytes] = []
    for chunk in chunks:
        *finished, tail = chunk.split(b"\n")
        if finished:
            unfinished.append(finished[0])
            if line := b"".join(unfinished):
                yield line
            unfinished = []
            yield from filter(None, finished[1:])
        if tail:
            unfinished.append(tail)
    if line := b"".join(unfinished):
        yield line


def chunks_to_blocks(chunks: Iterable[bytes], *, block_bytes: int) -> Iterator[bytes]:
    r"""
    Gather a stream of bytes into blocks of whole lines, each line with its ``\n``.

    Lazy: one block is in memory. What follows the last line end is in the last block. Where the bytes were
    cut on the way makes no difference.

    :param chunks: Bytes in order, cut anywhere.
    :param block_bytes: A block ends with the first line end that makes it so long, or longer.
    """
    gathered: list[bytes] = []
    size = 0
    for chunk in chunks:
        start = 0
        while end := chunk.find(b"\n", start + max(block_bytes - size - 1, 0)) + 1:
            yield b"".join((*gathered, chunk[start:end]))
            start, gathered, size = end, [], 0
        gathered.append(chunk[start:])
        size += len(chunk) - start
    if last := b"".join(gathered):
        yield last


def lines_to_chunks(chunks: Iterable[bytes], *, start: bytes, end: bytes) -> Iterator[bytes]:
    r"""
    Turn a stream of JSON lines, each ended by ``\n``, into one JSON array's bytes without holding it.

    Compact JSON holds no line end of its own, so every ``\n`` but the last is where a comma belongs.

    :param chunks: The lines, cut anywhere.
    :param start: What stands before the first line.
    :param end: What stands after the last one.
    """
    held = b""
    yield start
    for chunk in chunks:
        with_commas = held + chunk.replace(b"\n", b",")
        held = with_commas[-1:]
        if with_commas[:-1]:
            yield with_commas[:-1]
    if held and held != b",":
        yield held
    yield end
