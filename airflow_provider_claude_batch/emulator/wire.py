"""
How identifiers, times and JSON look on the wire.

Nothing here knows of batches or of HTTP.
"""

from __future__ import annotations

import hashlib
import secrets
from datetime import UTC, datetime
from typing import Any, TypeAlias

import msgspec

JsonObject: TypeAlias = dict[str, Any]

_ALPHABET = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"
_ID_LENGTH = 22
_BYTE_TO_LETTER = bytes(ord(_ALPHABET[byte % len(_ALPHABET)]) for byte in range(256))

encode = msgspec.json.Encoder().encode


def new_id(prefix: str) -> str:
    """Return a random identifier such as ``msgbatch_01HkcTjaV5uDC8jWR4ZsDV8d``."""
    return f"{prefix}_01" + "".join(secrets.choice(_ALPHABET) for _ in range(_ID_LENGTH))


def derived_id(prefix: str, *parts: str) -> str:
    """Return the identifier that ``parts`` always give: a repeated answer has the same one."""
    digest = hashlib.blake2b("\0".join(parts).encode(), digest_size=_ID_LENGTH).digest()
    return f"{prefix}_01" + digest.translate(_BYTE_TO_LETTER).decode()


def timestamp(seconds: float | None) -> str | None:
    """Write epoch seconds as the API does: UTC, microseconds, ``Z``; ``None`` stays ``None``."""
    if seconds is None:
        return None
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def epoch_seconds(text: str) -> float:
    """
    Read an RFC 3339 time; one without a zone is taken as UTC.

    :raises ValueError: ``text`` is not a time.
    """
    moment = datetime.fromisoformat(text)
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
