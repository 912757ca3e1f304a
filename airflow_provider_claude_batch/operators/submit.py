"""The operator that makes batches from the rows of a query. Everything but the story is in ``submission``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Literal

from airflow.providers.common.compat.sdk import AirflowFailException, AirflowSkipException
from airflow.sdk import BaseOperator, literal

from airflow_provider_claude_batch.errors import ClaudeBatchError
from airflow_provider_claude_batch.hooks.claude_batch import ClaudeBatchHook
from airflow_provider_claude_batch.links.batch import ClaudeBatchLink
from airflow_provider_claude_batch.operators.kill import cancel_after_kill
from airflow_provider_claude_batch.operators.planning import find_or_make_plan, log_plan
from airflow_provider_claude_batch.operators.sending import open_plan, push_reference, send_plan
from airflow_provider_claude_batch.operators.template_files import read_template_files
from airflow_provider_claude_batch.submission.pauses import Pause
from airflow_provider_claude_batch.submission.retries import a_retry_can_help
from airflow_provider_claude_batch.triggers.waiting import defer, sleep_in_worker

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from datetime import datetime, time, timedelta

    from airflow.sdk import Context

    from airflow_provider_claude_batch.core.manifest import Retain
    from airflow_provider_claude_batch.core.rows_to_requests import OnInvalidRow, OnNull
    from airflow_provider_claude_batch.submission.manifest_folder import ManifestFolder
    from airflow_provider_claude_batch.triggers.task_state import TaskInstanceNames


class ClaudeBatchSubmitOperator(BaseOperator):
    """
    Send the rows of a query to Claude, one request a row, as Message Batches.

    The rows are read once, into a snapshot in the manifest folder; as many batches are made of it as the
    API's limits ask for. Returns a small dict with ``manifest``, ``batch_ids``, ``request_count`` and
    ``claude_conn_id`` for the sensor and the transfer; ``manifest`` and ``batch_ids`` are pushed under their
    own keys too.

    A retry continues where the last try stopped: it reads the snapshot, does not query again, and sends only
    the shards that were never sent. A shard that was sent without its answer being recorded is looked for in
    the API's list, and sent again only when it can no longer be there. A *clear* of the finished task queries
    again; requests that are byte for byte what was sent before are not sent again, their answers are taken.

    Where that needs time, or the workspace's queue has no room, the task defers and comes back.

    Two templates, in this order: Jinja renders the author's text, then ``{column}`` in ``prompt`` and
    ``system`` takes the row's value. What came from a row is never rendered.

    :param sql: One query; its rows become requests. A name that ends in ``.sql`` is a file. (templated)
    :param sql_conn_id: Connection of any hook that derives from ``DbApiHook``. (templated)
    :param source_path: Instead of ``sql``: a Parquet file, a folder of them or a glob, on any path or URI
        that Airflow's object storage knows. (templated)
    :param row_filter: With ``source_path``: only rows that meet all of these conditions, each a tuple such as
        ``("lang", "=", "de")``; lists of such lists are alternatives. (templated)
    :param submission: Instead of a source and a request: the output of a task with ``plan_only``, whose
        shards are sent as they are. (templated)
    :param key: Column or columns that identify a row; not null, and unique. (templated)
    :param prompt: The user's turn, with ``{column}`` placeholders; a name that ends in ``.md`` or ``.txt`` is
        a file. (templated)
    :param messages: Instead of ``prompt``: several turns, or content blocks, as the API takes them. Every
        string in them takes ``{column}``; where a block's source is of type ``base64``, its ``data`` takes a
        binary column. (templated)
    :param build_request: Instead of ``prompt``: a function that takes a row as a dict and returns ``params``.
        Its requests are checked one by one; only the model that is given in ``model`` is asked about.
    :param model: Model id. (templated)
    :param max_tokens: Tokens that one answer may have.
    :param claude_conn_id: Connection of type ``anthropic``. (templated)
    :param parameters: Bound to the query by the database's driver. (templated)
    :param system: The system prompt, as ``prompt``. (templated)
    :param cache_ttl: Mark the end of ``system`` for the prompt cache, which keeps it for ``1h`` or ``5m``
        from its last use. What cannot be read from it, as it differs by row or is too short, is logged.
    :param prime_cache: With ``cache_ttl="1h"``: send one request first, which writes the cache, and the rest
        when it has ended.
    :param request_params: Any other parameter of the Messages API, the same for every request. (templated)
    :param output_schema: What an answer must be: a pydantic model, a JSON Schema of an object as a dict or as
        JSON text, or columns such as ``"sentiment STRING, score DOUBLE"``. Each property becomes a typed
        column. What depends on the run is a text, as in ``{"enum": {{ params.labels | tojson }}}``, or the
        output of another task; a model is not rendered. (templated)
    :param passthrough: Further columns of the query that travel to the Parquet. (templated)
    :param betas: Beta features of the API to send the batches with.
    :param samples_per_row: Requests that each row becomes, for several answers to the same question.
    :param custom_id_from: Column whose value stands in front of each ``custom_id``, for people who look at
        batches; the way back to a row does not need it.
    :param on_null: What a null in a placeholder means: ``error``, an ``empty`` text, or ``reject`` the row.
    :param on_invalid_row: What a row that cannot be sent means: ``fail`` the task before anything is sent, or
        ``reject`` the row, which then is in the Parquet with the outcome ``rejected`` and the reason. A null
        or doubled key always fails.
    :param deduplicate: Send requests that are the same once; every row of them gets the answer.
    :param reuse_answers: Take the answers to requests that are byte for byte the same from other runs of this
        task, up to this age: a ``timedelta`` or a text such as ``"30d"`` or ``"12h"``. They cost nothing and
        are marked in ``claude_reused_from``. (templated)
    :param plan_only: Do everything but send: the output can be given to ``submission`` of another submit
        task.
    :param retain: What stays in the manifest folder after a successful load, beside records without any text:
        ``answers`` with their keys, ``everything``, so the request texts too, or ``nothing``.
    :param retain_failed_days: Days that everything stays where there was no successful load; the command
        ``claude-batch gc`` removes it then.
    :param keep_content: Keep the raw content blocks of the answers in a column ``claude_content``.
    :param max_cost_usd: Dollars that the submission may cost at most, all rounds together, counted with the
        worst case of what is in flight; default: the provider config ``[claude_batch] max_cost_usd``, else no
        cap. (templated)
    :param estimate: Say before sending what it will cost, from at most 50 free calls to the token counter: in
        the log and in the XCom ``estimate``.
    :param pilot_rows: Requests that go out first, as one batch; the rest follows when they have ended and
        were answered well. They are part of the result.
    :param pilot_max_error_rate: Share of the pilot's rows that may be without a usable answer, or a mapping
        by outcome.
    :param deadline: When the answers are needed: a time (``"06:30"``, in the Dag's time zone), a date and
        time, or a ``timedelta`` from the snapshot on. The sensor cancels what has not ended shortly before,
        and the load takes what was answered. (templated)
    :param deferrable: Wait in the triggerer; ``False`` where there is none: the worker waits then.
    :param poll_interval: Seconds between looks while waiting; ``None`` for one to ten minutes.
    :param cancel_on_kill: Cancel this task's own batches when a person fails the task while it sends or
        waits. Never on a worker's shutdown, nor on a *clear*.
    :param staging_path: Where manifest folders lie: a path or URI that every worker reaches. Default: the
        provider config ``[claude_batch] staging_path``, else a folder under ``AIRFLOW_HOME``. (templated)
    :param on_empty: What no rows mean: ``skip`` the task, or ``publish_empty``: go on without a batch, and
        the transfer publishes an empty dataset with the full schema.
    """

    template_fields: Sequence[str] = (
        "sql",
        "sql_conn_id",
        "source_path",
        "row_filter",
        "submission",
        "key",
        "prompt",
        "messages",
        "model",
        "claude_conn_id",
        "parameters",
        "system",
        "request_params",
        "output_schema",
        "passthrough",
        "deadline",
        "reuse_answers",
        "max_cost_usd",
        "staging_path",
    )
    template_fields_renderers: ClassVar[dict[str, str]] = {
        "sql": "sql",
        "prompt": "md",
        "system": "md",
        "parameters": "json",
        "request_params": "json",
        "output_schema": "json",
    }
    operator_extra_links = (ClaudeBatchLink(),)
    ui_color = "#f2e4d8"

    def __init__(
        self,
        *,
        sql: str = "",
        sql_conn_id: str = "",
        source_path: str = "",
        row_filter: Sequence[Any] | None = None,
        submission: object = None,
        key: str | Sequence[str] = (),
        prompt: str | None = None,
        messages: Sequence[object] | None = None,
        build_request: Callable[[dict[str, object]], Mapping[str, object]] | None = None,
        model: str = "",
        max_tokens: int = 0,
        claude_conn_id: str = ClaudeBatchHook.default_conn_name,
        parameters: Sequence[object] | Mapping[str, object] | None = None,
        system: str | Sequence[object] | None = None,
        cache_ttl: Literal["5m", "1h"] | None = None,
        prime_cache: bool = True,
        request_params: Mapping[str, object] | None = None,
        output_schema: object = None,
        passthrough: Sequence[str] = (),
        betas: Sequence[str] = (),
        samples_per_row: int = 1,
        custom_id_from: str | None = None,
        on_null: OnNull = "error",
        on_invalid_row: OnInvalidRow = "fail",
        deduplicate: bool = True,
        reuse_answers: str | timedelta | None = None,
        keep_content: bool = False,
        max_cost_usd: float | str | None = None,
        estimate: bool = True,
        pilot_rows: int = 0,
        pilot_max_error_rate: float | Mapping[str, float] = 0.1,
        plan_only: bool = False,
        retain: Retain = "answers",
        retain_failed_days: int = 30,
        deadline: str | time | datetime | timedelta | None = None,
        deferrable: bool = True,
        poll_interval: float | None = None,
        cancel_on_kill: bool = False,
        staging_path: str | None = None,
        on_empty: Literal["skip", "publish_empty"] = "skip",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.sql, self.sql_conn_id, self.parameters = sql, sql_conn_id, parameters
        self.source_path, self.row_filter = source_path, row_filter
        self.submission = submission
        self._sends_a_plan = submission is not None
        self.key = key
        self.prompt, self.messages, self.build_request = prompt, messages, build_request
        self.model, self.max_tokens = model, max_tokens
        self.claude_conn_id = claude_conn_id
        self.system = system
        self.cache_ttl, self.prime_cache = cache_ttl, prime_cache
        self.request_params = request_params
        # Airflow calls a templated class.
        self.output_schema = literal(output_schema) if isinstance(output_schema, type) else output_schema
        self.passthrough = passthrough
        self.betas = betas
        self.samples_per_row = samples_per_row
        self.custom_id_from = custom_id_from
        self.on_null, self.on_invalid_row = on_null, on_invalid_row
        self.deduplicate, self.reuse_answers = deduplicate, reuse_answers
        self.keep_content = keep_content
        self.max_cost_usd = max_cost_usd
        self.estimate = estimate
        self.pilot_rows, self.pilot_max_error_rate = pilot_rows, pilot_max_error_rate
        self.plan_only = plan_only
        self.retain, self.retain_failed_days = retain, retain_failed_days
        self.deadline = deadline
        self.deferrable, self.poll_interval = deferrable, poll_interval
        self.cancel_on_kill = cancel_on_kill
        self.staging_path = staging_path
        self.on_empty = on_empty
        self.linked_batch_ids: list[str] = []
        self._own_batch_ids: list[str] = []
        self._running: tuple[ClaudeBatchHook, TaskInstanceNames] | None = None

    def resolve_template_files(self) -> None:
        """Read ``sql``, ``prompt`` and ``system`` from files where they are names of files."""
        read_template_files(self)

    def _do_render_template_fields(self, parent: object, *rest: Any, **named: Any) -> None:
        if parent is self:
            read_template_files(self, mapped=named.get("seen_oids", ()))
        super()._do_render_template_fields(parent, *rest, **named)

    def execute(self, context: Context) -> dict[str, object]:
        """Take the snapshot, send its shards, return what the sensor and the transfer need."""
        return self._run(context, manifest=None)

    def execute_complete(self, context: Context, event: dict[str, Any]) -> dict[str, object]:
        """Go on after a wait, with the generation that it began in."""
        return self._run(context, manifest=event["manifest"])

    def on_kill(self) -> None:
        """Cancel this task's own batches, where that is asked for and a person has failed the task."""
        if self.cancel_on_kill and self._running is not None:
            hook, ti = self._running
            cancel_after_kill(self, hook, ti, self._own_batch_ids)

    def _run(self, context: Context, *, manifest: str | None) -> dict[str, object]:
        try:
            while True:
                folder, hook, pause = self._submit(context, manifest)
                if pause is None:
                    return push_reference(folder, context)
                manifest = folder.uri
                self._wait(pause, hook, manifest)
        except ClaudeBatchError as error:
            if a_retry_can_help(error):
                raise
            raise AirflowFailException(f"{type(error).__name__}: {error}") from error

    def _submit(
        self, context: Context, manifest: str | None
    ) -> tuple[ManifestFolder, ClaudeBatchHook, Pause | None]:
        """Do all that can be done now; the rest needs the pause, after which this is called again."""
        if self._sends_a_plan:
            folder, hook = open_plan(self, manifest)
            return folder, hook, self._send(folder, hook, context)
        hook = ClaudeBatchHook(self.claude_conn_id)
        folder, plan = find_or_make_plan(self, hook, context, manifest=manifest)
        if isinstance(plan, Pause):
            return folder, hook, plan
        if not plan.row_count and self.on_empty == "skip":
            raise AirflowSkipException("The source returned no rows.")
        if self.plan_only:
            log_plan(self, folder, plan)
            return folder, hook, None
        return folder, hook, self._send(folder, hook, context)

    def _send(self, folder: ManifestFolder, hook: ClaudeBatchHook, context: Context) -> Pause | None:
        """Send what can be sent; remember each batch, for the link and for a kill."""
        self.linked_batch_ids, self._own_batch_ids = [], []
        self._running = (hook, context["ti"])
        for step in send_plan(self, folder, hook, context):
            if isinstance(step, Pause):
                return step
            self.linked_batch_ids.append(step.batch.batch_id)
            if step.shard.taken is None and step.batch.known_by == "answered":
                self._own_batch_ids.append(step.batch.batch_id)
        return None

    def _wait(self, pause: Pause, hook: ClaudeBatchHook, manifest: str) -> None:
        if not self.deferrable:
            sleep_in_worker(self, pause, poll_interval=self.poll_interval)
            return
        defer(
            self,
            pause,
            claude_conn_id=hook.claude_conn_id,
            manifest=manifest,
            poll_interval=self.poll_interval,
            cancel_batch_ids=self._own_batch_ids if self.cancel_on_kill else (),
        )
