import importlib
import importlib.metadata
import json
from importlib.resources import files

import jsonschema
import pytest

import airflow_provider_claude_batch
from airflow_provider_claude_batch.get_provider_info import get_provider_info
from airflow_provider_claude_batch.links.batch import CONSOLE_URL

DISTRIBUTION = "airflow-provider-claude-batch"


def named_paths():
    info = get_provider_info()
    for group in ("operators", "sensors", "hooks", "triggers"):
        for entry in info[group]:
            yield from entry["python-modules"]
    for entry in info["transfers"]:
        yield entry["python-module"]
    yield from info["extra-links"]


def test_the_metadata_is_what_airflow_s_own_schema_asks_for():
    schema = json.loads(files("airflow").joinpath("provider_info.schema.json").read_text())
    jsonschema.validate(get_provider_info(), schema)


@pytest.mark.parametrize("path", list(named_paths()))
def test_every_path_in_the_metadata_can_be_imported(path):
    try:
        importlib.import_module(path)
    except ModuleNotFoundError:
        module, _, name = path.rpartition(".")
        assert hasattr(importlib.import_module(module), name)


def test_airflow_finds_the_metadata_by_its_entry_point():
    (found,) = [
        entry
        for entry in importlib.metadata.entry_points(group="apache_airflow_provider")
        if entry.dist is not None and entry.dist.name == DISTRIBUTION
    ]
    assert found.load() is get_provider_info
    assert get_provider_info()["package-name"] == DISTRIBUTION


def test_the_version_is_written_once():
    assert importlib.metadata.version(DISTRIBUTION) == airflow_provider_claude_batch.__version__


def test_the_default_address_of_a_batch_is_the_one_in_the_metadata():
    assert get_provider_info()["config"]["claude_batch"]["options"]["batch_url"]["default"] == CONSOLE_URL
