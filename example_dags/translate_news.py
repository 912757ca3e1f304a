"""
Translate the news over night, and have every article in every language in the morning, whatever happens.

1. **table** makes the table of the translations where there is none.
2. **submit** asks for what is not in it: each article in each language, unless it was translated as it is
   today. The style guide, which all requests share, is written to the prompt cache once and read from there.
3. **wait** cancels what has not ended a quarter of an hour before the deadline, which is not billed.
4. **load** publishes Parquet, divided by language. It sends failed rows again, but not after the deadline;
   rows that were too late do not keep the others back.
5. **write** brings the translations into the table.
6. **any_late** goes on only where rows were too late. **answer_late** asks for those through the ordinary
   Messages API, a few at a time, at list price, and for no more than `max_late`; **write_late** adds them.
7. **complete** fails where a translation is missing, and says how many.

The table has one row for each article and language; its `service_tier` says how it was answered: `batch`, or
`standard` where the batch was too late. The late answers are in `late/late.parquet`, beside the dataset.
Nothing is paid for twice: what is in the table is not asked again, and every late answer is on record before
the next is asked for.

It needs the connections `anthropic_default`, and `warehouse`: any SQL database with a table `topics`, which
may be your articles.
"""

# [START translate_news]
import logging
from datetime import UTC, datetime, timedelta
from typing import Any

import translate_news_parts as parts
from airflow.providers.common.compat.sdk import AirflowFailException
from airflow.providers.common.sql.operators.sql import SQLExecuteQueryOperator
from airflow.sdk import DAG, ObjectStoragePath, Param, TriggerRule, task

from airflow_provider_claude_batch.hooks.claude_batch import ClaudeBatchHook
from airflow_provider_claude_batch.operators.submit import ClaudeBatchSubmitOperator
from airflow_provider_claude_batch.sensors.batch import ClaudeBatchSensor
from airflow_provider_claude_batch.submission.pricing import price_list
from airflow_provider_claude_batch.transfers.batch_to_parquet import ClaudeBatchToParquetOperator
from airflow_provider_claude_batch.transfers.batch_to_sql import ClaudeBatchToSqlOperator
from airflow_provider_claude_batch.warehouse.dataset import local_files, to_dataset

log = logging.getLogger(__name__)

NIGHT = "{{ params.destination }}/night={{ dag_run.run_after | ds }}"
PROMPT = "Translate this article into {language}:\n\nHeadline: {name}\n\n{body}"
MAX_TOKENS = 6000

TABLE = """
    create table if not exists translations (
        topic_id bigint, language varchar(20), body_digest varchar(32),
        headline text, summary text, text text, model varchar(100), service_tier varchar(20)
    )
"""

MISSING = """
    select topic_id, language, name, body, md5(body) as body_digest
    from (
        select * from topics
        where length(body) between 500 and 6000
        order by topic_id
        limit {{ params.articles }}
    ) as articles
    cross join (values ('{{ params.languages | join("'), ('") }}')) as languages (language)
    where not exists (
        select 1 from translations as known
        where known.topic_id = articles.topic_id
        and known.language = languages.language
        and known.body_digest = md5(articles.body)
    )
"""

TRANSLATION = {
    "type": "object",
    "properties": {"headline": {"type": "string"}, "summary": {"type": "string"}, "text": {"type": "string"}},
    "required": ["headline", "summary", "text"],
    "additionalProperties": False,
}

KEY = ["topic_id", "language"]
WRITTEN = {name: name for name in [*KEY, "body_digest", *TRANSLATION["properties"]]} | {
    "claude_model": "model",
    "claude_service_tier": "service_tier",
}

with DAG(
    dag_id="translate_news",
    # Without a start_date, switching the Dag on makes up for no night that was missed.
    schedule="0 1 * * *",
    catchup=False,
    max_active_runs=1,
    default_args={"retries": 3, "retry_delay": timedelta(minutes=2)},
    tags=["claude", "batch", "example"],
    doc_md=__doc__,
    params={
        "destination": Param(
            "/data/translations", type="string", minLength=1, description="Folder or URL for the Parquet."
        ),
        "languages": Param(
            ["de", "fr", "ja"],
            type="array",
            items={"type": "string", "enum": ["de", "es", "fr", "ja", "pt-BR"]},
            minItems=1,
            uniqueItems=True,
            description="As BCP 47 names them; the style guide has rules for each.",
        ),
        "articles": Param(30, type="integer", minimum=1, description="Of those there are, at most."),
        "deadline": Param(
            "06:30", type="string", description="When readers come: a time in UTC, or a date and time."
        ),
        "max_late": Param(
            50, type="integer", minimum=1, description="Late rows that are asked for at list price, at most."
        ),
        "max_cost_usd": Param(10, type="number", exclusiveMinimum=0, description="Dollars for the batch."),
        "model": Param("claude-sonnet-5-5", enum=["claude-haiku-5-5", "claude-sonnet-5-5"]),
    },
) as translate_news:
    table = SQLExecuteQueryOperator(task_id="table", conn_id="warehouse", sql=TABLE)
    submit = ClaudeBatchSubmitOperator(
        task_id="submit",
        sql_conn_id="warehouse",
        sql=MISSING,
        key=KEY,
        system=parts.STYLE_GUIDE,
        cache_ttl="1h",
        prompt=PROMPT,
        output_schema=TRANSLATION,
        model="{{ params.model }}",
        max_tokens=MAX_TOKENS,
        passthrough=["name", "body", "body_digest"],
        max_cost_usd="{{ params.max_cost_usd }}",
        reuse_answers="7d",
        deadline="{{ params.deadline }}",
    )
    wait = ClaudeBatchSensor(task_id="wait", submission=submit.output, deferrable=True)
    load = ClaudeBatchToParquetOperator(
        task_id="load",
        submission=submit.output,
        destination=NIGHT,
        partition_by=["language"],
        # Not expired and canceled: those are asked for below.
        max_error_rate=dict.fromkeys(["errored", "invalid_output", "missing", "refused", "truncated"], 0.02),
    )
    write = ClaudeBatchToSqlOperator(
        task_id="write", dataset=load.output, sql_conn_id="warehouse", table="translations", columns=WRITTEN
    )

    @task.short_circuit(ignore_downstream_trigger_rules=False)
    def any_late(loaded: dict[str, Any]) -> bool:
        """Say whether there are rows that the batch did not answer in time."""
        return any(loaded["outcomes"].get(outcome) for outcome in parts.LATE)

    @task
    def answer_late(loaded: dict[str, Any], folder: str, params: dict[str, Any]) -> dict[str, Any]:
        """Ask the Messages API for what is late, and write it as Parquet beside the dataset."""
        with local_files(to_dataset(loaded)) as files:
            late = parts.late_rows(files)
        asked = late[: params["max_late"]]
        if asked != late:
            log.warning("%d of %d late rows are left out by max_late.", len(late) - len(asked), len(late))

        def to_params(row: dict[str, Any]) -> dict[str, Any]:
            return {
                "model": params["model"],
                "max_tokens": MAX_TOKENS,
                "system": [
                    {"type": "text", "text": parts.STYLE_GUIDE, "cache_control": {"type": "ephemeral"}}
                ],
                "messages": [{"role": "user", "content": PROMPT.format(**row)}],
                "output_config": {"format": {"type": "json_schema", "schema": TRANSLATION}},
            }

        there = ObjectStoragePath(folder)
        answers = parts.answer_all(
            ClaudeBatchHook().client,
            asked,
            to_params,
            there / "answers",
            schema=TRANSLATION,
            prices=price_list(datetime.now(UTC)),
        )
        (there / "late.parquet").write_bytes(parts.answers_to_parquet(answers))
        usable = sum(answer["claude_outcome"] == "ok" for answer in answers)
        return {"asked": len(answers), "usable": usable, "cost_usd": str(parts.total_usd(answers))}

    write_late = ClaudeBatchToSqlOperator(
        task_id="write_late",
        dataset=f"{NIGHT}/late/late.parquet",
        sql_conn_id="warehouse",
        table="translations",
        key=KEY,
        columns=WRITTEN,
    )

    @task(trigger_rule=TriggerRule.NONE_FAILED_MIN_ONE_SUCCESS)
    def complete(loaded: dict[str, Any], late: dict[str, Any] | None) -> str:
        """Fail where a translation is missing; else say how the rows were answered."""
        late = late or {"asked": 0, "usable": 0, "cost_usd": "0"}
        missing = loaded["rows"] - loaded["outcomes"].get("ok", 0) - late["usable"]
        said = (
            f"{loaded['rows']} translations were asked for. The batch: {loaded['outcomes']}, "
            f"${float(loaded['cost_usd'] or 0):.2f}. The Messages API: {late['usable']} of {late['asked']} "
            f"usable, ${float(late['cost_usd']):.2f}."
        )
        if missing:
            raise AirflowFailException(
                f"{missing} translations are missing. {said} Leave them to the next run or trigger one by "
                "hand with a later deadline: both ask for these alone, in a batch."
            )
        return said

    answered = answer_late(load.output, f"{NIGHT}/late")
    table >> submit >> wait >> load >> any_late(load.output) >> answered >> write_late
    write >> write_late
    [write, write_late] >> complete(load.output, answered)
# [END translate_news]
