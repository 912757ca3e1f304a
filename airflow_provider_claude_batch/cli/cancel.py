"""``claude-batch cancel``: cancel a submission's own batches, never one that is not proven to be its own."""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow_provider_claude_batch.cli.facts import read_facts
from airflow_provider_claude_batch.cli.folders import open_manifest
from airflow_provider_claude_batch.cli.live import api_errors_in_a_line, look
from airflow_provider_claude_batch.cli.text import count, is_confirmed
from airflow_provider_claude_batch.hooks.claude_batch import ClaudeBatchHook
from airflow_provider_claude_batch.hooks.refusals import error_to_line

if TYPE_CHECKING:
    from argparse import Namespace
    from collections.abc import Sequence

    from airflow_provider_claude_batch.cli.facts import SubmissionFacts
    from airflow_provider_claude_batch.cli.live import LiveBatch


def run(given: Namespace) -> int:
    """Say what will be canceled and what is billed all the same, ask, and cancel."""
    folder = open_manifest(given.manifest)
    facts = read_facts(folder)
    hook = ClaudeBatchHook(facts.plan.settings.claude_conn_id)
    with hook.client as client:
        with api_errors_in_a_line("Nothing was canceled."):
            live = look(client, list(facts.known))
        running = [batch_id for batch_id in facts.known if _is_running(live.get(batch_id))]
        print(*_lines(facts, live), sep="\n")
        if not running:
            print("There is nothing to cancel.")
            return 0
        requests = sum(facts.known[batch_id].shard.requests for batch_id in running)
        question = f"Cancel {count(len(running), 'batch')} with {count(requests, 'request')}?"
        if not is_confirmed(question, is_yes=given.yes):
            print("Nothing was canceled.")
            return 1
        folder.mark_canceled()
        return _cancel(hook, running)


def _is_running(live: LiveBatch | None) -> bool:
    return live is not None and live.processing_status == "in_progress"


def _lines(facts: SubmissionFacts, live: dict[str, LiveBatch]) -> list[str]:
    lines = []
    for batch_id, shard in facts.known.items():
        batch = live.get(batch_id)
        status = batch.processing_status if batch is not None else "not shown by the API; it is left alone"
        requests = count(shard.shard.requests, "request")
        lines.append(f"{shard.title}: {batch_id}, {requests}, {status}")
    lines += [
        f"{shard.title}: its answer is lost, so it may be a batch. It is not canceled, since nothing proves "
        "which one it is; claude-batch adopt proves one that has ended."
        for shard in facts.unanswered
    ]
    if unsent := facts.unsent:
        lines.append(
            f"{count(len(unsent), 'shard')} not sent: a retry of the submit task sends what is left, so end "
            "that task first."
        )
    lines.append(
        "Requests that are answered before the cancel takes effect are billed, and the load task publishes "
        "them; the others are not billed, come out as canceled and are not sent again by it."
    )
    return lines


def _cancel(hook: ClaudeBatchHook, batch_ids: Sequence[str]) -> int:
    """Cancel each; one that cannot be canceled does not keep the others from it."""
    from anthropic import APIError

    failed = 0
    for batch_id in batch_ids:
        try:
            print(f"{batch_id} is {hook.cancel_batch(batch_id).processing_status}")
        except APIError as error:
            if _has_ended(hook, batch_id):
                print(f"{batch_id} ended before it could be canceled")
                continue
            failed += 1
            print(f"{batch_id} was not canceled and goes on: {error_to_line(error)}")
    return 1 if failed else 0


def _has_ended(hook: ClaudeBatchHook, batch_id: str) -> bool:
    from anthropic import APIError

    try:
        return hook.retrieve_batch(batch_id).processing_status == "ended"
    except APIError:
        return False
