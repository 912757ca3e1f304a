"""Apache Airflow provider for Anthropic's Message Batches API: warehouse query in, Parquet out."""

__version__ = "0.1.0"
