"""What the documentation says in tables is what the code says."""

import inspect
import re
from pathlib import Path

import pytest

from airflow_provider_claude_batch import errors
from airflow_provider_claude_batch.core import limits
from airflow_provider_claude_batch.get_provider_info import get_provider_info
from airflow_provider_claude_batch.operators.submit import ClaudeBatchSubmitOperator
from airflow_provider_claude_batch.sensors.batch import ClaudeBatchSensor
from airflow_provider_claude_batch.submission import names
from airflow_provider_claude_batch.submission.retries import a_retry_can_help
from airflow_provider_claude_batch.transfers.batch_to_parquet import ClaudeBatchToParquetOperator
from airflow_provider_claude_batch.transfers.batch_to_sql import ClaudeBatchToSqlOperator
from airflow_provider_claude_batch.triggers.batch_ended import ClaudeBatchEndedTrigger

DOCS = Path(__file__).parents[2] / "docs"
HOW_TOS = {
    "submit": ClaudeBatchSubmitOperator,
    "wait": ClaudeBatchSensor,
    "load": ClaudeBatchToParquetOperator,
    "write-back": ClaudeBatchToSqlOperator,
    "watch": ClaudeBatchEndedTrigger,
}


def rows(page, first_cell):
    """Return the cells of the rows of all tables of a page whose header begins with a word."""
    found = []
    for table in re.findall(r"(?:^\|.*\n)+", (DOCS / page).read_text(), re.MULTILINE):
        head, _, *body = [
            [cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]] for line in table.splitlines()
        ]
        if head[0] == first_cell:
            found += body
    assert found
    return found


def shown(default):
    """Return a default as the tables show it."""
    if default is inspect.Parameter.empty:
        return "required"
    return "`timedelta(days=1)`" if str(default) == "1 day, 0:00:00" else f"`{default!r}`"


@pytest.mark.parametrize("how_to", HOW_TOS)
def test_arguments_of_a_how_to_have_the_defaults_of_the_code(how_to):
    parameters = inspect.signature(HOW_TOS[how_to]).parameters
    told = {row[0].strip("`"): row[1] for row in rows(f"howto/{how_to}.md", "argument")}
    if how_to == "wait":
        # The one default that the deployment decides.
        del told["deferrable"]
    assert told == {name: shown(parameters[name].default) for name in told}


def test_all_options_of_the_deployment_are_told_with_their_defaults():
    options = get_provider_info()["config"]["claude_batch"]["options"]
    told = {row[0].strip("`"): row[1] for row in rows("configuration.md", "option")}
    assert told.keys() == options.keys()
    for name, option in options.items():
        assert not option["default"] or told[name] == f"`{option['default']}`"


def test_each_error_is_told_once_with_whether_it_is_retried():
    told = {row[0].strip("`"): row[1] for row in rows("errors.md", "error")}
    kinds = {
        name: kind
        for name, kind in vars(errors).items()
        if inspect.isclass(kind) and issubclass(kind, errors.ClaudeBatchError)
    }
    # The bases that are not raised themselves.
    del kinds["ClaudeBatchError"], kinds["ClaudeBatchRunError"]
    assert told.keys() == kinds.keys()
    depends = {name for name, retried in told.items() if retried == "if it passes by itself"}
    assert depends == {"CreateRefusedError", "PartlySentError"}
    for name in kinds.keys() - depends:
        # Made without its arguments: only its kind decides.
        error = kinds[name].__new__(kinds[name])
        assert told[name] == ("yes" if a_retry_can_help(error) else "no"), name


def test_the_tree_of_errors_is_the_tree():
    drawn = re.findall(r"^( {4,})(Claude\w+|\w+Error)\b", errors.__doc__, re.MULTILINE)
    parents = []
    for indent, name in drawn:
        depth = len(indent) // 4 - 1
        kind = getattr(errors, name)
        assert depth == 0 or kind.__base__ is parents[depth - 1] or parents[depth - 1] in kind.__bases__
        parents[depth:] = [kind]
    assert {name for _, name in drawn} == {
        name for name, kind in vars(errors).items() if inspect.isclass(kind) and issubclass(kind, Exception)
    }


def test_each_file_of_a_manifest_folder_is_told():
    told = " ".join(row[0] for row in rows("manifest.md", "file"))
    files = {value for name, value in vars(names).items() if name.isupper() and not name.startswith("_")}
    files |= {
        "rNN/" + name
        for name in (
            "round-IDENTITY.json",
            "keys-NNNNN-IDENTITY.parquet",
            "requests-NNNNN-IDENTITY.jsonl.zst",
            "sent-NNNNN.aK.json",
            "refused-NNNNN.aK.json",
            "batch-NNNNN.json",
            "results-NNNNN.parquet",
            "without-credit.json",
        )
    }
    made = {
        names.record_path(7, "IDENTITY"),
        names.keys_path(7, 3, "IDENTITY"),
        names.requests_path(7, 3, "IDENTITY"),
        names.sent_path(7, 3, 5),
        names.refused_path(7, 3, 5),
        names.batch_path(7, 3),
        names.results_path(7, 3),
        names.without_credit_path(7),
    }
    assert files == set(re.findall(r"`([^`]+)`", told))
    general = {name.replace("r07", "rNN").replace("00003", "NNNNN").replace(".a5.", ".aK.") for name in made}
    assert general == {name for name in files if "/" in name}


def test_the_limits_are_those_that_the_code_keeps():
    told = dict(rows("limits.md", ""))
    assert f"{limits.MAX_REQUESTS:,}" in told["requests in a batch"]
    assert f"{limits.MAX_BODY_BYTES:,}" in told["bytes in a batch"]
    assert f"{limits.EXPIRES_AFTER.total_seconds() / 3600:.0f} hours" in told["time"]
    assert f"{limits.RESULTS_KEPT.days} days" in told["results"]


def test_the_faults_that_the_testing_page_orders_are_faults(claude_batch_emulator):
    orders = [
        order for row in rows("testing.md", "to see") for order in re.findall(r"`(emulator\.[^`]+)`", row[1])
    ]
    assert len(orders) > 5
    for order in orders:
        eval(order, {"emulator": claude_batch_emulator})  # noqa: S307
    assert claude_batch_emulator.faults_left > 0
