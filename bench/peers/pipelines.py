"""The ways to send rows that are compared. Data only: every Dag file imports it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class Pipeline:
    """
    One way from rows to a file.

    :param name: Part of Dag and connection ids.
    :param title: What the table says.
    :param conn_type: Type of the connection that it takes.
    :param posts: Its own function that posts the batch, by qualified name.
    :param polls: Its own function that asks whether the batch has ended, in a worker.
    :param output: What it leaves.
    :param retries: Of the task that sends.
    """

    name: str
    title: str
    conn_type: Literal["anthropic", "pydanticai"]
    posts: str
    polls: str
    output: Literal["parquet", "results", "rows"]
    retries: int = 2


OURS = Pipeline(
    name="ours",
    title="ours",
    conn_type="anthropic",
    posts="ClaudeBatchHook.create_batch",
    polls="ClaudeBatchSensor.poke",
    output="parquet",
)
ANTHROPIC_BATCH = Pipeline(
    name="anthropic_batch",
    title="AnthropicBatchOperator",
    conn_type="anthropic",
    posts="AnthropicHook.create_batch",
    polls="AnthropicHook.get_batch",
    output="results",
)
ANTHROPIC_BATCH_ONCE = Pipeline(
    name="anthropic_batch_once",
    title="AnthropicBatchOperator, `retries=0`",
    conn_type="anthropic",
    posts="AnthropicHook.create_batch",
    polls="AnthropicHook.get_batch",
    output="results",
    retries=0,
)
LLM_BATCH = Pipeline(
    name="llm_batch",
    title="LLMBatchOperator",
    conn_type="pydanticai",
    posts="AnthropicBatchAdapter.submit",
    polls="AnthropicBatchAdapter.get_batch",
    output="rows",
)
PIPELINES = (OURS, ANTHROPIC_BATCH, ANTHROPIC_BATCH_ONCE, LLM_BATCH)
