"""The demo's warehouse: a DuckDB file with the installed distributions, and what Python says of itself."""

import re
import time
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from importlib.metadata import Distribution, distributions
from pathlib import Path
from typing import NamedTuple

import duckdb

from demo.documentation import library_docstrings, reference_topics
from demo.topics import trove_topic

CREATE = """
create table packages (
    distribution_id bigint primary key,
    name varchar not null,
    version varchar not null,
    summary varchar not null,
    description varchar not null,
    requires_python varchar,
    classifiers varchar[] not null,
    trove_topic varchar,
    seen_at timestamp with time zone not null
);
create table topics (
    topic_id bigint primary key,
    name varchar not null,
    body varchar not null
);
create table docstrings (
    object_name varchar primary key,
    module varchar not null,
    kind varchar not null,
    docstring varchar not null
);
"""


class Package(NamedTuple):
    """
    One row of ``packages`` but for its id; texts are empty where the package has none.

    :param seen_at: When it was installed.
    """

    name: str
    version: str
    summary: str
    description: str
    requires_python: str | None
    classifiers: list[str]
    trove_topic: str | None
    seen_at: datetime


def make_warehouse(path: Path) -> int:
    """
    Make a DuckDB file at ``path`` with the tables ``packages``, ``topics`` and ``docstrings``.

    Nothing may be there.

    :return: The number of packages.
    """
    rows = [(number, *package) for number, package in enumerate(installed_packages(), start=1)]
    with closing(duckdb.connect(str(path))) as database:
        database.execute(CREATE)
        database.executemany("insert into packages values (?, ?, ?, ?, ?, ?, ?, ?, ?)", rows)
        database.executemany(
            "insert into topics values (?, ?, ?)",
            [(number, *topic) for number, topic in enumerate(reference_topics(), start=1)],
        )
        database.executemany("insert into docstrings values (?, ?, ?, ?)", library_docstrings())
    return len(rows)


def installed_packages() -> list[Package]:
    """Return every distribution of the running environment once, in the order of their normalised names."""
    found: dict[str, Package] = {}
    for distribution in distributions():
        name = distribution.metadata["Name"]
        if name:
            # The same name twice on sys.path: the first is the one that Python imports.
            found.setdefault(re.sub(r"[-_.]+", "-", name).lower(), _package(distribution))
    return [found[name] for name in sorted(found)]


def _package(distribution: Distribution) -> Package:
    fields = distribution.metadata.json
    classifiers = list(_texts(fields.get("classifier")))
    return Package(
        name=_text(fields.get("name")),
        version=_text(fields.get("version")),
        summary=_text(fields.get("summary")),
        description=_text(fields.get("description")),
        requires_python=_text(fields.get("requires_python")) or None,
        classifiers=classifiers,
        trove_topic=trove_topic(classifiers),
        seen_at=datetime.fromtimestamp(_installed_at(distribution), UTC),
    )


def _installed_at(distribution: Distribution) -> float:
    """Return when the first of its files was written, in epoch seconds; now where it lists none."""
    paths = (Path(file.locate()) for file in distribution.files or ())
    return next((path.stat().st_mtime for path in paths if path.exists()), time.time())


def _texts(values: str | list[str] | None) -> Iterator[str]:
    for value in [values] if isinstance(values, str) else values or []:
        yield _text(value)


def _text(value: str | list[str] | None) -> str:
    """Return a metadata field as text that UTF-8 can hold; undecodable bytes come as surrogates."""
    text = "\n".join(value) if isinstance(value, list) else value or ""
    return text.encode(errors="replace").decode()
