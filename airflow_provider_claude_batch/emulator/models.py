"""
The models that the emulator knows, with what each accepts.

Which thinking and tool choices a model refuses is from https://platform.claude.com/docs/en/api/errors; prices
are the list's batch prices in dollars per million tokens, and context windows are those of the package
genai-prices 0.2.3; all read 2026-11-22. Output limits, release dates and which models think adaptively are
partly chosen: they are plausible, and nothing should be built on them.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from airflow_provider_claude_batch.emulator.wire import JsonObject

Line = Literal["haiku", "sonnet", "opus", "fable", "mythos"]


@dataclass(frozen=True, slots=True)
class Prices:
    """Dollars per million tokens in a batch: half the price of a call to ``/v1/messages``."""

    input: Decimal
    output: Decimal
    cache_write_5m: Decimal
    cache_write_1h: Decimal
    cache_read: Decimal


@dataclass(frozen=True, slots=True)
class Model:
    """
    One model.

    :param version: Generation as a pair, which decides most of what the model refuses.
    :param prices: Batch prices of prompts up to ``long_prompt_tokens``.
    :param long_prices: Batch prices of longer prompts, where they differ.
    """

    id: str
    line: Line
    version: tuple[int, int]
    created_at: str
    prices: Prices
    max_tokens: int = 128_000
    max_input_tokens: int = 1_000_000
    long_prompt_tokens: int | None = None
    long_prices: Prices | None = None

    @property
    def display_name(self) -> str:
        """Return the name for people."""
        major, minor = self.version
        return f"Claude {self.line.capitalize()} {major}" + (f".{minor}" if minor else "")

    @property
    def refuses_prefill(self) -> bool:
        """Whether the conversation must end with a user turn."""
        return self.version >= (4, 6)

    @property
    def refuses_thinking_enabled(self) -> bool:
        """Whether ``thinking: {"type": "enabled"}`` is a 400."""
        return self.version >= (4, 7)

    @property
    def always_thinks(self) -> bool:
        """Whether ``thinking: {"type": "disabled"}`` is a 400."""
        return self.line in ("fable", "mythos") or (self.line == "opus" and self.version >= (5, 5))

    @property
    def refuses_forced_tool_choice(self) -> bool:
        """Whether ``tool_choice`` of type ``any`` or ``tool`` is a 400."""
        newest = {"opus": (5, 5), "fable": (5, 1), "mythos": (5, 1)}.get(self.line)
        return newest is not None and self.version >= newest

    @property
    def has_long_output(self) -> bool:
        """Whether the beta for 300,000 output tokens covers this model."""
        return (self.line == "opus" and self.version >= (4, 6)) or (
            self.line == "sonnet" and self.version in ((4, 6), (5, 0))
        )

    @property
    def has_us_surcharge(self) -> bool:
        """Whether ``inference_geo: "us"`` costs a tenth more."""
        return self.version >= (4, 6)


def _prices(text: str) -> Prices:
    return Prices(*map(Decimal, text.split("/")))


_FABLE = _prices("4/20/5/8/0.1")
_OPUS_5 = _prices("2.5/12.5/3.125/5/0.25")
_OPUS_5_5 = _prices("2/10/2.5/4/0.1")
_SONNET_4 = _prices("1.5/7.5/1.875/3/0.15")
_HAIKU_4_5 = _prices("0.5/2.5/0.625/1/0.05")
_HAIKU_5_5 = _prices("0.05/0.25/0.0625/0.1/0.005")
_HAIKU_5_5_LONG = _prices("0.25/1.25/0.3125/0.5/0.025")
_SONNET_4_5_LONG = _prices("3/11.25/3.75/6/0.3")

#: Newest first, as ``GET /v1/models`` lists them.
MODELS = (
    Model("claude-fable-5-2", "fable", (5, 2), "2026-11-12", _FABLE),
    Model("claude-mythos-5-2", "mythos", (5, 2), "2026-11-12", _FABLE),
    Model(
        "claude-haiku-5-5",
        "haiku",
        (5, 5),
        "2026-10-27",
        _HAIKU_5_5,
        max_tokens=64_000,
        long_prompt_tokens=100_000,
        long_prices=_HAIKU_5_5_LONG,
    ),
    Model("claude-sonnet-5-5", "sonnet", (5, 5), "2026-09-29", _prices("1/5/1.25/2/0.05")),
    Model("claude-fable-5-1", "fable", (5, 1), "2026-09-08", _prices("5/25/6.25/10/0.125")),
    Model("claude-opus-5-5", "opus", (5, 5), "2026-09-01", _OPUS_5_5),
    Model("claude-mythos-5-1", "mythos", (5, 1), "2026-09-08", _prices("5/25/6.25/10/0.125")),
    Model("claude-sonnet-5", "sonnet", (5, 0), "2026-06-30", _prices("1/5/1.25/2/0.1")),
    Model("claude-fable-5", "fable", (5, 0), "2026-06-09", _prices("5/25/6.25/10/0.5")),
    Model("claude-mythos-5", "mythos", (5, 0), "2026-06-09", _prices("5/25/6.25/10/0.5")),
    Model("claude-opus-5", "opus", (5, 0), "2026-07-24", _OPUS_5),
    Model("claude-opus-4-8", "opus", (4, 8), "2026-05-28", _OPUS_5),
    Model("claude-opus-4-7", "opus", (4, 7), "2026-04-16", _OPUS_5),
    Model("claude-mythos-preview", "mythos", (4, 7), "2026-04-07", _prices("5/25/6.25/10/0.5")),
    Model("claude-opus-4-6", "opus", (4, 6), "2026-02-05", _OPUS_5),
    Model("claude-sonnet-4-6", "sonnet", (4, 6), "2026-02-17", _SONNET_4, max_tokens=64_000),
    Model("claude-opus-4-5-20251101", "opus", (4, 5), "2025-11-24", _OPUS_5, 64_000, 200_000),
    Model("claude-haiku-4-5-20251001", "haiku", (4, 5), "2025-10-15", _HAIKU_4_5, 64_000, 200_000),
    Model(
        "claude-sonnet-4-5-20250929",
        "sonnet",
        (4, 5),
        "2025-09-29",
        _SONNET_4,
        max_tokens=64_000,
        long_prompt_tokens=200_000,
        long_prices=_SONNET_4_5_LONG,
    ),
)

_DATE_LENGTH = len("-20251101")
_BY_ID = {model.id: model for model in MODELS} | {
    model.id[:-_DATE_LENGTH]: model for model in MODELS if model.id[-8:].isdigit()
}


def find_model(model_id: str) -> Model | None:
    """Return the model that ``model_id``, dated or not, names."""
    return _BY_ID.get(model_id)


def model_info(model: Model) -> JsonObject:
    """Return the model as ``GET /v1/models/{model_id}`` does."""
    return {
        "type": "model",
        "id": model.id,
        "display_name": model.display_name,
        "created_at": f"{model.created_at}T00:00:00Z",
        "lifecycle": "active",
        "line": model.line,
        "max_input_tokens": model.max_input_tokens,
        "max_tokens": model.max_tokens,
        "deprecated_at": None,
        "retires_at": None,
        "capabilities": _capabilities(model),
    }


def _capabilities(model: Model) -> JsonObject:
    yes, no = {"supported": True}, {"supported": False}
    efforts = yes if model.version >= (4, 6) else no
    return {
        "batch": yes,
        "citations": yes,
        "code_execution": yes,
        "image_input": yes,
        "pdf_input": yes,
        "structured_outputs": yes,
        "context_management": {
            "supported": True,
            "clear_thinking_20251015": yes,
            "clear_tool_uses_20250919": yes,
            "compact_20260112": efforts,
        },
        "effort": {
            **efforts,
            "low": efforts,
            "medium": efforts,
            "high": efforts,
            "xhigh": efforts,
            "max": efforts,
        },
        "server_tools": {"supported": True, "code_execution": yes, "web_search": yes},
        "thinking": {
            "supported": True,
            "types": {
                "adaptive": efforts,
                "between_tools": no,
                "disabled": no if model.always_thinks else yes,
                "enabled": no if model.refuses_thinking_enabled else yes,
            },
        },
    }
