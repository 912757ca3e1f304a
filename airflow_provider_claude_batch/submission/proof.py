"""
Whose a batch is: the ``custom_id`` of its first result line, which carries the submission's random identity.

The rest of the line, which may be another team's answer, is discarded unread.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from airflow_provider_claude_batch.submission import names

if TYPE_CHECKING:
    from collections.abc import Iterator

    from airflow_provider_claude_batch.core.manifest import Round, ShardRecord
    from airflow_provider_claude_batch.core.resume_decision import Proof
    from airflow_provider_claude_batch.hooks.claude_batch import ClaudeBatchHook
    from airflow_provider_claude_batch.submission.manifest_folder import ManifestFolder

#: The id comes first in a line as the API writes it; a gateway may put other fields before it.
_CUSTOM_ID = re.compile(rb'"custom_id"\s*:\s*"([a-zA-Z0-9_-]{1,64})"')
_ENOUGH_BYTES = 1 << 20


def prove(
    hook: ClaudeBatchHook, folder: ManifestFolder, record: Round, shard: ShardRecord, batch_id: str
) -> Proof:
    """
    Say whether a batch is the one that a shard became.

    Reads the batch's first result line as far as its ``custom_id``, and compares it with the shard's keys.
    Free.

    :param record: The round that the shard is of.
    :return: ``ours``, ``foreign``; ``not ended``, also where the API says that it is not there, as it now and
        then does of live batches; or ``unreadable``, where its results are gone for good.
    :raises anthropic.APIError: The API cannot be asked.
    :raises httpx2.RequestError: The results broke off before the id.
    """
    from anthropic import NotFoundError

    try:
        batch = hook.retrieve_batch(batch_id)
        if batch.archived_at is not None:
            return "unreadable"
        if batch.processing_status != "ended":
            return "not ended"
        with hook.open_results(batch_id) as chunks:
            custom_id = _first_custom_id(chunks)
    except NotFoundError:
        return "not ended"
    if custom_id is None:
        return "unreadable"
    return "ours" if custom_id in _custom_ids(folder, record, shard) else "foreign"


def _first_custom_id(chunks: Iterator[bytes]) -> str | None:
    head = b""
    for chunk in chunks:
        head += chunk
        if found := _CUSTOM_ID.search(head):
            return found[1].decode()
        if len(head) > _ENOUGH_BYTES:
            break
    return None


def _custom_ids(folder: ManifestFolder, record: Round, shard: ShardRecord) -> set[str]:
    import pyarrow.parquet as pq

    with folder.folder.open(names.keys_path(record.index, shard.index, record.identity)) as file:
        column = pq.read_table(file, columns=["claude_custom_id"]).column(0)
    return set(column.to_pylist())
