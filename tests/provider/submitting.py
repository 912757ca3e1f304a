"""A submission, step by step, without Airflow's processes."""

import dataclasses
import datetime as dt
import sqlite3
import tempfile
from pathlib import Path

import pyarrow as pa

from airflow_provider_claude_batch.core.gate import Gate
from airflow_provider_claude_batch.core.requests_to_shards import ShardCutter
from airflow_provider_claude_batch.hooks.claude_batch import ClaudeBatchHook
from airflow_provider_claude_batch.sources.sql import open_query
from airflow_provider_claude_batch.submission.budget import Budget
from airflow_provider_claude_batch.submission.check_spec import check_spec
from airflow_provider_claude_batch.submission.dataset_how import PublishHow
from airflow_provider_claude_batch.submission.final_rows import final_rows, final_schema
from airflow_provider_claude_batch.submission.land_taken import land
from airflow_provider_claude_batch.submission.loading import publish_submission
from airflow_provider_claude_batch.submission.manifest_folder import ManifestFolder, require_plan
from airflow_provider_claude_batch.submission.pauses import Pause
from airflow_provider_claude_batch.submission.pilot import Pilot
from airflow_provider_claude_batch.submission.pricing import price_list
from airflow_provider_claude_batch.submission.publish import Destination
from airflow_provider_claude_batch.submission.rounds import Rounds
from airflow_provider_claude_batch.submission.send import SendRules, send_shards
from airflow_provider_claude_batch.submission.settle import settle_generations
from airflow_provider_claude_batch.submission.shard_writer import PICOS
from airflow_provider_claude_batch.submission.snapshot import take_snapshot
from airflow_provider_claude_batch.submission.spec import make_spec
from airflow_provider_claude_batch.submission.staging import TaskInstanceId
from airflow_provider_claude_batch.submission.takeover import Takeover, find_takeover
from tests.provider.datasets import read_published

NOW = dt.datetime(2026, 11, 22, tzinfo=dt.UTC)
RULES = SendRules(grace=dt.timedelta(minutes=15), max_queued_requests=200_000)
TI = TaskInstanceId(dag_id="labels", run_id="night", task_id="load")
LABEL = {"type": "object", "properties": {"topic": {"enum": ["fruit", "metal"]}}}


@dataclasses.dataclass
class Submission:
    """One submission in a folder of its own, taken step by step."""

    folder: ManifestFolder
    destination: Path
    hook: ClaudeBatchHook

    def snapshot(
        self,
        sql="select * from items order by id",
        *,
        parameters=None,
        max_requests=100_000,
        identity="0123456789abcdef",
        takeover=None,
        account=None,
        cap=None,
        pilot=0,
        primes_cache=False,
        chunk_rows=2,
        staging_root="",
        **arguments,
    ):
        given = {
            "key": "id",
            "model": "claude-haiku-5-5",
            "max_tokens": 100,
            "prompt": "What is this: {body}",
            "output_schema": LABEL,
            **arguments,
        }
        spec = make_spec(claude_conn_id="anthropic_default", source=[sql, parameters], **given)
        check = check_spec(spec, self.hook.client)
        with open_query(sql, sql_conn_id="warehouse", parameters=parameters, chunk_rows=chunk_rows) as reader:
            return take_snapshot(
                self.folder,
                reader,
                spec,
                identity=identity,
                staging_root=staging_root,
                try_number=1,
                max_tries=1,
                now=NOW,
                on_shard=lambda shard: None,
                check=check,
                cutter=ShardCutter(
                    max_requests=max_requests,
                    first_requests=pilot or None,
                    max_weight=None if cap is None else int(cap * PICOS / 4),
                ),
                prices=None if cap is None else price_list(NOW),
                pilot_requests=pilot,
                primes_cache=primes_cache,
                takeover=takeover,
                account=account,
            )

    def send(self, *, rules=RULES, clock=lambda: dt.datetime.now(dt.UTC), cap=None, pilot_gate=None):
        plan, record = require_plan(self.folder)
        admit = None
        if cap is not None:
            self.folder.write_cap(cap)
            admit = Budget(folder=self.folder, plan=plan, hook=self.hook, cap_usd=cap).admit
        elif pilot_gate is not None:
            admit = Pilot(
                folder=self.folder,
                plan=plan,
                hook=self.hook,
                gate=pilot_gate,
                on_answers=lambda answers: None,
            ).admit
        steps = send_shards(
            self.folder, plan, record, self.hook, rules=rules, try_number=1, clock=clock, admit=admit
        )
        return list(steps)

    def land(self):
        plan, record = require_plan(self.folder)
        for shard in record.shards:
            land(self.folder, plan, record, shard, self.hook)

    def send_on(self, **how):
        """Send until no pause is left, for batches that end at once."""
        while isinstance((steps := self.send(**how))[-1], Pause):
            pass
        return steps

    def finish(
        self, *, max_rounds=3, grow_max_tokens=2.0, try_number=1, clock=lambda: dt.datetime.now(dt.UTC)
    ):
        """Land and send rounds until nothing is left or a pause is needed; return the steps."""
        plan, _ = require_plan(self.folder)
        cap = self.folder.read_cap()
        budget = None
        if cap is not None:
            budget = Budget(folder=self.folder, plan=plan, hook=self.hook, cap_usd=cap)
        rounds = Rounds(
            folder=self.folder,
            plan=plan,
            hook=self.hook,
            rules=RULES,
            max_rounds=max_rounds,
            grow_max_tokens=grow_max_tokens,
            deadline_margin=900.0,
            budget=budget,
            try_number=try_number,
            clock=clock,
        )
        return list(rounds.finish())

    def final(self) -> pa.Table:
        """Return the final rows by their key."""
        plan, first_round = require_plan(self.folder)
        schema = final_schema(
            self.folder, first_round, plan.settings.output_schema, keep_content=plan.keep_content
        )
        rows = pa.Table.from_batches(final_rows(self.folder, self.folder.rounds(plan)), schema)
        return rows.sort_by("id")

    def land_all(self, **arguments) -> None:
        """Take the snapshot, send and land, for batches that end at once."""
        self.snapshot(**arguments)
        self.send_on()
        self.finish()

    def run_to_its_end(self, **arguments) -> pa.Table:
        """Do the same, and publish."""
        self.land_all(**arguments)
        return self.publish()

    def publish(self, *, max_error_rate=None, checks=(), **how) -> pa.Table:
        plan, _ = require_plan(self.folder)
        publish_submission(
            self.folder,
            plan,
            Destination.at(str(self.destination)),
            how=PublishHow.of(key=plan.settings.key, **how),
            gate=Gate.of(max_error_rate),
            checks=checks,
            rounds_stopped="",
            ti=TI,
            now=NOW,
        )
        return read_published(self.destination)


def change(table, statement):
    """Change the warehouse's table."""
    with sqlite3.connect(table) as connection:
        connection.execute(statement)
    connection.close()


def takeover_from(earlier, hook, *, account) -> Takeover:
    """Return what a new generation would take over, with an index in a folder of its own."""
    scratch = Path(tempfile.mkdtemp(prefix="claude_batch_test_"))
    return find_takeover(earlier, hook, account=account, now=dt.datetime.now(dt.UTC), scratch=scratch)


def successor(submission, hook=None, **arguments):
    """Take the snapshot of the next generation, as a clear of the submit task does."""
    hook = hook or submission.hook
    account = hook.list_batches().account
    settle_generations(
        [submission.folder], hook, grace=RULES.grace, try_number=2, clock=lambda: dt.datetime.now(dt.UTC)
    )
    takeover = takeover_from([submission.folder], hook, account=account)
    folder = ManifestFolder.at(submission.folder.uri.replace("/g00", "/g01"))
    second = dataclasses.replace(submission, folder=folder, hook=hook)
    second.snapshot(identity="f" * 16, takeover=takeover, account=account, **arguments)
    return second


def create_batches(count: int = 1) -> list[str]:
    """Create batches of one request each on the default connection and return their ids."""
    request = {
        "custom_id": "a",
        "params": {
            "model": "claude-haiku-5-5",
            "max_tokens": 5,
            "messages": [{"role": "user", "content": "Hi"}],
        },
    }
    with ClaudeBatchHook().client as client:
        return [client.messages.batches.create(requests=[request]).id for _ in range(count)]
