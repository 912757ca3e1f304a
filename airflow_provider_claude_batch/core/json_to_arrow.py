"""JSON objects in memory to one record batch, in the thread that asks for it."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.json as pj


def one_batch(objects: bytes | pa.Buffer, options: pj.ParseOptions) -> pa.RecordBatch:
    """
    Read JSON objects that stand one after the other.

    Arrow's reader of whole tables starts a thread for each call, which for some megabytes is a part of the
    work; its reader of streams does not.

    :param objects: At least one.
    :raises pyarrow.ArrowInvalid: Arrow cannot read them.
    """
    block_size = len(objects) + 1
    stream = pj.open_json(
        pa.BufferReader(objects),
        read_options=pj.ReadOptions(use_threads=False, block_size=block_size),
        parse_options=options,
    )
    return stream.read_next_batch()
