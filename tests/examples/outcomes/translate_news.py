"""Every article is there in every language, once, and the style guide was read from the cache."""

import datetime as dt
import json

import pyarrow as pa
import pyarrow.parquet as pq

LANGUAGES = ["de", "ja", "pt-BR"]
ARTICLES = 8

KEYS = """
select topic_id, language
from (from topics where length(body) between 500 and 6000 order by topic_id limit 8)
cross join (values ('de'), ('ja'), ('pt-BR')) as languages (language)
order by all
"""


def conf(folder):
    return {
        "destination": str(folder / "news"),
        "languages": LANGUAGES,
        "articles": ARTICLES,
        "deadline": (dt.datetime.now(dt.UTC) + dt.timedelta(hours=6)).isoformat(),
    }


def dataset(folder):
    """Return the rows of the one night that the folder holds."""
    (manifest,) = folder.glob("news/night=*/_manifest.json")
    files = [entry["path"] for entry in json.loads(manifest.read_text())["files"]]
    assert sorted(file.split("/")[-2] for file in files) == [f"language={name}" for name in LANGUAGES]
    return pa.concat_tables(pq.read_table(manifest.parent / file, partitioning=None) for file in files)


def check(folder, query):
    keys = query(KEYS)
    assert query("select topic_id, language from translations order by all") == keys
    assert query("select count(*) from translations where length(headline) > 0 and length(text) > 0") == [
        (len(keys),)
    ]
    rows = dataset(folder)
    assert sorted(zip(*rows.select(["topic_id", "language"]).to_pydict().values(), strict=True)) == keys
    in_the_dataset = sum(outcome == "ok" for outcome in rows["claude_outcome"].to_pylist())
    assert query("select count(*) from translations where service_tier = 'batch'") == [(in_the_dataset,)]
    assert sum(rows["claude_cache_read_tokens"].to_pylist()) > 0
