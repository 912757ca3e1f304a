"""The same API through the TypeScript SDK, a second client that others wrote."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_claude_batch.emulator import Emulator

FOLDER = Path(__file__).parent / "typescript"
SDK = FOLDER / "node_modules" / "@anthropic-ai" / "sdk" / "package.json"


def install() -> None:
    """Install the SDK beside the script, unless the pinned version is there."""
    wanted = json.loads((FOLDER / "package.json").read_text())["dependencies"]["@anthropic-ai/sdk"]
    if SDK.exists() and json.loads(SDK.read_text())["version"] == wanted:
        return
    npm = [shutil.which("npm") or "npm", "install"]
    done = subprocess.run(npm, cwd=FOLDER, capture_output=True, text=True, check=False)
    if done.returncode != 0 and not os.environ.get("CI"):
        pytest.skip(f"npm cannot install the SDK: {done.stderr.strip()[-300:]}")
    assert done.returncode == 0, done.stderr


@pytest.fixture(scope="module")
def seen() -> dict[str, Any]:
    missing = [name for name in ("node", "npm") if shutil.which(name) is None]
    if missing and not os.environ.get("CI"):
        pytest.skip(f"{' and '.join(missing)} not found")
    install()
    with Emulator() as emulator:
        done = subprocess.run(
            [shutil.which("node") or "node", "batches.mjs", emulator.url],
            cwd=FOLDER,
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
    assert done.returncode == 0, done.stderr
    seen: dict[str, Any] = json.loads(done.stdout)
    return seen


def test_it_creates_and_lists_over_several_pages(seen):
    assert seen["listed"] == seen["created"][::-1]


def test_it_retrieves(seen):
    assert seen["retrieved"]["processing_status"] == "ended"
    assert seen["retrieved"]["request_counts"]["succeeded"] == 3


def test_it_streams_results(seen):
    assert sorted(line["custom_id"] for line in seen["results"]) == ["row-0", "row-1", "row-2"]
    assert {line["result"]["type"] for line in seen["results"]} == {"succeeded"}


def test_it_cancels(seen):
    assert seen["canceling"]["processing_status"] == "canceling"
    assert seen["canceled"]["request_counts"]["canceled"] == 2


def test_it_deletes(seen):
    assert seen["deleted"] == {"id": seen["created"][0], "type": "message_batch_deleted"}
    assert seen["gone"] == {"status": 404, "name": "NotFoundError", "type": "not_found_error"}


def test_it_raises_the_api_s_errors(seen):
    assert (seen["refused"]["status"], seen["refused"]["name"]) == (400, "BadRequestError")
    assert seen["refused"]["message"].startswith("requests.0.custom_id: String should match pattern")
