"""Checks of an author, over rows on local disk."""

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from airflow_provider_claude_batch.errors import ClaudeBatchInputError
from airflow_provider_claude_batch.submission.checks import run_checks, to_checks
from airflow_provider_claude_batch.submission.dataset_files import LocalDataset
from tests.provider.datasets import SCHEMA, row, to_batches


@pytest.fixture
def dataset(tmp_path):
    """Return 200 rows in two files."""
    files = []
    for number, batch in enumerate(to_batches([row(i) for i in range(200)], 100)):
        files.append(tmp_path / f"{number}.parquet")
        pq.write_table(pa.Table.from_batches([batch]), files[-1])
    return LocalDataset(files, SCHEMA, tmp_path)


@pytest.mark.parametrize(
    "check",
    [
        "select count(*) = 200 from results",
        "select count(*) > 0, bool_and(claude_outcome = 'ok') from results",
        "select id >= 0 from results",
        "select count(distinct kind) = 3 from results",
        lambda table: table.num_rows == 200,
        lambda table: None,
        lambda table: np.bool_(table.num_rows == 200),
        lambda table: pc.all(pc.greater_equal(table["id"], 0)),
        lambda table: (table.to_pandas()["id"] >= 0).all(),
        lambda table: table.schema == SCHEMA,
    ],
)
def test_a_check_that_holds_says_nothing(dataset, check):
    assert run_checks(check, dataset) is None


@pytest.mark.parametrize(
    ("check", "reason"),
    [
        ("select count(*) = 1 from results", "check (select count(*) = 1 from results) returns false"),
        ("select id < 150 from results", "check (select id < 150 from results) returns false"),
        ("select null::boolean", "check (select null::boolean) returns NULL"),
        ("select true where false", "check (select true where false) returns no row"),
        (
            "select count(*) as n from results",
            "check (select count(*) as n from results) returns n, which is not a boolean: a check returns "
            "true or false",
        ),
        (
            "select body::integer > 0 from results",
            "check (select body::integer > 0 from results) fails: ConversionException",
        ),
    ],
)
def test_a_query_that_does_not_hold_says_how(dataset, check, reason):
    assert run_checks(check, dataset) == reason


def test_a_query_that_is_wrong_says_what_is_wrong_with_it(dataset):
    assert "nope" in run_checks("select nope from results", dataset)


def fails(table):
    raise ValueError(f"found {table['body'][0]}")


def asserts(table):
    assert table.num_rows == 1, f"found {table['body'][0]}"


@pytest.mark.parametrize(
    ("check", "reason"),
    [
        (lambda table: False, "check <lambda> does not hold"),
        (lambda table: pa.scalar(False), "check <lambda> does not hold"),
        (lambda table: pa.scalar(None, pa.bool_()), "check <lambda> does not hold"),
        (lambda table: "too few refunds", "check <lambda>: too few refunds"),
        (
            lambda table: pd.DataFrame(),
            "check <lambda> returns DataFrame, and a check returns True, False, a text or None",
        ),
        (
            lambda table: 1,
            "check <lambda> returns int, and a check returns True, False, a text or None",
        ),
    ],
)
def test_a_function_that_does_not_hold_says_how(dataset, check, reason):
    assert run_checks(check, dataset) == reason


@pytest.mark.parametrize("check", [fails, asserts])
def test_an_exception_is_named_by_type_and_place_and_does_not_quote_a_row(dataset, check):
    reason = run_checks(check, dataset)
    line = check.__code__.co_firstlineno + 1
    name = "ValueError" if check is fails else "AssertionError"
    assert reason == f"check {check.__name__} raises {name} at test_checks.py:{line}"


def test_an_exception_from_deep_below_is_placed_in_the_author_s_file(dataset):
    reason = run_checks(lambda table: pc.cast(table["body"], pa.int64()), dataset)
    assert reason.startswith("check <lambda> raises ArrowInvalid at test_checks.py:")


def test_all_checks_that_do_not_hold_are_named(dataset):
    reason = run_checks(["select false", "select true", lambda table: "few", fails], dataset)
    assert reason.split("; ")[:2] == ["check (select false) returns false", "check <lambda>: few"]
    assert "fails raises ValueError" in reason


def test_a_query_larger_than_its_memory_spills_to_disk_and_leaves_nothing(dataset):
    query = "select count(*) = 6000000 from (select distinct i, md5(i::varchar) from range(6000000) r(i))"
    assert run_checks(query, dataset) is None


@pytest.mark.parametrize("checks", [3, [3], "", ["  "], {"a": 1}])
def test_what_is_no_check_is_refused_early(checks):
    with pytest.raises(ClaudeBatchInputError, match="Nothing was sent"):
        to_checks(checks)


def test_no_checks_hold(dataset):
    assert run_checks((), dataset) is None
    assert run_checks(None, dataset) is None
