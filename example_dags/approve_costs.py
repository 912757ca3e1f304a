"""
Describe every package in the warehouse for a bill of materials, once a person has agreed to what it costs.

1. **plan** reads the rows, checks every request and estimates what they cost; nothing is sent.
2. **approve** shows the estimate on Airflow's page of required actions and waits, without a worker, for a
   person. No answer within twelve hours counts as a rejection.
3. **submit** sends what was planned, or is skipped with everything after it. The query is not run again.
4. **wait** and **load** are as in `label_packages`.

It needs the connection `anthropic_default`, and `warehouse`: any SQL database with a table `packages`.
"""

# [START approve_costs]
from datetime import timedelta
from typing import Any

from airflow.sdk import DAG, Param, task

from airflow_provider_claude_batch.task_groups.approval import claude_batch_with_approval

PACKAGE_NOTE = {
    "type": "object",
    "properties": {
        "purpose": {"type": "string", "description": "What the package is for, in one plain sentence."},
        "uses_network": {"type": "boolean", "description": "Whether it talks to other machines."},
        "native_code": {"type": "boolean", "description": "Whether it brings compiled code."},
    },
    "required": ["purpose", "uses_network", "native_code"],
    "additionalProperties": False,
}

with DAG(
    dag_id="approve_costs",
    schedule=None,
    tags=["claude", "batch", "example"],
    doc_md=__doc__,
    params={"destination": Param(type="string", minLength=1, description="Folder or URL for the Parquet.")},
) as approve_costs:
    notes = claude_batch_with_approval(
        group_id="notes",
        subject="Describe the packages of {{ run_id }} with Claude?",
        approval={"response_timeout": timedelta(hours=12), "defaults": "Reject"},
        sql_conn_id="warehouse",
        sql="select distribution_id, name, version, summary, description, classifiers from packages",
        key="distribution_id",
        system="You write entries for a software bill of materials. Say what is known, and nothing else.",
        prompt="{name} {version}\n\n{summary}\n\n{classifiers}\n\n{description}",
        output_schema=PACKAGE_NOTE,
        model="claude-haiku-5-5",
        max_tokens=256,
        passthrough=["name", "version"],
        max_cost_usd=5,
        poll_interval=10,
        destination="{{ params.destination }}",
    )

    @task
    def tell(loaded: dict[str, Any]) -> str:
        """Say what became of the rows, and what they cost."""
        return f"{loaded['rows']} rows, {loaded['outcomes']}, ${loaded['cost_usd']}"

    tell(notes.output)
# [END approve_costs]
