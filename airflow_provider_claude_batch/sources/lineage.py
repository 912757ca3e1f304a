"""What a source read, told to Airflow's lineage as the SQL operators do; a failure there fails no task."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from airflow.providers.common.sql.hooks.sql import DbApiHook
    from airflow.sdk import ObjectStoragePath
    from airflow.sdk.lineage import HookLineageCollector

    from airflow_provider_claude_batch.sources.dbapi import Parameters

log = logging.getLogger(__name__)


def report_query(hook: DbApiHook, sql: str, parameters: Parameters | None, cursor: object) -> None:
    """
    Report one query; does nothing where the common SQL provider is older than its lineage.

    :param cursor: The cursor that ran it, or ``None``; the database's id of the query is taken from it.
    """
    try:
        from airflow.providers.common.sql.hooks.lineage import send_sql_hook_lineage
    except ImportError:
        return
    send_sql_hook_lineage(context=hook, sql=sql, sql_parameters=parameters, cur=cursor)


def report_input(path: ObjectStoragePath) -> None:
    """Report a file or folder that was read."""
    from airflow.providers.common.compat.lineage import hook

    try:
        get_collector: Callable[[], HookLineageCollector] = hook.get_hook_lineage_collector
        get_collector().add_input_asset(context=path, uri=str(path))
    except Exception:  # a lineage plugin of the deployment may raise anything
        log.warning("The lineage of %s was not reported.", path, exc_info=True)
