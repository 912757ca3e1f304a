import datetime as dt
import http.client
import http.server
import json
import time
from typing import ClassVar
from urllib.parse import urlsplit

import fsspec
import pytest
from airflow import settings
from airflow.sdk.io import attach
from fsspec.implementations.memory import MemoryFileSystem
from sqlalchemy import create_engine
from sqlalchemy.orm import scoped_session, sessionmaker

from airflow_provider_claude_batch.cli.main import main
from tests.provider.submitting import create_batches
from tests.serving import serving

API_CHECKS = ["connection", "models", "account", "calls", "clock", "batches", "queue"]


class Forgetful(MemoryFileSystem):
    """A store that lets a second writer win, as object stores without conditional writes do."""

    protocol = "forgetful"
    store: ClassVar[dict] = {}
    pseudo_dirs: ClassVar[list] = [""]

    def pipe_file(self, path, value, mode="overwrite", **kwargs):
        super().pipe_file(path, value, mode="overwrite", **kwargs)


class Lagging(MemoryFileSystem):
    """A store whose listing shows a new file only later."""

    protocol = "lagging"
    store: ClassVar[dict] = {}
    pseudo_dirs: ClassVar[list] = [""]

    def ls(self, path, detail=True, **kwargs):
        return []


@pytest.fixture(autouse=True)
def no_metadata_database(tmp_path, monkeypatch):
    """See no tables of Airflow's, whatever other tests have made."""
    engine = create_engine(f"sqlite:///{tmp_path / 'none.db'}")
    monkeypatch.setattr(settings, "Session", scoped_session(sessionmaker(engine)))
    yield
    engine.dispose()


@pytest.fixture
def diagnose(emulator, tmp_path, capsys):
    def run(*options, staging=None):
        code = main(["doctor", "--staging-path", str(staging or tmp_path / "staging"), *options])
        found = {}
        for line in capsys.readouterr().out.splitlines():
            level, name, said = line.split(maxsplit=2)
            found[name] = (level, said)
        return code, found

    return run


def test_a_sound_deployment_passes_all_but_the_triggerer_that_cannot_be_seen(diagnose):
    code, found = diagnose()
    assert code == 0
    assert [name for name, (level, _) in found.items() if level != "ok"] == ["triggerer"]
    assert list(found) == [*API_CHECKS, "shared", "staging", "exclusive", "triggerer"]


def test_it_costs_nothing_and_leaves_nothing_behind(diagnose, emulator, tmp_path):
    diagnose()
    assert set(emulator.calls.counts) == {"models", "list"}
    assert list((tmp_path / "staging").iterdir()) == []


def test_a_connection_that_there_is_not_fails(diagnose):
    code, found = diagnose("--claude-conn-id", "nowhere")
    assert code == 1
    assert found["connection"][0] == "FAIL"
    assert "nowhere" in found["connection"][1]
    assert "batches" not in found


def test_a_platform_without_batches_fails(diagnose, monkeypatch):
    extra = {"platform": "foundry", "resource": "x"}
    monkeypatch.setenv(
        "AIRFLOW_CONN_FOUNDRY", json.dumps({"conn_type": "anthropic", "password": "k", "extra": extra})
    )
    code, found = diagnose("--claude-conn-id", "foundry")
    assert code == 1
    assert "does not serve Message Batches" in found["connection"][1]


def test_a_key_that_is_not_valid_fails_with_what_the_api_says(diagnose, emulator):
    emulator.settings(api_keys={"sk-ant-other": "wrkspc_other"})
    code, found = diagnose()
    assert code == 1
    assert found["batches"][0] == "FAIL"
    assert "HTTP 401 authentication_error: invalid x-api-key" in found["batches"][1]


@pytest.fixture
def login_page():
    """Return the address of a server that answers everything with a page, as a proxy's login does."""

    class Page(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200)
            self.send_header("content-type", "text/html")
            self.end_headers()
            self.wfile.write(b"<html>Log in</html>")

        def log_message(self, *args):
            pass

    with serving(http.server.ThreadingHTTPServer(("127.0.0.1", 0), Page)) as server:
        yield f"http://127.0.0.1:{server.server_port}"


def test_a_login_page_in_place_of_the_api_fails(diagnose, login_page, monkeypatch):
    connection = {"conn_type": "anthropic", "password": "sk-ant-x", "host": login_page}
    monkeypatch.setenv("AIRFLOW_CONN_PROXY", json.dumps(connection))
    code, found = diagnose("--claude-conn-id", "proxy")
    assert code == 1
    assert "answers text/html where the API answers JSON" in found["api"][1]


def test_a_gateway_without_a_list_of_models_is_a_warning(diagnose, emulator):
    emulator.fail("models", with_="status", status=404, times=None)
    code, found = diagnose()
    assert code == 0
    assert found["models"][0] == "warn"


def test_a_queue_without_room_is_a_warning_that_says_how_much_has_to_end(diagnose, emulator, monkeypatch):
    emulator.settings(seconds_per_batch=3600)
    create_batches(3)
    monkeypatch.setenv("AIRFLOW__CLAUDE_BATCH__MAX_QUEUED_REQUESTS", "10")
    level, said = diagnose("--requests", "9")[1]["queue"]
    assert level == "warn"
    assert said.startswith("3 of at most 10 requests are in the queue")
    assert "a shard of 9 requests waits until 2 of them have ended" in said
    assert diagnose("--requests", "7")[1]["queue"][0] == "ok"


def test_the_connection_s_word_on_the_queue_wins(diagnose, emulator, monkeypatch):
    connection = {**json.loads(emulator.connection_json), "extra": {"max_queued_requests": 500_000}}
    monkeypatch.setenv("AIRFLOW_CONN_ANTHROPIC_DEFAULT", json.dumps(connection))
    assert "of at most 500,000 requests" in diagnose()[1]["queue"][1]


def test_a_word_on_the_queue_that_is_no_number_fails(diagnose, emulator, monkeypatch):
    connection = {**json.loads(emulator.connection_json), "extra": {"max_queued_requests": "many"}}
    monkeypatch.setenv("AIRFLOW_CONN_ANTHROPIC_DEFAULT", json.dumps(connection))
    code, found = diagnose()
    assert code == 1
    assert "max_queued_requests is not a number" in found["api"][1]


def test_a_shard_larger_than_the_queue_is_a_warning(diagnose, emulator, monkeypatch):
    monkeypatch.setenv("AIRFLOW__CLAUDE_BATCH__MAX_QUEUED_REQUESTS", "50000")
    level, said = diagnose()[1]["queue"]
    assert level == "warn"
    assert "sent only when nothing else waits" in said


@pytest.mark.parametrize(("seconds", "level"), [(-300, "warn"), (-30, "ok"), (30, "ok"), (300, "warn")])
def test_clocks_that_are_more_than_a_minute_apart_are_a_warning(diagnose, emulator, seconds, level):
    emulator.set_time((dt.datetime.now(dt.UTC) + dt.timedelta(seconds=seconds)).timestamp())
    assert diagnose()[1]["clock"][0] == level


def test_calls_that_run_out_are_a_warning(diagnose, emulator):
    emulator.set_time(time.time() // 60 * 60)
    headers = {"x-api-key": "sk-ant-x", "anthropic-version": "2026-10-21"}
    client = http.client.HTTPConnection(urlsplit(emulator.url).netloc)
    for _ in range(960):
        client.request("GET", "/v1/models", headers=headers)
        client.getresponse().read()
    client.close()
    level, said = diagnose()[1]["calls"]
    assert (level, said.split(" calls")[0]) == ("warn", "39 of 1,000")


def test_a_path_on_one_of_several_hosts_fails(diagnose, monkeypatch):
    monkeypatch.setenv("AIRFLOW__CORE__EXECUTOR", "CeleryExecutor")
    code, found = diagnose()
    assert code == 1
    assert found["shared"][0] == "FAIL"
    assert "pay again" in found["shared"][1]


def test_a_staging_root_that_cannot_be_written_fails(diagnose):
    code, found = diagnose(staging="/proc/nothing/here")
    assert code == 1
    assert found["staging"][0] == "FAIL"


def test_a_scheme_that_is_not_known_fails(diagnose):
    code, found = diagnose(staging="nosuch://x/y")
    assert code == 1
    assert "cannot be opened" in found["staging"][1]


def test_an_object_store_with_conditional_writes_passes(diagnose, s3):
    code, found = diagnose(staging=f"{s3}@lake/claude_batch")
    assert code == 0
    assert [found[name][0] for name in ("shared", "staging", "exclusive")] == ["ok"] * 3


def test_a_bucket_that_there_is_not_fails(diagnose, s3):
    code, found = diagnose(staging=f"{s3}@no-such-bucket-here/claude_batch")
    assert code == 1
    assert found["staging"][0] == "FAIL"


@pytest.mark.filterwarnings("ignore:UPath .* filesystem not explicitly implemented")
@pytest.mark.parametrize(("store", "check"), [(Forgetful, "exclusive"), (Lagging, "staging")])
def test_a_store_with_which_a_row_could_be_paid_twice_fails(diagnose, store, check):
    fsspec.register_implementation(store.protocol, store, clobber=True)
    attach(store.protocol, fs=store())
    code, found = diagnose(staging=f"{store.protocol}://bucket/x")
    assert code == 1
    assert found[check][0] == "FAIL"
    assert "twice" in found[check][1]
