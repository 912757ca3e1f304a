"""The table in README.md names tests that there are."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

TESTS = Path(__file__).parents[1]
ROW = re.compile(r"^\| (?P<rule>.+) \| `(?P<path>[\w/]+\.py)::(?P<name>\w+)` \| (?P<mark>\w+) \|$")
ROWS = [
    line
    for line in (Path(__file__).parent / "README.md").read_text().splitlines()
    if line.startswith("| ") and not line.startswith("| Rule")
]


@pytest.mark.parametrize("row", ROWS)
def test_every_rule_has_a_test_and_a_mark(row):
    match = ROW.match(row)
    assert match, row
    assert match["mark"] in {"RUN", "SDK", "DOC", "WILD", "INF"}
    module = ast.parse((TESTS / match["path"]).read_text())
    assert match["name"] in {node.name for node in module.body if isinstance(node, ast.FunctionDef)}


def test_the_table_is_there():
    assert len(ROWS) > 70
