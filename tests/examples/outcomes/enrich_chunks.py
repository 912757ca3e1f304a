"""Every chunk of the documents of today is in the index once, typed, and found."""

from contextlib import closing

import duckdb
import pyarrow.parquet as pq

DOCUMENTS = """
select 'topic/' || name from topics where length(body) <= 6000
union all
select 'python/' || object_name from docstrings where module in ('contextlib', 'json', 'statistics')
order by 1
"""

TYPES = {
    "document": "VARCHAR",
    "ordinal": "INTEGER",
    "digest": "VARCHAR",
    "title": "VARCHAR",
    "text": "VARCHAR",
    "summary": "VARCHAR",
    "questions": "VARCHAR[]",
    "topics": "VARCHAR[]",
    "model": "VARCHAR",
    "embedding": "FLOAT[256]",
}

COMPLETE = """
select count(*) from chunks
where length(summary) > 0 and len(questions) > 0 and len(topics) > 0 and embedding is not null
"""


def conf(folder):
    return {"folder": str(folder / "docs_index")}


def index(folder, sql):
    with closing(duckdb.connect(str(folder / "docs_index" / "index.duckdb"), read_only=True)) as database:
        return database.execute(sql).fetchall()


def check(folder, query):
    chunks = pq.read_table(folder / "docs_index" / "chunks.parquet").to_pylist()
    expected = sorted((chunk["document"], chunk["ordinal"], chunk["digest"]) for chunk in chunks)
    assert index(folder, "select document, ordinal, digest from chunks order by all") == expected
    assert index(folder, "select distinct document from chunks order by 1") == query(DOCUMENTS)
    assert {name: kind for name, kind, *_ in index(folder, "describe chunks")} == TYPES
    assert index(folder, COMPLETE) == [(len(chunks),)]
    assert not (folder / "docs_index" / "index.duckdb.new").exists()
