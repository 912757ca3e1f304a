"""A submission, step by step, without Airflow's processes."""

import dataclasses
import datetime as dt
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from airflow_provider_claude_batch.core.requests_to_shards import ShardCutter
from airflow_provider_claude_batch.hooks.claude_batch import ClaudeBatchHook
from airflow_provider_claude_batch.sources.sql import open_query
from airflow_provider_claude_batch.submission.check_spec import check_spec
from airflow_provider_claude_batch.submission.land_taken import land
from airflow_provider_claude_batch.submission.manifest_folder import ManifestFolder, require_plan
from airflow_provider_claude_batch.submission.publish import Destination, publish
from airflow_provider_claude_batch.submission.send import SendRules, send_shards
from airflow_provider_claude_batch.submission.snapshot import take_snapshot
from airflow_provider_claude_batch.submission.spec import make_spec

NOW = dt.datetime(2026, 11, 22, tzinfo=dt.UTC)
RULES = SendRules(grace=dt.timedelta(minutes=15), max_queued_requests=200_000)
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
        with open_query(sql, sql_conn_id="warehouse", parameters=parameters, chunk_rows=2) as reader:
            return take_snapshot(
                self.folder,
                reader,
                spec,
                identity=identity,
                try_number=1,
                max_tries=1,
                now=NOW,
                on_shard=lambda shard: None,
                check=check,
                cutter=ShardCutter(max_requests=max_requests),
                takeover=takeover,
                account=account,
            )

    def send(self, *, rules=RULES, clock=lambda: dt.datetime.now(dt.UTC)):
        plan, record = require_plan(self.folder)
        return list(send_shards(self.folder, plan, record, self.hook, rules=rules, try_number=1, clock=clock))

    def land(self):
        plan, record = require_plan(self.folder)
        for shard in record.shards:
            land(self.folder, plan, record, shard, self.hook)

    def publish(self) -> pa.Table:
        plan, record = require_plan(self.folder)
        publish(
            self.folder,
            record,
            Destination.at(str(self.destination)),
            row_count=plan.row_count * plan.settings.samples_per_row,
            json_schema=plan.settings.output_schema,
        )
        return pq.read_table(self.destination / "data.parquet")


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
