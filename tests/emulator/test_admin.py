"""The admin page, the handle's views, the command line, the fixture."""

from __future__ import annotations

import json
import signal
import subprocess
import sys

import httpx2
import pytest

from airflow_provider_claude_batch.emulator import Emulator, EmulatorClient, EmulatorProcess
from tests.emulator.building import HEADERS, params, requests

pytest_plugins = ["pytester"]


def test_the_page_lists_batches_calls_and_the_bill(emulator, client):
    batch_id = client.messages.batches.create(requests=requests()).id
    emulator.fail("cancel", status=500)
    page = httpx2.get(f"{emulator.url}/_emulator/")
    assert page.headers["content-type"].startswith("text/html")
    for shown in (batch_id, "create", "claude-haiku-5-5", "cost_usd", "cancel"):
        assert shown in page.text


def test_a_batch_has_a_page_of_its_own_that_shows_its_first_results_as_text(emulator, client):
    entry = {"custom_id": "row-0", "params": params("<b>Bold</b> is good.")}
    batch_id = client.messages.batches.create(requests=[entry]).id
    page = httpx2.get(f"{emulator.url}/_emulator/batches/{batch_id}").text
    assert "ended" in page
    assert "&lt;b&gt;Bold" in page
    assert "<b>" not in page


def test_no_page_for_a_batch_that_is_not_there(emulator):
    response = httpx2.get(f"{emulator.url}/_emulator/batches/msgbatch_none")
    assert response.status_code == 404
    assert response.json()["error"]["type"] == "not_found_error"


def test_calls_are_counted_by_operation_and_status(emulator, client):
    client.messages.batches.list()
    httpx2.get(f"{emulator.url}/v1/messages/batches?limit=0", headers=HEADERS)
    calls = emulator.calls
    assert calls.counts == {"list": {"200": 1, "400": 1}}
    assert (calls.count_of("list"), calls.count_of("list", 400), calls.count_of("create")) == (2, 1, 0)
    assert [call["status"] for call in calls] == [200, 400]
    assert calls[0]["path"] == "/v1/messages/batches"
    assert len(calls) == 2


def test_batches_are_shown_as_the_api_shows_them(emulator, client):
    ids = [client.messages.batches.create(requests=requests()).id for _ in range(2)]
    assert [batch["id"] for batch in emulator.batches] == ids[::-1]
    assert (
        emulator.batches[0]
        == client.messages.batches.retrieve(ids[1]).to_dict(mode="json") | emulator.batches[0]
    )


def test_settings_can_be_read_and_changed(emulator):
    assert emulator.settings()["tier"] == "start"
    assert emulator.settings(tier="scale")["tier"] == "scale"
    with pytest.raises(ValueError, match="unknown field"):
        emulator.settings(teir="scale")
    with pytest.raises(ValueError, match="Invalid enum value"):
        emulator.settings(tier="gold")


def test_one_handle_does_for_any_url(emulator, client):
    client.messages.batches.create(requests=requests())
    assert len(EmulatorClient(emulator.url + "/").batches) == 1


def test_the_connection_is_one_that_airflow_reads(emulator):
    connection = json.loads(emulator.connection_json)
    assert connection == {"conn_type": "anthropic", "password": "sk-ant-emulator", "host": emulator.url}


def test_two_at_once_do_not_meet():
    with Emulator() as one, Emulator() as other:
        one.fail("list", status=500)
        assert one.url != other.url
        assert (one.faults_left, other.faults_left) == (1, 0)


def test_the_command_line_takes_a_pace_and_a_file_of_faults(tmp_path):
    faults = tmp_path / "faults.json"
    faults.write_text('[{"operation":"list","status":529,"times":3},{"operation":"lines","with":"missing"}]')
    with EmulatorProcess(arguments=("--seconds-per-batch=7", f"--faults={faults}")) as process:
        assert process.settings()["seconds_per_batch"] == 7
        assert process.faults_left == 4


@pytest.mark.parametrize("stop_signal", [signal.SIGTERM, signal.SIGINT])
def test_the_process_prints_its_url_and_stops_in_order_on_a_signal(tmp_path, stop_signal):
    command = [
        sys.executable,
        "-m",
        "airflow_provider_claude_batch.emulator",
        "--port=0",
        f"--state={tmp_path}",
    ]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        url = process.stdout.readline().split()[-1]
        assert EmulatorClient(url).batches == []
        process.send_signal(stop_signal)
        out, err = process.communicate(timeout=5)
    assert (process.returncode, out, err) == (0, "", "")


def test_a_port_that_is_taken_is_said_to_be(emulator):
    with pytest.raises(OSError, match="in use"):
        Emulator(port=emulator.port).__enter__()


def test_the_fixture_gives_a_fresh_emulator(pytester):
    pytester.makeconftest('pytest_plugins = ["airflow_provider_claude_batch.emulator.pytest_plugin"]')
    pytester.makepyfile(
        """
        import sys

        def test_it(claude_batch_emulator):
            assert claude_batch_emulator.batches == []
            assert "airflow" not in sys.modules
            assert "anthropic" not in sys.modules
        """
    )
    result = pytester.runpytest_subprocess("-p", "no:cacheprovider")
    result.assert_outcomes(passed=1)


def test_models_are_listed_and_shown(emulator, client):
    models = list(client.models.list())
    assert "claude-haiku-5-5" in [model.id for model in models]
    assert client.models.retrieve("claude-opus-5-5").capabilities.thinking.types.disabled.supported is False
    assert client.models.retrieve("claude-haiku-4-5").id == "claude-haiku-4-5-20251001"


def test_a_path_that_is_not_there_gets_the_api_s_error(emulator):
    response = httpx2.get(f"{emulator.url}/v1/nothing", headers=HEADERS)
    assert (response.status_code, response.json()["error"]["type"]) == (404, "not_found_error")
    assert response.json()["request_id"] == response.headers["request-id"]
