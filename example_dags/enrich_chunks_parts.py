"""
What the Dag ``enrich_chunks`` does with texts and vectors: cut, embed, index, search.

No Airflow here: values, files and DuckDB. Whatever takes long to import is imported inside functions.
"""

from __future__ import annotations

import hashlib
import re
import zlib
from contextlib import closing, suppress
from functools import cache
from itertools import islice
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from pathlib import Path

    import duckdb
    import numpy as np
    from numpy.typing import NDArray

    Embed = Callable[[list[str]], NDArray[np.float32]]

#: Length of a vector. Another embedding model has another one.
DIMENSIONS = 256

#: Chunks that are in memory at once.
SLICE = 1000

_PARAGRAPH = re.compile(r".+?(?:\n[ \t]*\n\s*|\Z)", re.DOTALL)
_UNDERLINE = re.compile(r"^[ \t]*([-*=~^\"#])\1{2,}[ \t]*\n?", re.MULTILINE)

_INDEX = f"""
create table chunks (
    document varchar, ordinal integer, digest varchar, title varchar, text varchar,
    summary varchar, questions varchar[], topics varchar[], model varchar, embedding float[{DIMENSIONS}],
    primary key (document, ordinal)
)
"""

_ENRICHED = f"""
create temp table enriched as
select document, digest, summary, questions, topics, claude_model as model,
    null::float[{DIMENSIONS}] as embedding
from read_parquet($answers)
where claude_outcome = 'ok'
"""  # noqa: S608  a number

_KEPT = """
insert into enriched
select distinct on (document, digest) document, digest, summary, questions, topics, model, embedding
from was.chunks
where (document, digest) not in (select (document, digest) from enriched)
"""

_WANTED = """
create temp table wanted as
select document, ordinal, digest, title, text, summary, questions, topics, model, embedding
from read_parquet($chunks)
join (select distinct on (document, digest) * from enriched) using (document, digest)
"""

_NOT_EMBEDDED = f"""
select document, ordinal, concat_ws(chr(10), title, summary, array_to_string(questions[:-2], chr(10)), text)
from wanted
where embedding is null
limit {SLICE}
"""  # noqa: S608  a number

_LAST_QUESTIONS = """
select document, ordinal, questions[-1]
from chunks
where len(questions) > 0
order by digest
limit $questions
"""

_NEAREST = f"""
select document, ordinal
from chunks
order by array_cosine_distance(embedding, $question::float[{DIMENSIONS}])
limit $k
"""  # noqa: S608  a number


@cache
def _projection() -> tuple[Any, Any]:
    from sklearn.feature_extraction.text import HashingVectorizer
    from sklearn.random_projection import SparseRandomProjection

    hashing = HashingVectorizer(analyzer="char_wb", ngram_range=(3, 5), n_features=1 << 15)
    projection = SparseRandomProjection(DIMENSIONS, dense_output=True, random_state=0)
    return hashing, projection.fit(hashing.transform([""]))


def embed(texts: list[str]) -> NDArray[np.float32]:
    """
    Return one vector of ``DIMENSIONS`` for each text: what its letters are, and nothing of what it means.

    **Your own embedding model goes here**: anything that takes texts and returns as many vectors. This one
    needs no model and no network, and is the same everywhere: hashed n-grams, projected at random.
    """
    import numpy as np

    hashing, projection = _projection()
    return np.asarray(projection.transform(hashing.transform(texts)), dtype=np.float32)


def cut(text: str, *, size: int) -> Iterator[str]:
    """
    Cut a text between its paragraphs into pieces of at most ``size`` characters.

    From half the size on, what a paragraph says decides whether a piece begins with it, not what came before:
    a change moves the cuts near it, and further on the pieces stay what they were. Underlines of headings are
    left out.
    """
    piece = ""
    for part in _parts(_UNDERLINE.sub("", text), size):
        begins_one = len(piece) >= size // 2 and zlib.crc32(part.encode()) % 3 == 0
        if piece.strip() and (begins_one or len(piece) + len(part) > size):
            yield piece.strip()
            piece = ""
        piece += part
    if piece.strip():
        yield piece.strip()


def _parts(text: str, size: int) -> Iterator[str]:
    """Yield paragraphs; of those that are too long the lines; of lines that are too long pieces."""
    for paragraph in _PARAGRAPH.findall(text):
        for part in [paragraph] if len(paragraph) <= size else paragraph.splitlines(keepends=True):
            yield from (part[start : start + size] for start in range(0, len(part), size))


def to_chunks(documents: Iterable[dict[str, str]], *, size: int) -> Iterator[dict[str, Any]]:
    """Yield the chunks of documents with ``document``, ``title`` and ``text``, in order."""
    for row in documents:
        for ordinal, text in enumerate(cut(row["text"], size=size)):
            digest = hashlib.sha256(text.encode()).hexdigest()[:16]
            chunk = {"document": row["document"], "ordinal": ordinal, "digest": digest}
            yield {**chunk, "title": row["title"], "text": text}


def write_chunks(path: Path, chunks: Iterable[dict[str, Any]], *, known: set[tuple[str, str]]) -> list[int]:
    """
    Replace the Parquet file at ``path`` by these chunks, each with ``is_new``.

    :param known: Document and digest of the chunks that need not be asked about.
    :return: How many there are, and how many of them are new.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    texts = ("document", "digest", "title", "text")
    schema = pa.schema(
        [*((name, pa.string()) for name in texts), ("ordinal", pa.int32()), ("is_new", pa.bool_())]
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    written, new = path.with_name(path.name + ".new"), 0
    rows = ({**chunk, "is_new": (chunk["document"], chunk["digest"]) not in known} for chunk in chunks)
    with pq.ParquetWriter(written, schema) as writer:
        while some := list(islice(rows, SLICE)):
            writer.write_table(pa.Table.from_pylist(some, schema))
            new += sum(row["is_new"] for row in some)
    written.replace(path)
    return [pq.read_metadata(path).num_rows, new]


def known_chunks(index: Path) -> set[tuple[str, str]]:
    """Return document and digest of what is in the index; nothing where there is none."""
    if not index.exists():
        return set()
    with closing(_open(index, read_only=True)) as database:
        return set(database.execute("select document, digest from chunks").fetchall())


def build_index(
    index: Path, *, chunks: Path, answers: list[Path], former: Path | None, embed: Embed = embed
) -> list[int]:
    """
    Make an index of all chunks that have an answer, in this run or in the former index.

    It is written anew and beside the one in use, so that nobody reads half of it and chunks that are gone
    leave nothing behind; only what was answered in this run is embedded. The last question of a chunk stays
    out of its vector: with that the search is examined.

    :param answers: Parquet files of what was answered in this run.
    :param former: The index in use, which need not be there; ``None`` for taking nothing from it.
    :return: Rows of the index, and how many of them were embedded.
    """
    # What a try left that was killed.
    for path in (index, index.with_name(f"{index.name}.wal")):
        path.unlink(missing_ok=True)
    with closing(_open(index)) as database:
        database.execute(_INDEX)
        database.execute(_ENRICHED, {"answers": [str(file) for file in answers]})
        if former is not None and former.exists():
            _keep_what_was(database, former)
        database.execute(_WANTED, {"chunks": str(chunks)})
        embedded = _embed_new(database, embed)
        database.execute("insert into chunks from wanted")
        _add_hnsw(database)
        rows = database.execute("select count(*) from chunks").fetchall()[0][0]
    return [rows, embedded]


def recall(index: Path, *, k: int, questions: int, embed: Embed = embed) -> list[int]:
    """
    Ask the index the last question of some chunks, which their vectors have not seen.

    :param questions: At most so many, of chunks that are the same in every run.
    :return: How many were asked, and how many had their own chunk among the ``k`` nearest.
    """
    with closing(_open(index, read_only=True)) as database:
        asked = database.execute(_LAST_QUESTIONS, {"questions": questions}).fetchall()
        vectors = embed([question for *_, question in asked]) if asked else []
        found = 0
        for (*own, _), vector in zip(asked, vectors, strict=True):
            nearest = database.execute(_NEAREST, {"question": vector.tolist(), "k": k}).fetchall()
            found += tuple(own) in nearest
    return [len(asked), found]


def _keep_what_was(database: duckdb.DuckDBPyConnection, former: Path) -> None:
    """Add what the former index knows of chunks that were not answered in this run."""
    name = str(former).replace("'", "''")
    database.execute(f"attach '{name}' as was (read_only)")
    database.execute(_KEPT)
    database.execute("detach was")


def _embed_new(database: duckdb.DuckDBPyConnection, embed: Embed) -> int:
    """Embed the rows of ``wanted`` that have no vector, and return how many."""
    import pyarrow as pa

    embedded = 0
    while some := database.execute(_NOT_EMBEDDED).fetchall():
        documents, ordinals, texts = zip(*some, strict=True)
        values = pa.array(embed(list(texts)).ravel(), pa.float32())
        vectors = pa.FixedSizeListArray.from_arrays(values, DIMENSIONS)
        database.register("fresh", pa.table([documents, ordinals, vectors], names=["d", "o", "vector"]))
        database.execute("update wanted set embedding = vector from fresh where document = d and ordinal = o")
        embedded += len(some)
    return embedded


def _open(path: Path, *, read_only: bool = False) -> duckdb.DuckDBPyConnection:
    import duckdb

    # What is installed is used, and nothing is fetched.
    database = duckdb.connect(
        str(path), read_only=read_only, config={"autoinstall_known_extensions": "false"}
    )
    with suppress(duckdb.Error):
        database.execute("load vss")
    return database


def _add_hnsw(database: duckdb.DuckDBPyConnection) -> None:
    """Let searches go by a graph of neighbours, where the extension for it is installed."""
    loaded = "select count(*) > 0 from duckdb_extensions() where extension_name = 'vss' and loaded"
    if database.execute(loaded).fetchall() == [(True,)]:
        # A crash may leave such an index behind broken; this file is not in use before it is whole.
        database.execute("set hnsw_enable_experimental_persistence = true")
        database.execute("create index nearest on chunks using hnsw (embedding) with (metric = 'cosine')")
