"""How a submit task comes to its plan: earlier generations settled, request checked, snapshot taken."""

from __future__ import annotations

import secrets
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from airflow_provider_claude_batch.core.deadline import to_deadline
from airflow_provider_claude_batch.core.durations import to_timedelta
from airflow_provider_claude_batch.core.limits import EXPIRES_AFTER
from airflow_provider_claude_batch.errors import ApiUnavailableError
from airflow_provider_claude_batch.hooks.refusals import error_to_line
from airflow_provider_claude_batch.operators.arguments import open_rows, to_spec
from airflow_provider_claude_batch.operators.estimating import tell_estimate
from airflow_provider_claude_batch.operators.priming import requests_ahead
from airflow_provider_claude_batch.submission.check_spec import check_spec
from airflow_provider_claude_batch.submission.deployment import cap_usd, send_rules, shard_cutter
from airflow_provider_claude_batch.submission.manifest_folder import ManifestFolder, require_plan
from airflow_provider_claude_batch.submission.pauses import Pause, merge_pauses
from airflow_provider_claude_batch.submission.pricing import price_list
from airflow_provider_claude_batch.submission.reuse import add_earlier_runs
from airflow_provider_claude_batch.submission.settle import settle_generations
from airflow_provider_claude_batch.submission.snapshot import take_snapshot
from airflow_provider_claude_batch.submission.staging import (
    TaskInstanceId,
    earlier_generations,
    open_generation,
    staging_root,
    submission_folder,
)
from airflow_provider_claude_batch.submission.storage import scratch_folder
from airflow_provider_claude_batch.submission.takeover import find_takeover

if TYPE_CHECKING:
    from collections.abc import Iterator

    from airflow.sdk import BaseOperator, Context

    from airflow_provider_claude_batch.core.manifest import Plan, ShardRecord
    from airflow_provider_claude_batch.hooks.claude_batch import ClaudeBatchHook
    from airflow_provider_claude_batch.operators.submit import ClaudeBatchSubmitOperator
    from airflow_provider_claude_batch.submission.send import SentShard
    from airflow_provider_claude_batch.submission.spec import SubmissionSpec


def find_or_make_plan(
    asked: ClaudeBatchSubmitOperator, hook: ClaudeBatchHook, context: Context, *, manifest: str | None
) -> tuple[ManifestFolder, Plan | Pause]:
    """
    Return the generation that a submit task works on, and its plan or what to wait for before there is one.

    :param manifest: Of the generation that a wait has interrupted.
    :raises ClaudeBatchInputError: The request, a column, a key or a row is not as it must be.
    """
    spec = to_spec(asked)
    folder = ManifestFolder.at(manifest) if manifest else _open_folder(asked, spec, context)
    plan = folder.read_plan()
    if plan is None:
        with _before_anything_is_sent(hook):
            return folder, make_plan(asked, folder, spec, hook, context=context)
    if not manifest:
        log_snapshot_found(asked, folder, plan, spec)
    return folder, plan


@contextmanager
def _before_anything_is_sent(hook: ClaudeBatchHook) -> Iterator[None]:
    """Say of an API that cannot be asked where it is, and that nothing is lost."""
    from anthropic import APIError

    try:
        yield
    except APIError as error:
        raise ApiUnavailableError(
            f"claude_conn_id {hook.claude_conn_id!r}: {hook.client.base_url} cannot be asked: "
            f"{error_to_line(error)}. Nothing was sent by this try; a retry asks again."
        ) from None


def _open_folder(asked: ClaudeBatchSubmitOperator, spec: SubmissionSpec, context: Context) -> ManifestFolder:
    ti = context["ti"]
    return open_generation(
        submission_folder(staging_root(asked.staging_path), TaskInstanceId.of(ti)),
        settings_digest=spec.settings().digest(),
        try_number=ti.try_number,
        max_tries=ti.max_tries,
    )


def make_plan(
    asked: ClaudeBatchSubmitOperator,
    folder: ManifestFolder,
    spec: SubmissionSpec,
    hook: ClaudeBatchHook,
    *,
    context: Context,
) -> Plan | Pause:
    """
    Take the snapshot of a generation that has none.

    :return: The plan, or what to wait for first: a batch of an earlier generation whose answer was lost.
    :raises ClaudeBatchInputError: The request, a column, a key or a row is not as it must be.
    """
    ti, root = context["ti"], staging_root(asked.staging_path)
    until = to_deadline(asked.deadline, now=_now(), timezone=context["dag"].timezone)
    cap = cap_usd(asked.max_cost_usd)
    reuse = to_timedelta(asked.reuse_answers, argument="reuse_answers")
    earlier = earlier_generations(folder)
    pauses = settle_generations(
        earlier, hook, grace=send_rules(hook).grace, try_number=ti.try_number, clock=_now
    )
    if pauses:
        return merge_pauses(pauses)
    account = hook.list_batches().account
    check = check_spec(spec, hook.client)
    ahead = requests_ahead(asked, spec)
    identity = secrets.token_hex(8)
    with open_rows(asked, spec, context) as reader, scratch_folder() as scratch:
        takeover = find_takeover(earlier, hook, account=account, now=_now(), scratch=scratch)
        if reuse is not None:
            add_earlier_runs(takeover, root, TaskInstanceId.of(ti), since=_now() - reuse)
        plan = take_snapshot(
            folder,
            reader,
            spec,
            identity=identity,
            staging_root=root,
            try_number=ti.try_number,
            max_tries=ti.max_tries,
            now=_now(),
            on_shard=lambda shard: _log_shard(asked, shard),
            check=check,
            cutter=shard_cutter(identity, first_requests=ahead or None, cap_usd=cap),
            takeover=takeover,
            account=account,
            deadline=until,
            prices=None if cap is None else price_list(_now()),
            pilot_requests=ahead,
            primes_cache=ahead > 0 and not asked.pilot_rows,
        )
    folder.write_cap(cap)
    _log_made(asked, folder, plan)
    if asked.estimate:
        tell_estimate(asked, folder, plan, hook, dag_id=ti.dag_id)
    return plan


def _log_made(operator: BaseOperator, folder: ManifestFolder, plan: Plan) -> None:
    if plan.rejected_rows:
        operator.log.warning(
            "%d of %d rows are rejected and not sent: see claude_error_message in the dataset.",
            plan.rejected_rows,
            plan.row_count,
        )
    operator.log.info("Snapshot of %d rows: %s", plan.row_count, folder.uri)
    if elsewhere := plan.taken_requests + plan.repeated_requests:
        requests = (plan.row_count - plan.rejected_rows) * plan.settings.samples_per_row
        operator.log.info(
            "%d of %d requests are already answered, %d are asked by other rows; sending %d",
            plan.taken_requests,
            requests,
            plan.repeated_requests,
            requests - elsewhere,
        )
    until = plan.deadline
    if until is not None and until - _now() < EXPIRES_AFTER:
        operator.log.info(
            "Answers are needed by %s, and batches may take %s: shortly before, the sensor cancels what has "
            "not ended; those rows come out as canceled and are not billed.",
            until.isoformat(),
            EXPIRES_AFTER,
        )


def log_plan(operator: BaseOperator, folder: ManifestFolder, plan: Plan) -> None:
    """Say what ``plan_only`` has planned."""
    _, first_round = require_plan(folder)
    operator.log.info(
        "Planned and not sent: %d rows, %d rejected, in %d shards with %d requests and %.1f MB: %s",
        plan.row_count,
        plan.rejected_rows,
        len(first_round.shards),
        sum(shard.requests for shard in first_round.shards),
        sum(shard.body_bytes for shard in first_round.shards) / 1e6,
        folder.uri,
    )


def log_sent(operator: BaseOperator, sent: SentShard, *, shard_count: int) -> None:
    """Say which batch a shard is, and how that is known."""
    how = "" if sent.is_new else ", on record already"
    if sent.shard.taken is not None:
        how = f", whose answers are taken from {sent.shard.taken.manifest}"
    operator.log.info(
        "Shard %d of %d is %s%s: %d requests, %.1f MB",
        sent.shard.index + 1,
        shard_count,
        sent.batch.batch_id,
        how,
        sent.shard.requests,
        sent.shard.body_bytes / 1e6,
    )


def log_snapshot_found(
    operator: BaseOperator, folder: ManifestFolder, plan: Plan, spec: SubmissionSpec
) -> None:
    """Say that a retry goes on with what an earlier try has read."""
    operator.log.info(
        "Going on with the snapshot of %d rows taken at %s by try %d: %s. The query is not run again.",
        plan.row_count,
        plan.created_at.isoformat(),
        plan.try_number,
        folder.uri,
    )
    if plan.settings_digest != spec.settings().digest():
        operator.log.warning(
            "The arguments have changed since, but a part of the snapshot was sent already: the rest is sent "
            "as it was."
        )


def _log_shard(operator: BaseOperator, shard: ShardRecord) -> None:
    operator.log.info(
        "Shard %d is written: %d requests, %.1f MB",
        shard.index + 1,
        shard.requests,
        shard.body_bytes / 1e6,
    )


def _now() -> datetime:
    return datetime.now(UTC)
