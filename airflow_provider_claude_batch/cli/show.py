"""``claude-batch show``: one submission, shard by shard."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from airflow_provider_claude_batch.cli.facts import read_facts
from airflow_provider_claude_batch.cli.facts_to_json import facts_to_json
from airflow_provider_claude_batch.cli.folders import open_manifest
from airflow_provider_claude_batch.cli.live import api_errors_in_a_line, look
from airflow_provider_claude_batch.cli.next_steps import next_steps
from airflow_provider_claude_batch.cli.text import count, print_json, to_size, to_time
from airflow_provider_claude_batch.hooks.claude_batch import ClaudeBatchHook
from airflow_provider_claude_batch.submission.deployment import lost_create_grace

if TYPE_CHECKING:
    from argparse import Namespace
    from collections.abc import Iterator

    from airflow_provider_claude_batch.cli.facts import ShardFacts, SubmissionFacts
    from airflow_provider_claude_batch.cli.live import LiveBatch
    from airflow_provider_claude_batch.core.manifest import BatchRecord, Refused, Sent
    from airflow_provider_claude_batch.hooks.listing import Listing

_WIDTH = 10


@dataclass(frozen=True, slots=True)
class _Live:
    """What the API was asked, or was not."""

    batches: dict[str, LiveBatch] | None = None
    listing: Listing | None = None


def run(given: Namespace) -> int:
    """Print what is on record of a submission, what the API says of its batches, and what comes next."""
    facts = read_facts(open_manifest(given.manifest))
    live = _ask(facts) if given.is_live else _Live()
    steps = next_steps(facts, listing=live.listing, now=datetime.now(UTC), grace=lost_create_grace())
    if given.is_json:
        print_json(facts_to_json(facts, live=live.batches, steps=steps))
    else:
        print(*_lines(facts, live.batches, steps), sep="\n")
    return 0


def _ask(facts: SubmissionFacts) -> _Live:
    hook = ClaudeBatchHook(facts.plan.settings.claude_conn_id)
    with (
        hook.client as client,
        api_errors_in_a_line("Nothing was changed; without --live the record is shown."),
    ):
        batches = look(client, list(facts.known))
        since = facts.earliest_open
        listing = hook.list_batches(back_to=since - lost_create_grace()) if since is not None else None
    return _Live(batches, listing)


def _lines(facts: SubmissionFacts, live: dict[str, LiveBatch] | None, steps: list[str]) -> Iterator[str]:
    yield from _head(facts)
    for shard in facts.shards:
        yield from _shard_lines(shard, live)
    receipt = facts.receipt
    if receipt is not None:
        outcomes = ", ".join(f"{number:,} {outcome}" for outcome, number in receipt.outcomes.items())
        yield _line("Receipt", f"{to_time(receipt.published_at)}, {count(receipt.rows, 'row')}: {outcomes}")
        yield from (_line("", file) for file in receipt.files)
    for index, step in enumerate(steps):
        yield _line("" if index else "Next", step)


def _head(facts: SubmissionFacts) -> Iterator[str]:
    name, plan, settings = facts.name, facts.plan, facts.plan.settings
    mapped = f"[{name.map_index}]" if name.map_index >= 0 else ""
    requests = sum(shard.shard.requests for shard in facts.shards if not shard.round_index)
    yield _line("Manifest", facts.manifest)
    yield _line("Task", f"{name.dag_id} / {name.run_id} / {name.task_id}{mapped}, g{name.generation:02d}")
    yield _line("Snapshot", f"{to_time(plan.created_at)} by try {plan.try_number}, identity {plan.identity}")
    yield _line(
        "Rows",
        f"{count(plan.row_count, 'row')}, {plan.rejected_rows:,} of them rejected; "
        f"{count(requests, 'request')}",
    )
    yield _line(
        "Settings",
        f"connection {settings.claude_conn_id}, model {settings.model or '(of each row)'}, "
        f"key {', '.join(settings.key)}, digest {plan.settings_digest}",
    )
    account = [word for word in (plan.organization_id, plan.workspace_id) if word]
    if account:
        yield _line("Account", " / ".join(account))
    if plan.deadline is not None:
        yield _line("Deadline", to_time(plan.deadline))
    if plan.max_cost_usd is not None:
        yield _line("Cap", f"{plan.max_cost_usd} USD")


def _shard_lines(shard: ShardFacts, live: dict[str, LiveBatch] | None) -> Iterator[str]:
    record = shard.shard
    what = f"{count(record.requests, 'request')}, {to_size(record.body_bytes)}"
    if record.taken is not None:
        what = (
            f"not sent: its answers are those of shard {record.taken.shard_index} of {record.taken.manifest}"
        )
    elif not record.requests:
        what = "nothing to send: all its rows are rejected"
    yield _line(shard.title, what) if not shard.round_index else f"{shard.title}: {what}"
    for sent, refused in shard.attempts:
        yield _line("", _attempt(sent, refused))
    if shard.batch is not None:
        yield _line("", _batch(shard.batch))
        if live is not None:
            yield _line("", _now(live.get(shard.batch.batch_id)))
    elif shard.is_unanswered:
        yield _line("", "its answer is lost: it may be a batch")


def _attempt(sent: Sent, refused: Refused | None) -> str:
    if sent.is_closed:
        return f"closed {to_time(sent.sent_at)}: a later generation took the submission over"
    newer = f"newer than {sent.cursor}" if sent.cursor else "no batch was there before"
    line = f"attempt {sent.attempt} sent {to_time(sent.sent_at)} by try {sent.try_number}, {newer}"
    if refused is None:
        return line
    if not refused.status_code:
        return f"{line}; its last byte was withheld {to_time(refused.refused_at)}, so nothing was accepted"
    facts = f"HTTP {refused.status_code} {refused.error_type or ''}".rstrip()
    return f"{line}; refused {to_time(refused.refused_at)}: {facts} (request-id {refused.request_id})"


def _batch(batch: BatchRecord) -> str:
    return (
        f"{batch.batch_id}, {batch.known_by}, created {to_time(batch.created_at)}, "
        f"ended {to_time(batch.ended_at)}, loaded {to_time(batch.loaded_at)}"
    )


def _now(live: LiveBatch | None) -> str:
    if live is None:
        return "now: the API does not show it"
    counts = ", ".join(f"{number:,} {name}" for name, number in live.request_counts.items())
    archived = f"; results gone since {to_time(live.archived_at)}" if live.archived_at else ""
    return f"now: {live.processing_status}, {counts}{archived}"


def _line(label: str, text: str) -> str:
    return f"{label:{_WIDTH}}{text}"
