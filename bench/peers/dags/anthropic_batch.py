"""
Rows to JSONL by ``AnthropicBatchOperator``.

It takes a ready list of requests and returns the batch's id, so two tasks of the author's own stand around
it: one that makes the requests, and one that streams the results to a file, by the hook's method that its
documentation names. It is run with the retries of the others, and with ``retries=0``, as its documentation
advises.
"""

from airflow.providers.anthropic.hooks.anthropic import AnthropicHook
from airflow.providers.anthropic.operators.batch import AnthropicBatchOperator
from airflow.sdk import DAG, task

from bench.peers.dag_setup import DEFAULT_ARGS, MAX_TOKENS, MODEL, POLL_SECONDS, DagSetup, setups
from bench.peers.pipelines import ANTHROPIC_BATCH, ANTHROPIC_BATCH_ONCE


def make_dag(setup: DagSetup) -> DAG:
    """Return the Dag for one scenario."""
    with DAG(dag_id=setup.dag_id, schedule=None, default_args=DEFAULT_ARGS) as dag:

        @task
        def make_requests() -> list[dict[str, object]]:
            return [
                {
                    "custom_id": f"row-{key}",
                    "params": {
                        "model": MODEL,
                        "max_tokens": MAX_TOKENS,
                        "messages": [{"role": "user", "content": prompt}],
                    },
                }
                for key, prompt in setup.prompts()
            ]

        @task
        def save_results(batch_id: str) -> None:
            # Kept by name: the stream breaks where the hook, and its client with it, is collected meanwhile.
            hook = AnthropicHook(conn_id=setup.dag_id)
            setup.output.mkdir(parents=True, exist_ok=True)
            with (setup.output / "results.jsonl").open("w") as file:
                for result in hook.stream_batch_results(batch_id):
                    file.write(result.model_dump_json() + "\n")

        batch = AnthropicBatchOperator(
            task_id="batch",
            requests=make_requests(),
            conn_id=setup.dag_id,
            deferrable=setup.scenario.deferrable,
            poll_interval=POLL_SECONDS,
            retries=setup.pipeline.retries,
        )
        save_results(batch.output)
    return dag


for pipeline in (ANTHROPIC_BATCH, ANTHROPIC_BATCH_ONCE):
    for dag_setup in setups(pipeline):
        globals()[dag_setup.dag_id] = make_dag(dag_setup)
