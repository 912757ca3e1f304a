"""Result lines as the API writes them and as it never should, drawn at random."""

import json
import random

#: Letters that JSON, UTF-8 and UTF-16 each write in a way of their own.
_LETTERS = 'ab "\\\n\u0000ü語😀\u2028'


def entry(rnd: random.Random) -> dict:
    """Return one line's object; each field is now and then absent, null, or of another type."""
    kind = rnd.choice(["succeeded"] * 4 + ["errored", "canceled", "expired", "paused"])
    result = {"type": kind}
    if kind == "succeeded":
        result["message"] = _fields(
            rnd,
            content=[_block(rnd) for _ in range(rnd.randrange(4))],
            model=_text(rnd),
            stop_reason=rnd.choice(["end_turn", "max_tokens", "pause_turn", "refusal", "tool_use"]),
            usage=_usage(rnd),
        )
    if kind == "errored":
        error = _fields(rnd, error=_fields(rnd, type=_text(rnd), message=_text(rnd)), request_id=_text(rnd))
        result["error"] = error
    return {"custom_id": f"a-{rnd.randrange(9)}", **_fields(rnd, result=_fields(rnd, **result))}


def line(rnd: random.Random) -> bytes:
    """Return one line, now and then with something in it twice, cut, spaced, or in an escape of its own."""
    written = json.dumps(entry(rnd), ensure_ascii=rnd.random() < 0.5).encode()
    if rnd.random() < 0.8:
        return written
    return rnd.choice(
        [
            written.replace(b'"type":', b'"type": "text", "type":', 1),
            written.replace(b'"result":', b'"custom_id": "twice", "result":', 1),
            written.replace(b'"text":', b'"te\\u0078t":'),
            written.replace(b'"text": "', b'"text": "\\ud800'),
            written.replace(b'"id": ', b'"id": "\\udc00", "y": '),
            written.replace(b'"text": "', b'"text": "\xff'),
            written.replace(b'_tokens": ', b'_tokens": 1.0, "z": '),
            written.replace(b"}", b" }", 1) + b" ",
            written + b"\r",
            written[: len(written) * 2 // 3],
            written + written,
        ]
    )


def any_json(rnd: random.Random, *, depth: int = 2) -> object:
    """Return any JSON, and what Python takes for it."""
    if depth and rnd.random() < 0.4:
        inner = [any_json(rnd, depth=depth - 1) for _ in range(rnd.randrange(3))]
        return inner if rnd.random() < 0.5 else {_text(rnd): value for value in inner}
    numbers = [0, -1, 7, 2**63 - 1, 2**63, -(2**70), 0.5, -0.0, 1e300, float("nan"), float("inf")]
    return rnd.choice([None, True, False, _text(rnd), *numbers])


def _text(rnd: random.Random) -> str:
    return "".join(rnd.choice(_LETTERS) for _ in range(rnd.randrange(5)))


def _fields(rnd: random.Random, **usual: object) -> dict[str, object]:
    found = {}
    for name, value in usual.items():
        chance = rnd.random()
        if chance < 0.03:
            found[name] = any_json(rnd)
        elif chance < 0.06:
            found[name] = None
        elif chance > 0.09:
            found[name] = value
    if rnd.random() < 0.1:
        found[rnd.choice(["id", "text2", "x"])] = any_json(rnd)
    return found


def _block(rnd: random.Random) -> dict[str, object]:
    return rnd.choice(
        [
            lambda: _fields(rnd, type="text", text=_text(rnd), citations=None),
            lambda: _fields(rnd, type="thinking", thinking=_text(rnd), signature="s"),
            lambda: _fields(rnd, type="tool_use", name="n", input=any_json(rnd)),
        ]
    )()


def _usage(rnd: random.Random) -> dict[str, object]:
    def count() -> int:
        return rnd.randrange(2**20)

    return _fields(
        rnd,
        input_tokens=count(),
        output_tokens=count(),
        cache_creation_input_tokens=count(),
        cache_read_input_tokens=count(),
        cache_creation=_fields(rnd, ephemeral_5m_input_tokens=count(), ephemeral_1h_input_tokens=count()),
        output_tokens_details=_fields(rnd, thinking_tokens=count()),
        service_tier=_text(rnd),
        inference_geo=rnd.choice(["us", "global"]),
    )
