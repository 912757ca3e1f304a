"""The extra link from a task to its batch. Evaluated on the worker, after every leg of the task."""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow.sdk import BaseOperatorLink

from airflow_provider_claude_batch.errors import ClaudeBatchInputError

if TYPE_CHECKING:
    from airflow.sdk import BaseOperator
    from airflow.sdk.types import TaskInstanceKey

#: Where a batch is shown, unless the provider config ``[claude_batch] batch_url`` says otherwise.
CONSOLE_URL = "https://platform.claude.com/workspaces/default/batches"


class ClaudeBatchLink(BaseOperatorLink):
    """Open the batch of a task; of several, the first."""

    name = "Claude batch"

    def get_link(self, operator: BaseOperator, *, ti_key: TaskInstanceKey) -> str:
        """Return the address, or nothing while the task has no batch."""
        try:
            batch_ids: list[str] = getattr(operator, "linked_batch_ids", [])
        except ClaudeBatchInputError:
            # The task itself says what is wrong with its arguments.
            return ""
        return batch_url(batch_ids[0]) if batch_ids else ""


def batch_url(batch_id: str) -> str:
    """
    Return the address of a batch for a person.

    :param batch_id: Stands for ``{batch_id}`` in the provider config ``[claude_batch] batch_url``.
    """
    from airflow.providers.common.compat.sdk import conf

    template: str = conf.get("claude_batch", "batch_url", fallback=CONSOLE_URL)
    return template.replace("{batch_id}", batch_id)
