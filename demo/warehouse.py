"""The demo's warehouse: a DuckDB file with every Python distribution that is installed beside it."""

import re
from collections.abc import Iterator
from contextlib import closing
from importlib.metadata import Distribution, distributions
from pathlib import Path
from typing import NamedTuple

import duckdb

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
    trove_topic varchar
)
"""


class Package(NamedTuple):
    """One row of ``packages`` but for its id; texts are empty where the package has none."""

    name: str
    version: str
    summary: str
    description: str
    requires_python: str | None
    classifiers: list[str]
    trove_topic: str | None


def make_warehouse(path: Path) -> int:
    """
    Make a DuckDB file at ``path`` with a table ``packages``; nothing may be there.

    :return: The number of packages.
    """
    rows = [(number, *package) for number, package in enumerate(installed_packages(), start=1)]
    with closing(duckdb.connect(str(path))) as database:
        database.execute(CREATE)
        database.executemany("insert into packages values (?, ?, ?, ?, ?, ?, ?, ?)", rows)
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
    )


def _texts(values: str | list[str] | None) -> Iterator[str]:
    for value in [values] if isinstance(values, str) else values or []:
        yield _text(value)


def _text(value: str | list[str] | None) -> str:
    """Return a metadata field as text that UTF-8 can hold; undecodable bytes come as surrogates."""
    text = "\n".join(value) if isinstance(value, list) else value or ""
    return text.encode(errors="replace").decode()
