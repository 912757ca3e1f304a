"""
Find answers that were paid for and never loaded, before Anthropic removes them.

Results are kept for 29 days from the creation of their batch. A Dag that was paused, or whose load failed and
was forgotten, leaves them there. This Dag looks through the submissions under the staging root and warns of
each of their batches that has ended and that no load has taken. Other people's batches are left alone.

With `load` it also writes the results into their manifest folders, where they stay. That costs nothing and
publishes nothing: clear the load of the Dag's own run, and it publishes them from there.

It needs the connection of the workspace, and the staging root where tasks of this Dag see it.
"""

# [START rescue_results]
import logging
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from typing import Any

from airflow.sdk import DAG, Param, task

from airflow_provider_claude_batch.hooks.claude_batch import ClaudeBatchHook
from airflow_provider_claude_batch.submission.rescue import Unloaded, find_unloaded, load_unloaded
from airflow_provider_claude_batch.submission.staging import staging_root
from airflow_provider_claude_batch.submission.storage import Folder

log = logging.getLogger(__name__)

with DAG(
    dag_id="rescue_results",
    schedule="@weekly",
    start_date=datetime(2026, 1, 1, tzinfo=UTC),
    catchup=False,
    tags=["claude", "batch", "maintenance"],
    doc_md=__doc__,
    params={
        "load": Param(False, type="boolean", description="Write the results into their manifest folders."),
        "min_age_hours": Param(48, type="number", minimum=0, description="Younger batches are left out."),
        "claude_conn_id": Param("anthropic_default", type="string", description="Of the workspace."),
        "staging_path": Param("", type="string", description="Empty: [claude_batch] staging_path."),
    },
) as rescue_results:

    @task
    def find(params: dict[str, Any]) -> list[dict[str, Any]]:
        """Warn about each batch that no load has taken, those first that are removed first."""
        now = datetime.now(UTC)
        youngest = now - timedelta(hours=params["min_age_hours"])
        root = Folder.at(staging_root(params["staging_path"]))
        found = [
            unloaded
            for unloaded in find_unloaded(root, ClaudeBatchHook(params["claude_conn_id"]), now)
            if unloaded.created_at <= youngest
        ]
        for unloaded in found:
            log.warning(
                "Batch %s, %d requests, is removed on %s and was not loaded: shard %d of %s",
                unloaded.batch_id,
                unloaded.requests,
                unloaded.ends_at.date(),
                unloaded.shard,
                unloaded.manifest,
            )
        return [asdict(unloaded) for unloaded in found]

    @task
    def choose(found: list[dict[str, Any]], params: dict[str, Any]) -> list[dict[str, Any]]:
        """Return what is to be loaded: nothing, unless the run asks for it."""
        return found if params["load"] else []

    @task(max_active_tis_per_dagrun=2, map_index_template="{{ task.op_kwargs.found.batch_id }}")
    def load(found: dict[str, Any], params: dict[str, Any]) -> str:
        """Write the results of one batch into its manifest folder."""
        return load_unloaded(Unloaded(**found), ClaudeBatchHook(params["claude_conn_id"])).batch_id

    load.expand(found=choose(find()))
# [END rescue_results]
