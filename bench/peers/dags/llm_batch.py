"""
Rows to JSONL by ``LLMBatchOperator``, in the form of its example ``example_llm_batch_decorator``.

The operator refuses to poll more often than every 30 seconds. Here it polls as often as the others, so that
the times can be compared.
"""

from airflow.sdk import DAG, task

from bench.peers.dag_setup import DEFAULT_ARGS, MAX_TOKENS, MODEL, POLL_SECONDS, DagSetup, setups
from bench.peers.pipelines import LLM_BATCH


def make_dag(setup: DagSetup) -> DAG:
    """Return the Dag for one scenario."""
    with DAG(dag_id=setup.dag_id, schedule=None, default_args=DEFAULT_ARGS) as dag:

        @task.llm_batch(
            llm_conn_id=setup.dag_id,
            model_id=f"anthropic:{MODEL}",
            result_path=f"{setup.output.as_uri()}/{{{{ run_id }}}}",
            max_tokens=MAX_TOKENS,
            deferrable=setup.scenario.deferrable,
        )
        def make_prompts() -> list[str]:
            return [prompt for _, prompt in setup.prompts()]

        make_prompts().operator.poll_interval = POLL_SECONDS
    return dag


for dag_setup in setups(LLM_BATCH):
    globals()[dag_setup.dag_id] = make_dag(dag_setup)
