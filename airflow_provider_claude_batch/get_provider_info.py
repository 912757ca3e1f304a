"""What this package tells Airflow about itself. Data only: read by every Airflow process at its start."""

from __future__ import annotations

from typing import Any

_PACKAGE = "airflow_provider_claude_batch"
_INTEGRATION = "Claude Message Batches"


def get_provider_info() -> dict[str, Any]:
    """Return the provider's metadata, in the shape of Airflow's ``provider_info.schema.json``."""
    return {
        "package-name": "airflow-provider-claude-batch",
        "name": _INTEGRATION,
        "description": "A warehouse query through Anthropic's Message Batches API into Parquet.",
        "integrations": [
            {
                "integration-name": _INTEGRATION,
                "external-doc-url": "https://platform.claude.com/docs/en/build-with-claude/batch-processing",
                "tags": ["ai"],
            }
        ],
        "operators": [_modules("operators.submit")],
        "sensors": [_modules("sensors.batch")],
        "hooks": [_modules("hooks.claude_batch")],
        "triggers": [_modules("triggers.batch", "triggers.batch_ended")],
        "transfers": [
            {
                "source-integration-name": _INTEGRATION,
                "target-integration-name": "Parquet",
                "python-module": f"{_PACKAGE}.transfers.batch_to_parquet",
            },
            {
                "source-integration-name": _INTEGRATION,
                "target-integration-name": "SQL",
                "python-module": f"{_PACKAGE}.transfers.batch_to_sql",
            },
        ],
        "notifications": [f"{_PACKAGE}.notifications.report.ClaudeBatchReportNotifier"],
        "task-decorators": [
            {"name": "claude_batch", "class-name": f"{_PACKAGE}.decorators.claude_batch.claude_batch_task"}
        ],
        "cli": [f"{_PACKAGE}.cli.definition.get_cli_commands"],
        "extra-links": [f"{_PACKAGE}.links.batch.ClaudeBatchLink"],
        "config": {"claude_batch": {"description": "Claude Message Batches.", "options": _OPTIONS}},
    }


def _modules(*names: str) -> dict[str, Any]:
    return {"integration-name": _INTEGRATION, "python-modules": [f"{_PACKAGE}.{name}" for name in names]}


_OPTIONS: dict[str, dict[str, Any]] = {
    "staging_path": {
        "description": (
            "Where manifest folders lie: a path or an object storage URI that every worker reaches. Empty: "
            "a folder claude_batch under AIRFLOW_HOME."
        ),
        "version_added": "0.1.0",
        "type": "string",
        "example": "s3://aws_default@my-bucket/claude_batch",
        "default": "",
    },
    "staging_is_shared": {
        "description": "All hosts that run tasks mount staging_path, though it is a path and not a URI.",
        "version_added": "0.1.0",
        "type": "boolean",
        "example": None,
        "default": "False",
    },
    "batch_url": {
        "description": "Address that the extra link of a task opens; {batch_id} stands for the batch's id.",
        "version_added": "0.1.0",
        "type": "string",
        "example": None,
        "default": "https://platform.claude.com/workspaces/default/batches",
    },
    "lost_create_grace_seconds": {
        "description": (
            "Seconds that a create whose answer was lost is searched in the API's list before it is taken as "
            "never accepted: the SDK's timeout of a create, 600, and five minutes. Lower only in tests: a "
            "batch that appears later is paid twice."
        ),
        "version_added": "0.1.0",
        "type": "float",
        "example": None,
        "default": "900",
    },
    "max_queued_requests": {
        "description": (
            "Requests that may be in the workspace's processing queue; a submit task waits until there is "
            "room. The default is the lowest usage tier's. A connection's extra of the same name wins."
        ),
        "version_added": "0.1.0",
        "type": "integer",
        "example": "500000",
        "default": "200000",
    },
    "max_requests_per_batch": {
        "description": "Requests that a shard has at most; the API takes no more than the default.",
        "version_added": "0.1.0",
        "type": "integer",
        "example": None,
        "default": "100000",
    },
    "max_bytes_per_batch": {
        "description": (
            "Bytes of a shard's body at most, for a proxy that takes less than the API; the API takes no "
            "more than the default."
        ),
        "version_added": "0.1.0",
        "type": "integer",
        "example": None,
        "default": "256000000",
    },
    "max_cost_usd": {
        "description": (
            "Dollars that a submission may cost at most, all its rounds together, where its task says "
            "nothing. Empty for no cap."
        ),
        "version_added": "0.1.0",
        "type": "string",
        "example": "25",
        "default": "",
    },
    "prices": {
        "description": (
            "Prices that are not the list's, as JSON: dollars for a million tokens of a batch by model and "
            "kind (input, output, cache_write_5m, cache_write_1h, cache_read). What is not named stays as "
            "listed. An author's own prices win."
        ),
        "version_added": "0.1.0",
        "type": "string",
        "example": '{"claude-haiku-5-5": {"input": "0.045"}}',
        "default": "",
    },
}
