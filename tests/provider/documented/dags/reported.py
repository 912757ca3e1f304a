"""A load that mails its receipt."""

# [START reported]
from airflow.providers.smtp.notifications.smtp import SmtpNotifier
from airflow.sdk import DAG

from airflow_provider_claude_batch.notifications.report import ClaudeBatchReportNotifier
from airflow_provider_claude_batch.operators.submit import ClaudeBatchSubmitOperator
from airflow_provider_claude_batch.transfers.batch_to_parquet import ClaudeBatchToParquetOperator

REPORT = ClaudeBatchReportNotifier(
    SmtpNotifier(
        to="data@example.com",
        subject="{{ claude_batch_receipt.rows }} labels for ${{ claude_batch_receipt.cost_usd }}",
        html_content="<pre>{{ claude_batch_report | e }}</pre>",
    )
)

with DAG(dag_id="reported", schedule=None) as reported:
    submit = ClaudeBatchSubmitOperator(
        task_id="submit",
        sql_conn_id="shop",
        sql="select review_id, body from reviews",
        key="review_id",
        prompt="Is this good or bad?\n{body}",
        model="claude-haiku-5-5",
        max_tokens=256,
    )
    ClaudeBatchToParquetOperator(
        task_id="load", submission=submit.output, destination="labels", on_success_callback=REPORT
    )
# [END reported]
