"""A Dag that starts when a batch of the workspace ends."""

# [START watched]
from typing import Any

from airflow.sdk import DAG, Asset, AssetWatcher, task

from airflow_provider_claude_batch.triggers.batch_ended import ClaudeBatchEndedTrigger

ENDED = Asset(
    "claude_batches",
    watchers=[
        AssetWatcher(name="ended", trigger=ClaudeBatchEndedTrigger(claude_conn_id="anthropic_default"))
    ],
)

with DAG(dag_id="what_ended", schedule=[ENDED]) as what_ended:

    @task
    def tell(triggering_asset_events: Any) -> list[str]:
        """Return the ids of the batches that started the run."""
        return [event.extra["payload"]["batch_id"] for event in triggering_asset_events[ENDED]]

    tell()
# [END watched]
