"""What a Dag author can call says what it takes, and operators what a retry does."""

import importlib
import inspect
import re
import warnings
from pathlib import Path

import pytest

from airflow_provider_claude_batch.get_provider_info import get_provider_info

API = sorted((Path(__file__).parents[2] / "docs" / "api").glob("*.md"))


def module_of(name):
    """Import a module; on Airflow 3.1 the standard provider's takes what Airflow calls deprecated."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return importlib.import_module(name)


def documented():
    """Return the names in the API reference, by module; none for all of a module."""
    found = {}
    for page in API:
        module = None
        for line in page.read_text().splitlines():
            directive, _, name = line.strip().removeprefix(".. ").partition(":: ")
            if directive in ("currentmodule", "automodule"):
                module = name
                found.setdefault(module, set())
            if directive in ("autoclass", "autofunction"):
                found[module].add(name.partition("(")[0])
    return found


DOCUMENTED = documented()
OBJECTS = [
    (module, name)
    for module, names in DOCUMENTED.items()
    for name in sorted(names) or vars(module_of(module))
    if names or getattr(vars(module_of(module))[name], "__module__", "") == module
]


def own_init(kind):
    """Return the class whose constructor a class has."""
    return next(base for base in kind.__mro__ if "__init__" in vars(base) or "__new__" in vars(base))


def members(kind):
    """Return the public methods and properties that a class defines itself, as functions."""
    for name, member in vars(kind).items():
        function = getattr(member, "fget", None) or getattr(member, "func", None) or member
        if not name.startswith("_") and inspect.isfunction(inspect.unwrap(function)):
            yield name, function


def test_the_reference_has_every_class_that_airflow_is_told_of():
    info = get_provider_info()
    modules = {
        module
        for kind in ("operators", "sensors", "hooks", "triggers")
        for entry in info[kind]
        for module in entry["python-modules"]
    }
    modules |= {entry["python-module"] for entry in info["transfers"]}
    names = {entry.rpartition(".") for entry in (*info["notifications"], *info["extra-links"])}
    names |= {entry["class-name"].rpartition(".") for entry in info["task-decorators"]}
    assert modules <= DOCUMENTED.keys()
    assert all(name in DOCUMENTED[module] for module, _, name in names)


@pytest.mark.parametrize(("module", "name"), OBJECTS, ids=lambda text: text.rpartition(".")[2])
def test_everything_in_the_reference_says_what_it_is(module, name):
    value = getattr(module_of(module), name)
    assert inspect.getdoc(value)
    if inspect.isclass(value):
        assert [member for member, function in members(value) if not function.__doc__] == []


@pytest.mark.parametrize(("module", "name"), OBJECTS, ids=lambda text: text.rpartition(".")[2])
def test_everything_in_the_reference_says_what_it_takes(module, name):
    value = getattr(module_of(module), name)
    if inspect.isclass(value):
        value = own_init(value)
    if value.__module__ == "builtins" or not (inspect.isclass(value) or inspect.isfunction(value)):
        # An error without facts of its own, and the fixture of pytest.
        return
    keywords = inspect.Parameter.VAR_KEYWORD
    taken = {p.name for p in inspect.signature(value).parameters.values() if p.kind is not keywords}
    assert taken - set(re.findall(r":param (\w+):", inspect.getdoc(value))) == set()


@pytest.mark.parametrize(
    "name",
    [
        "operators.submit.ClaudeBatchSubmitOperator",
        "sensors.batch.ClaudeBatchSensor",
        "transfers.batch_to_parquet.ClaudeBatchToParquetOperator",
        "transfers.batch_to_sql.ClaudeBatchToSqlOperator",
        "decorators.claude_batch.claude_batch_task",
        "decorators.claude_batch.ClaudeBatchDecoratedOperator",
        "task_groups.pipeline.claude_batch_pipeline",
        "task_groups.approval.claude_batch_with_approval",
    ],
)
def test_whatever_makes_a_task_says_what_a_retry_does(name):
    module, _, what = f"airflow_provider_claude_batch.{name}".rpartition(".")
    assert re.search(r"\bretry\b", inspect.getdoc(getattr(module_of(module), what)))
