"""What a send says when it cannot go on: what became of the money, and what a retry does."""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow_provider_claude_batch.errors import (
    CreateRefusedError,
    PartlySentError,
    SubmissionUncertainError,
)

if TYPE_CHECKING:
    from airflow_provider_claude_batch.core.manifest import ShardRecord
    from airflow_provider_claude_batch.submission.manifest_folder import ManifestFolder


def partly_sent(shard: ShardRecord, paid: list[str], error: CreateRefusedError) -> PartlySentError:
    """Return what says that others of the submission are batches already."""
    return PartlySentError(
        f"Shard {shard.index} was not accepted, and {len(paid)} others are batches that go on and are "
        f"billed: {', '.join(paid)}. A retry sends what is left. {error}"
    )


def withheld(shard: ShardRecord) -> CreateRefusedError:
    """Return what says that the last byte was not sent, since too much time had passed."""
    return CreateRefusedError(
        f"Shard {shard.index}: the process stood still between the record and the last byte, which it then "
        "withheld. Nothing was accepted and nothing is billed for it. A retry sends it.",
        status_code=0,
        error_type=None,
        request_id=None,
        is_temporary=True,
    )


def other_process(shard: ShardRecord, attempt: int, folder: ManifestFolder) -> SubmissionUncertainError:
    """Return what says that another process has the shard."""
    return SubmissionUncertainError(
        f"Shard {shard.index} is being sent by another process, which recorded attempt {attempt} first. This "
        "one stopped before its last byte: it sent nothing and nothing is billed for it. A retry looks what "
        f"became of the other's. Manifest: {folder.uri}"
    )
