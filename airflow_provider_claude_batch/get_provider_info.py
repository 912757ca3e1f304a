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
        "triggers": [_modules("triggers.batch")],
        "transfers": [
            {
                "source-integration-name": _INTEGRATION,
                "target-integration-name": "Parquet",
                "python-module": f"{_PACKAGE}.transfers.batch_to_parquet",
            }
        ],
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
}
