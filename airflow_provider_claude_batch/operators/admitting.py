"""What a shard has to pass before a submit task sends it: the pilot, and the cap."""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow_provider_claude_batch.core.estimate import output_of_pilot
from airflow_provider_claude_batch.core.gate import Gate
from airflow_provider_claude_batch.operators.estimating import tell_estimate
from airflow_provider_claude_batch.submission.budget import Budget
from airflow_provider_claude_batch.submission.deployment import cap_usd
from airflow_provider_claude_batch.submission.pilot import Pilot

if TYPE_CHECKING:
    from collections.abc import Sequence

    from airflow_provider_claude_batch.core.manifest import Plan, Round, ShardRecord
    from airflow_provider_claude_batch.hooks.claude_batch import ClaudeBatchHook
    from airflow_provider_claude_batch.operators.submit import ClaudeBatchSubmitOperator
    from airflow_provider_claude_batch.submission.manifest_folder import ManifestFolder
    from airflow_provider_claude_batch.submission.pauses import Pause
    from airflow_provider_claude_batch.submission.send import Admit


def to_admit(
    asked: ClaudeBatchSubmitOperator,
    folder: ManifestFolder,
    plan: Plan,
    hook: ClaudeBatchHook,
    *,
    dag_id: str,
) -> Admit:
    """
    Return what is asked before each shard is sent.

    The cap of this try is put on record, where the rounds of the load find it.

    :raises ClaudeBatchInputError: The cap is no number of dollars.
    """
    gate = Gate.of(asked.pilot_max_error_rate, min_error_count=1)

    def estimate_again(answers: Sequence[int]) -> None:
        asked.log.info("The pilot's %d usable answers let the rest go out.", len(answers))
        if asked.estimate and (output := output_of_pilot(answers)) is not None:
            tell_estimate(asked, folder, plan, hook, dag_id=dag_id, output=output)

    pilot = Pilot(folder=folder, plan=plan, hook=hook, gate=gate, on_answers=estimate_again)
    cap = cap_usd(asked.max_cost_usd)
    if cap is None and asked.submission is not None:
        # The task that planned has said it.
        cap = folder.read_cap()
    folder.write_cap(cap)
    if cap is None:
        return pilot.admit
    budget = Budget(folder=folder, plan=plan, hook=hook, cap_usd=cap)

    def admit(record: Round, shard: ShardRecord) -> Pause | None:
        return pilot.admit(record, shard) or budget.admit(record, shard)

    return admit
