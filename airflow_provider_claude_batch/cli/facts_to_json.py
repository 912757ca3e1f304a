"""One submission as JSON, for programs: the records as they are, without the author's texts."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from collections.abc import Sequence

    from airflow_provider_claude_batch.cli.facts import ShardFacts, SubmissionFacts
    from airflow_provider_claude_batch.cli.live import LiveBatch
    from airflow_provider_claude_batch.core.manifest import Plan


def facts_to_json(
    facts: SubmissionFacts, *, live: dict[str, LiveBatch] | None, steps: Sequence[str]
) -> dict[str, object]:
    """
    Return one JSON object.

    :param live: What the API says of each batch, if it was asked; ``now`` of a shard is null where the API
        does not show its batch, and is not there where it was not asked.
    :param steps: What a retry does.
    """
    return {
        **_fields(facts.name),
        "manifest": facts.manifest,
        "newest_generation": facts.newest_generation,
        "plan": _plan(facts.plan),
        "shards": [_shard(shard, live) for shard in facts.shards],
        "receipt": facts.receipt,
        "next": list(steps),
    }


def _plan(plan: Plan) -> dict[str, object]:
    """Return the plan; of the output schema, whose descriptions are texts, the names only."""
    settings = _fields(plan.settings)
    schema = settings.pop("output_schema")
    properties = schema.get("properties") if isinstance(schema, dict) else None
    settings["answer_columns"] = list(properties) if isinstance(properties, dict) else []
    return {**_fields(plan), "settings": settings}


def _shard(shard: ShardFacts, live: dict[str, LiveBatch] | None) -> dict[str, object]:
    found: dict[str, object] = {
        "round": shard.round_index,
        **_fields(shard.shard),
        "state": _state(shard),
        "attempts": [{**_fields(sent), "refused": refused} for sent, refused in shard.attempts],
        "batch": shard.batch,
        "has_results": shard.has_results,
    }
    if live is not None and shard.batch is not None:
        found["now"] = live.get(shard.batch.batch_id)
    return found


def _state(shard: ShardFacts) -> str:
    if shard.batch is not None:
        return "batch"
    if shard.is_unanswered:
        return "no answer"
    if shard.is_closed:
        return "closed"
    return "not sent" if shard.is_unsent else "nothing to send"


def _fields(record: object) -> dict[str, object]:
    fields: dict[str, object] = msgspec.to_builtins(record)
    return fields
