"""The plain HTML page: batches, calls and the bill, and one page for each batch."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING, NamedTuple

from airflow_provider_claude_batch.emulator.tally import ModelUsage

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from airflow_provider_claude_batch.emulator.call_log import CallLog
    from airflow_provider_claude_batch.emulator.faults import Fault
    from airflow_provider_claude_batch.emulator.wire import JsonObject

_STYLE = (
    "body{font:14px system-ui,sans-serif;margin:2em;max-width:110em}"
    "table{border-collapse:collapse;margin:.5em 0 2em}td.n{text-align:right}"
    "td,th{border:1px solid #ccc;padding:.25em .6em;text-align:left}pre{white-space:pre-wrap}"
)
_SHOWN_CALLS = 100
_USAGE_FIELDS = tuple(name for name in ModelUsage.__struct_fields__ if name != "model")


def overview(
    batches: Sequence[JsonObject], calls: CallLog, bill: JsonObject, faults: Sequence[Fault], *, now: str
) -> str:
    """Return the page that ``/_emulator/`` shows."""
    counts = [(operation, status, count) for (operation, status), count in sorted(calls.counts.items())]
    last = [
        (note.at, note.operation, note.status or "no answer", note.fault, note.path, note.request_id)
        for note in list(calls.notes)[-_SHOWN_CALLS:][::-1]
    ]
    return _page(
        "Message Batches emulator",
        f"<p>The time here is {escape(now)}.</p>",
        _heading(f"{len(batches)} batches"),
        _table(
            (
                "batch",
                "status",
                "processing",
                "succeeded",
                "errored",
                "canceled",
                "expired",
                "created",
                "ended",
            ),
            map(_batch_row, batches),
        ),
        _heading("Bill"),
        _usage_table([*bill["by_model"], bill["total"]]),
        _heading("Calls"),
        _table(("operation", "status", "count"), counts),
        _heading("Faults on order"),
        _table(
            ("operation", "with", "after", "times", "used"),
            [(f.operation, f.with_, f.after, "all" if f.times is None else f.times, f.used) for f in faults],
        ),
        _heading(f"Last {_SHOWN_CALLS} calls"),
        _table(("time", "operation", "status", "fault", "path", "request id"), last),
    )


def batch_page(batch: JsonObject, usage: Sequence[ModelUsage], sample: str) -> str:
    """
    Return the page of one batch.

    :param sample: The first lines of its results, if it has any.
    """
    rows = [(name, value) for name, value in batch.items() if name != "request_counts"]
    return _page(
        batch["id"],
        '<p><a href="../">All batches</a></p>',
        _table(("field", "value"), rows),
        _heading("request_counts"),
        _table(("result type", "requests"), batch["request_counts"].items()),
        _heading("Bill"),
        _usage_table(usage),
        _heading("First results"),
        f"<pre>{escape(sample)}</pre>",
    )


class _Link(NamedTuple):
    """An address and its text."""

    address: str
    text: str


def _batch_row(batch: JsonObject) -> tuple[object, ...]:
    return (
        _Link(f"batches/{batch['id']}", batch["id"]),
        batch["processing_status"],
        *batch["request_counts"].values(),
        batch["created_at"],
        batch["ended_at"],
    )


def _usage_table(parts: Iterable[ModelUsage]) -> str:
    rows = [(part.model, *(getattr(part, name) for name in _USAGE_FIELDS)) for part in parts]
    return _table(("model", *_USAGE_FIELDS), rows)


def _heading(text: str) -> str:
    return f"<h2>{escape(text)}</h2>"


def _table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    lines = ["<tr>" + "".join(f"<th>{escape(name)}</th>" for name in head) + "</tr>"]
    lines += ["<tr>" + "".join(map(_cell, row)) + "</tr>" for row in rows]
    return "<table>" + "\n".join(lines) + "</table>"


def _cell(value: object) -> str:
    if isinstance(value, _Link):
        return f'<td><a href="{escape(value.address)}">{escape(value.text)}</a></td>'
    if value is None:
        return "<td></td>"
    kind = ' class="n"' if isinstance(value, int) else ""
    return f"<td{kind}>{escape(f'{value:,}' if isinstance(value, int) else str(value))}</td>"


def _page(title: str, *parts: str) -> str:
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{escape(title)}</title>'
        f"<style>{_STYLE}</style><h1>{escape(title)}</h1>{''.join(parts)}</html>"
    )
