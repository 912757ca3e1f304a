"""The commands as a person starts them: processes of their own, outside of any task."""

import json
import os
import subprocess
import sys

import pytest
from airflow.cli.cli_parser import get_parser
from airflow.providers_manager import ProvidersManager

from airflow_provider_claude_batch.cli.definition import COMMANDS
from airflow_provider_claude_batch.cli.main import main
from tests.cli import stages

CLAUDE_BATCH = "airflow_provider_claude_batch.cli.main"

takes_commands_of_providers = pytest.mark.skipif(
    not hasattr(ProvidersManager, "cli_command_functions"), reason="from Airflow 3.2 on"
)

#: Makes a metadata database with what is looked for in it, as Airflow's own models have it.
MAKE_DATABASE = """
import json, sys
from airflow import settings
from airflow.jobs.job import Job
from airflow.models import Connection, import_all_models
from airflow.models.base import Base
from airflow.utils.session import create_session

import_all_models()
Base.metadata.create_all(settings.engine)
with create_session() as session:
    given = json.loads(sys.argv[1])
    session.add(Connection(conn_id="of_database", conn_type="anthropic", password="k", host=given["host"]))
    session.add(Job(job_type="TriggererJob", state="running"))
"""


@pytest.fixture
def home(tmp_path, emulator):
    folder = tmp_path / "airflow"
    folder.mkdir()
    environment = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("AIRFLOW_CONN_", "_AIRFLOW_"))
    }
    return {**environment, "AIRFLOW_HOME": str(folder)}


@pytest.fixture
def database(home, emulator):
    subprocess.run(
        [sys.executable, "-c", MAKE_DATABASE, emulator.connection_json], env=home, check=True, timeout=60
    )
    return home


def run(environment, *command):
    return subprocess.run(
        [sys.executable, "-m", *map(str, command)],
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_a_connection_in_the_metadata_database_is_found(database, tmp_path):
    ran = run(database, CLAUDE_BATCH, "doctor", "--claude-conn-id", "of_database", "--staging-path", tmp_path)
    lines = {line.split()[1]: line.split()[0] for line in ran.stdout.splitlines()}
    assert ran.returncode == 0, ran.stdout
    assert (lines["connection"], lines["batches"], lines["triggerer"]) == ("ok", "ok", "ok")


def test_the_output_is_json_and_nothing_else(home, submission, emulator, staging):
    stages.published(submission)
    environment = {**home, "AIRFLOW_CONN_ANTHROPIC_DEFAULT": emulator.connection_json}
    ran = run(environment, CLAUDE_BATCH, "show", submission.folder.uri, "--live", "--json")
    (shard,) = json.loads(ran.stdout)["shards"]
    assert shard["now"]["processing_status"] == "ended"


def test_what_every_airflow_command_imports_is_light():
    code = "import airflow_provider_claude_batch.cli.definition, sys\nprint(*sys.modules)"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not {"airflow", "anthropic", "msgspec", "pyarrow"} & set(ran.stdout.split())


@takes_commands_of_providers
def test_airflow_has_the_same_commands(submission, staging, capsys):
    submission.snapshot()
    capsys.readouterr()
    given = get_parser().parse_args(["claude-batch", "list", str(staging), "--json"])
    given.func(given)
    assert json.loads(capsys.readouterr().out)[0]["rows"] == 5


@takes_commands_of_providers
def test_airflow_s_exit_code_is_the_command_s(tmp_path, capsys):
    given = get_parser().parse_args(["claude-batch", "show", str(tmp_path)])
    with pytest.raises(SystemExit) as ended:
        given.func(given)
    assert ended.value.code == 1
    assert "holds no finished snapshot" in capsys.readouterr().err


def test_output_that_nobody_reads_is_no_error_with_a_traceback(home, submission, staging):
    submission.snapshot()
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing, "w") as output:
        ran = subprocess.run(
            [sys.executable, "-m", CLAUDE_BATCH, "list", str(staging)],
            env=home,
            stdout=output,
            stderr=subprocess.PIPE,
            text=True,
            timeout=60,
            check=False,
        )
    # Airflow 3.1 tells of its database when it is imported first.
    said = [line for line in ran.stderr.splitlines() if "[alembic." not in line]
    assert (ran.returncode, said) == (1, [])


@pytest.mark.parametrize("command", [command.name for command in COMMANDS])
def test_every_command_has_a_page_of_help(command, capsys):
    with pytest.raises(SystemExit) as ended:
        main([command, "--help"])
    assert ended.value.code == 0
    assert f"claude-batch {command}" in capsys.readouterr().out
