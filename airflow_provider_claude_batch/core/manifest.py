"""
The records of a manifest folder, each one JSON file, and their reading and writing as bytes.

The folder is the only truth about what was sent: a record that cannot be read is an error, never "nothing
there".
"""

from __future__ import annotations

import datetime as dt
import hashlib
from dataclasses import dataclass, field
from typing import Literal, TypeVar

import msgspec

from airflow_provider_claude_batch.core.output_schema import JsonObject
from airflow_provider_claude_batch.errors import ManifestUnreadableError

#: Of every record. Readers refuse a number they do not know.
SCHEMA_VERSION = 1

#: In ``claude_rejected`` of a row's keys: the row is among another shard's keys too, whose answers are taken
#: from an earlier generation.
TAKEN = "taken from an earlier generation"

#: The same, of a row that asks what another row of the submission asks: it has that row's answer.
REPEATED = "asked by another row"

#: What ``claude_rejected`` says of rows that are not sent and get an answer all the same.
ANSWERED_ELSEWHERE = (TAKEN, REPEATED)

Record = TypeVar("Record")

#: What stays in a manifest folder when its results are published, beside the JSON records.
Retain = Literal["answers", "everything", "nothing"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """
    What decides the requests of a submission; a different digest means different requests.

    :param source_digest: Of the rendered query and its parameters.
    :param request_digest: Of the compiled request: model, prompt, system, schema, every parameter.
    """

    claude_conn_id: str
    model: str
    key: list[str]
    passthrough: list[str]
    source_digest: str
    request_digest: str
    betas: list[str] = field(default_factory=list)
    samples_per_row: int = 1
    output_schema: JsonObject | None = None

    def digest(self) -> str:
        """Return 32 hexadecimal digits that change with any of the settings."""
        return hashlib.sha256(msgspec.json.encode(self, order="sorted")).hexdigest()[:32]


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """
    ``plan.json``: the snapshot is whole, and this is what it is.

    :param identity: Random 16 hexadecimal digits, in front of every ``custom_id`` of the submission.
    :param row_count: Rows of the source; each is ``samples_per_row`` requests.
    :param rejected_rows: Those of them that are not sent, each with its reason among the keys.
    :param repeated_requests: Requests that are not sent since another row asks the same.
    :param taken_requests: Requests that are not sent since they were answered for an earlier run.
    :param staging_root: URI that the folder is under, where copies of receipts go.
    :param retain: What stays in the folder after a successful load.
    :param retain_failed_days: Days that everything stays where there is none, from the snapshot on.
    :param pilot_requests: Requests of the first shard, that goes out before the rest; 0 for no pilot.
    :param primes_cache: They only write the prompt cache that the rest reads, and nothing is judged by them.
    :param keep_content: The raw blocks of the answers go into the Parquet too.
    :param try_number: Of the task instance that took the snapshot.
    :param max_tries: Of the same; a person's *clear* of a finished task raises it.
    :param workspace_id: The API's own word, where it gives one; another key's workspace is refused.
    """

    identity: str
    created_at: dt.datetime
    row_count: int
    settings: Settings
    settings_digest: str
    try_number: int
    max_tries: int
    rejected_rows: int = 0
    repeated_requests: int = 0
    taken_requests: int = 0
    staging_root: str = ""
    retain: Retain = "answers"
    retain_failed_days: int = 30
    pilot_requests: int = 0
    primes_cache: bool = False
    keep_content: bool = False
    schema_version: int = SCHEMA_VERSION
    deadline: dt.datetime | None = None
    max_cost_usd: str | None = None
    organization_id: str | None = None
    workspace_id: str | None = None

    def account_differs_from(self, organization_id: str | None, workspace_id: str | None) -> str | None:
        """Say how the account of a key is another than the plan's; what the API did not tell is the same."""
        for what, planned, found in (
            ("organization", self.organization_id, organization_id),
            ("workspace", self.workspace_id, workspace_id),
        ):
            if planned is not None and found is not None and planned != found:
                return f"{what} {planned}, and not {found}"
        return None


@dataclass(frozen=True, slots=True, kw_only=True)
class Taken:
    """
    Where the answers of a shard come from that is not sent, since the same requests were sent before.

    :param manifest: URI of the generation that sent them.
    """

    manifest: str
    round_index: int
    shard_index: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ShardRecord:
    """
    One shard of a round.

    :param requests: Number of its requests; 0 where it becomes no batch: every row of it was rejected, or
        its answers are ``taken``.
    :param body_bytes: Exact size of the create's body.
    :param sha256: Of that body, in hexadecimal.
    :param max_output_tokens: Sum of ``max_tokens`` over its requests.
    :param models: That its requests name.
    :param worst_case_usd: The most that it can cost, where the plan has a cap.
    :param taken: Where its answers come from; its keys then hold the ``custom_id`` of the request there.
    """

    index: int
    requests: int
    body_bytes: int
    sha256: str
    max_output_tokens: int = 0
    models: list[str] = field(default_factory=list)
    worst_case_usd: str | None = None
    taken: Taken | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Round:
    """
    ``rNN/round-IDENTITY.json``: the shards of one round are whole, and these are they.

    :param identity: In the names of its files, so that two tries which write at the same time never write
        the same file: the snapshot's for the first round, one of its own for each later one.
    :param is_closed: There is no such round and never will be: a later generation has taken over.
    """

    index: int
    identity: str
    shards: list[ShardRecord]
    is_closed: bool = False
    schema_version: int = SCHEMA_VERSION


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimated:
    """
    ``estimate.json``: what the submission was thought to come to before it was sent.

    :param text: One line for people.
    :param usd_low: ``None``, as the other dollars, where a price is not known.
    """

    text: str
    requests: int
    input_tokens: int
    output_tokens_low: int
    output_tokens_high: int
    output_source: str
    usd_low: str | None
    usd_high: str | None
    list_usd: str | None
    schema_version: int = SCHEMA_VERSION


@dataclass(frozen=True, slots=True, kw_only=True)
class PilotResult:
    """
    ``pilot.json``: what became of the rows that went out first.

    :param refusal: Why the rest was not sent, or ``None``.
    """

    requests: int
    refusal: str | None
    outcomes: dict[str, int]
    tokens: dict[str, int]
    cost_usd: str | None
    schema_version: int = SCHEMA_VERSION


@dataclass(frozen=True, slots=True, kw_only=True)
class Cap:
    """
    ``cap.json``: the most that a submission may cost, as its task said last.
    """

    max_cost_usd: str
    schema_version: int = SCHEMA_VERSION


@dataclass(frozen=True, slots=True, kw_only=True)
class WithoutCredit:
    """
    ``rNN/without-credit.json``: the account had no credit left, and no round was sent.

    :param try_number: Of the load's task instance; a later one sends.
    """

    try_number: int
    schema_version: int = SCHEMA_VERSION


@dataclass(frozen=True, slots=True, kw_only=True)
class Sent:
    """
    ``rNN/sent-NNNNN.aK.json``: from here on the shard may be a batch.

    :param cursor: Newest batch of the workspace before the create, or ``None`` where there was none.
    :param request_count: Requests of the shard, by which its batch is found in the list.
    :param looked_at: When the cursor was the newest; as ``sent_at``, by the clock of the API's answers.
    :param nonce: Tells this record from another process's, should the store answer late.
    :param is_closed: Nothing was sent and nothing will be: a later generation has taken the submission over.
    """

    attempt: int
    cursor: str | None
    request_count: int
    looked_at: dt.datetime
    sent_at: dt.datetime
    try_number: int
    nonce: str
    is_closed: bool = False
    schema_version: int = SCHEMA_VERSION


@dataclass(frozen=True, slots=True, kw_only=True)
class Refused:
    """
    ``rNN/refused-NNNNN.aK.json``: attempt K became no batch and never will.

    :param status_code: Of the API's definite no; 0 where the last byte was withheld.
    """

    attempt: int
    status_code: int
    error_type: str | None
    request_id: str | None
    refused_at: dt.datetime
    schema_version: int = SCHEMA_VERSION


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchRecord:
    """
    ``rNN/batch-NNNNN.json``: the shard is this batch.

    :param batch_id: The API's id.
    :param known_by: ``answered`` by the create itself, or ``proven`` by the batch's first result line.
    :param created_at: By the API's clock.
    :param ended_at: By the same clock, once it was seen to have ended.
    :param loaded_at: When its results were written to the manifest folder.
    :param results_sha256: Of the file that holds them; ``None`` where who wrote it could not say so any more.
    :param schema_version: Of the record.
    """

    batch_id: str
    known_by: Literal["answered", "proven"]
    created_at: dt.datetime
    ended_at: dt.datetime | None = None
    loaded_at: dt.datetime | None = None
    results_sha256: str | None = None
    schema_version: int = SCHEMA_VERSION


@dataclass(frozen=True, slots=True, kw_only=True)
class Receipt:
    """
    ``receipt.json``: what a submission came to.

    :param dag_id: Of the task that loaded.
    :param run_id: Of the same.
    :param task_id: Of the same.
    :param map_index: Of the same; -1 where it is not mapped.
    :param identity: Of the submission, as in its plan.
    :param model: That was asked for.
    :param batch_ids: Of all rounds.
    :param rows: Rows published.
    :param outcomes: Rows by outcome.
    :param tokens: Sums by kind, over all rows.
    :param created_at: When the snapshot was taken.
    :param published_at: When the rows were.
    :param files: URIs of what was published.
    :param batch_seconds: From the creation to the end of each of its own batches, of all rounds.
    :param cost_usd: What the rows cost, but those whose answers were paid for earlier; ``None`` where a price
        is not known.
    :param list_cost_usd: What the same tokens cost outside batches.
    :param cost_by_kind: Dollars by kind of tokens.
    :param saved_usd: Dollars against doing without a ``batch``, the ``cache``, or ``reuse``.
    :param estimate_usd: What was thought before, from and to.
    :param cache_hit_rate: Of the tokens that were written to or read from the prompt cache those that were
        read, 0 to 1; ``None`` where nothing was.
    :param rounds: Rounds in all.
    :param reused_rows: Rows whose answers were paid for earlier.
    :param billed_rows: Rows that the output tokens are of; ``None`` in a receipt that does not say it.
    :param schema_version: Of the record.
    """

    dag_id: str
    run_id: str
    task_id: str
    map_index: int
    identity: str
    model: str
    batch_ids: list[str]
    rows: int
    outcomes: dict[str, int]
    tokens: dict[str, int]
    created_at: dt.datetime
    published_at: dt.datetime
    files: list[str] = field(default_factory=list)
    batch_seconds: list[float] = field(default_factory=list)
    cost_usd: str | None = None
    list_cost_usd: str | None = None
    cost_by_kind: dict[str, str] = field(default_factory=dict)
    saved_usd: dict[str, str] = field(default_factory=dict)
    estimate_usd: list[str] = field(default_factory=list)
    cache_hit_rate: float | None = None
    rounds: int = 1
    reused_rows: int = 0
    billed_rows: int | None = None
    schema_version: int = SCHEMA_VERSION


def to_json(record: object) -> bytes:
    """Return a record as indented UTF-8 JSON, for people and programs."""
    return msgspec.json.format(msgspec.json.encode(record), indent=2) + b"\n"


def from_json(data: bytes, kind: type[Record], *, where: str) -> Record:
    """
    Read a record.

    :param data: Bytes of the file.
    :param kind: Record class that the file holds.
    :param where: URI of the file, for the message.
    :raises ManifestUnreadableError: The bytes are not such a record, or are of a schema version not known
        here.
    """
    try:
        version = msgspec.json.decode(data, type=_Version).schema_version
        if version == SCHEMA_VERSION:
            return msgspec.json.decode(data, type=kind)
        reason = f"it is of schema version {version}, and this package knows {SCHEMA_VERSION}"
    except ValueError as error:
        reason = str(error)
    raise ManifestUnreadableError(
        f"{where}: {reason}. A batch may be in flight; nothing is sent until the file can be read."
    )


@dataclass(frozen=True, slots=True)
class _Version:
    schema_version: int
