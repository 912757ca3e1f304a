"""The rows that are measured: an id and a text of mixed scripts, each of an exact size in UTF-8."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SCHEMA = pa.schema([("id", pa.int64()), ("body", pa.string())])

#: Rows of one record batch, as the sources hand them over.
BATCH_ROWS = 8192

_TEXT = (
    "the of and a to in is it was for on that with as at by this but from they have not are one had which "
    "delivery arrived late package broken refund customer service great quality price would recommend again "
    "never battery screen colour size fits perfectly returned disappointed excellent value money shipping "
    'naïve café Straße größer façade crème brûlée Ærø żółć "quoted" \\back/slash\\ 50% {braces} <b>bold</b> '
    "привет качество доставка хорошо очень спасибо جودة ممتازة שירות טוב मूल्य अच्छा 品質 配送 とても良い "
    "재구매 의사 있음 👍 🚚 😀 line\nbreak tab\tstop"
)
_LETTERS = "etaoinshrdlcumwfgypbvk"
_MADE_UP_WORDS = 8_000
_PHRASES = 40_000
_WORDS_IN_PHRASE = 12
_MEAN_PHRASE_BYTES = 75


def write_rows(path: Path, *, rows: int, text_bytes: int) -> None:
    """
    Write ``rows`` rows as an Arrow stream; the same in every run.

    Phrases of words drawn by Zipf's law, joined at random: zstd leaves about a third, as of real text.

    :param text_bytes: UTF-8 bytes of each text.
    """
    random = np.random.default_rng(4)
    made_up = [
        "".join(random.choice(list(_LETTERS), length)) for length in random.integers(2, 10, _MADE_UP_WORDS)
    ]
    words = np.concatenate([random.permutation(_TEXT.split(" ")), made_up])
    weights = 1 / np.arange(10, 10 + len(words))
    drawn = random.choice(words, size=(_PHRASES, _WORDS_IN_PHRASE), p=weights / weights.sum())
    phrases = [" ".join(phrase).encode() for phrase in drawn]
    with pa.OSFile(str(path), "wb") as file, pa.ipc.new_stream(file, SCHEMA) as stream:
        for start in range(0, rows, BATCH_ROWS):
            ids = range(start, min(start + BATCH_ROWS, rows))
            picks = random.integers(_PHRASES, size=(len(ids), 2 + text_bytes // (_MEAN_PHRASE_BYTES // 2)))
            texts = [_exactly(text_bytes, [phrases[pick] for pick in row]) for row in picks]
            stream.write_batch(pa.record_batch([pa.array(ids, pa.int64()), pa.array(texts)], schema=SCHEMA))


def _exactly(size: int, phrases: list[bytes]) -> str:
    text = b" ".join(phrases)[:size].decode(errors="ignore")
    return text + "." * (size - len(text.encode()))


def read_rows(path: Path) -> Iterator[pa.RecordBatch]:
    """Yield the record batches of a file of :func:`write_rows`, one in memory at a time."""
    with pa.OSFile(str(path), "rb") as file:
        yield from pa.ipc.open_stream(file)
