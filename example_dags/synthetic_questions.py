"""
Make questions and answers for training and testing a model, from the topics of a documentation.

1. **submit** asks about every topic from several angles: who asks, and how hard it is, by a cross join in the
   query. Each angle is asked twice (`samples_per_row`), since Claude does not say the same twice; samples of
   one row are separate requests, also where `deduplicate` sends equal rows once.
2. **load** publishes what was answered, one row for each sample.
3. **curate** leaves out what has no usable answer, what cites words that its text does not have, and what is
   nearly the same as another sample; it divides the rest by topic, so that no topic is in both `train` and
   `test`, and a topic stays where it is when others come.

The folder `destination` then holds each split as `.parquet` and as chat `.jsonl`, the samples that were left
out, each with its reason, and the data card, as JSON and for people. A run that is made again asks nothing
and writes the same bytes.

It needs the connections `anthropic_default` and `warehouse`: any SQL database with a table `topics`; and
datasketch. The emulator says the same twice: half of its samples are near-duplicates.
"""

# [START synthetic_questions]
from typing import Any

from airflow.providers.common.compat.sdk import AirflowFailException
from airflow.sdk import DAG, ObjectStoragePath, Param, task

from airflow_provider_claude_batch.operators.submit import ClaudeBatchSubmitOperator
from airflow_provider_claude_batch.sensors.batch import ClaudeBatchSensor
from airflow_provider_claude_batch.transfers.batch_to_parquet import ClaudeBatchToParquetOperator

SAMPLES_PER_ROW = 2

TEACHER = """\
You write exercises about Python's reference. From the text you get, make one question and its answer: a
question that stands on its own, without "the text" or "above", and an answer of one to three sentences that
needs nothing but the text. The evidence are the words of the text that the answer rests on, copied as they
stand, from one sentence.
"""

#: The system prompt of the chats that come out.
ASSISTANT = "You answer questions about the Python language, briefly and exactly."

with DAG(
    dag_id="synthetic_questions",
    schedule=None,
    tags=["claude", "batch", "example"],
    doc_md=__doc__,
    params={
        "destination": Param(type="string", minLength=1, description="Folder or URL of the data set."),
        "seeds": Param(20, type="integer", minimum=1, description="Topics; each gives twelve samples."),
        "max_similarity": Param(
            0.5,
            type="number",
            minimum=0.3,
            maximum=1,
            description="Share of three-word runs that two samples may have in common.",
        ),
        "test_share": Param(0.2, type="number", minimum=0, maximum=1, description="Of the topics."),
        "min_kept": Param(
            0.3, type="number", minimum=0, maximum=1, description="With less of the samples, fail."
        ),
        "model": Param("claude-haiku-5-5", enum=["claude-haiku-5-5", "claude-sonnet-5-5"]),
        "max_cost_usd": Param(5, type="number", exclusiveMinimum=0, description="Dollars at most."),
    },
) as synthetic_questions:
    submit = ClaudeBatchSubmitOperator(
        task_id="submit",
        sql_conn_id="warehouse",
        # Without its heading, which says no more than the topic's name.
        sql="""
            select topic, body, asked_by, wants, difficulty, needs
            from (
                select name as topic, left(substr(body, strpos(body, chr(10) || chr(10)) + 2), 6000) as body
                from topics
                order by name
                limit {{ params.seeds }}
            ) as seeds
            cross join (values
                ('beginner', 'what it is good for'),
                ('programmer', 'why code does not do what was expected'),
                ('reviewer', 'whether this is the right way')
            ) as people (asked_by, wants)
            cross join (values
                ('easy', 'one sentence is enough'),
                ('hard', 'several places have to be put together')
            ) as levels (difficulty, needs)
        """,
        key=["topic", "asked_by", "difficulty"],
        passthrough=["body"],
        samples_per_row=SAMPLES_PER_ROW,
        system=TEACHER,
        prompt="{body}\n\nQuestion: a {asked_by} asks about {topic}, {wants}; {difficulty}: {needs}",
        output_schema="question STRING, answer STRING, evidence STRING",
        model="{{ params.model }}",
        max_tokens=512,
        max_cost_usd="{{ params.max_cost_usd }}",
        reuse_answers="90d",
    )
    wait = ClaudeBatchSensor(task_id="wait", submission=submit.output, deferrable=True, poll_interval=10)
    load = ClaudeBatchToParquetOperator(
        task_id="load",
        submission=submit.output,
        destination="{{ params.destination }}/answers",
        checks="select min(length(question)) > 0 and min(length(answer)) > 0 from results "
        "where claude_outcome = 'ok'",
    )

    @task
    def curate(loaded: dict[str, Any], params: dict[str, Any]) -> dict[str, Any]:
        """Write the data set, and return what the card says in numbers."""
        import pyarrow as pa
        import pyarrow.parquet as pq
        import synthetic_questions_parts as parts

        limits = {name: params[name] for name in ("max_similarity", "test_share")}
        rows = []
        for file in loaded["files"]:
            rows += pq.read_table(pa.BufferReader(ObjectStoragePath(file).read_bytes())).to_pylist()
        curated = parts.curate(rows, **limits)
        if curated.kept_share < params["min_kept"]:
            raise AirflowFailException(
                f"{curated.kept_share:.0%} of the samples can be kept, fewer than {params['min_kept']:.0%}: "
                f"{curated.counts()}. No data set was written. Look at {loaded['files']}, ask from other "
                "angles, or allow a higher max_similarity."
            )
        about = {"model": params["model"], "samples_per_row": SAMPLES_PER_ROW, **limits}
        for name, content in parts.to_files(curated, system=ASSISTANT, about=about).items():
            (ObjectStoragePath(params["destination"]) / name).write_bytes(content)
        return curated.counts()

    submit >> wait >> load
    curate(load.output)
# [END synthetic_questions]
