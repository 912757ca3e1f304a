"""
Names in a manifest folder, and names made safe for one: every run id becomes one path segment.

Pure text; imports nothing of ours.
"""

from __future__ import annotations

import hashlib
import re

PLAN = "plan.json"
RECEIPT = "receipt.json"
CANCELED = "canceled.json"
CAP = "cap.json"
ESTIMATE = "estimate.json"
PILOT = "pilot.json"

_UNSAFE = re.compile(rb"[^A-Za-z0-9_.=+-]")
_LONGEST = 120


def safe_segment(name: str) -> str:
    """
    Return ``name`` as one path segment for any file system or object store.

    Bytes outside ``A-Z a-z 0-9 _ . = + -`` become ``~XX``; a leading dot too, so that no name is hidden or
    walks up. A name that comes out longer than 120 characters is cut and ends in a digest of the whole.

    :param name: Any text, such as a run id.
    """
    escaped = _UNSAFE.sub(lambda match: b"~%02X" % match[0][0], name.encode()).decode()
    if escaped.startswith("."):
        escaped = "~2E" + escaped[1:]
    if len(escaped) <= _LONGEST:
        return escaped
    return f"{escaped[: _LONGEST - 17]}~{hashlib.sha256(name.encode()).hexdigest()[:16]}"


def from_segment(segment: str) -> str:
    """Return the name that became a path segment; of one that was cut, what is left of it."""
    raw = re.sub(rb"~([0-9A-F]{2})", lambda match: bytes.fromhex(match[1].decode()), segment.encode())
    return raw.decode(errors="replace")


def probe_path(identity: str) -> str:
    """Return the path of a file that shows whether the store refuses a second create."""
    return f"exclusive-{identity}.probe"


def generation_name(generation: int) -> str:
    """Return ``gNN``."""
    return f"g{generation:02d}"


def round_path(round_index: int, name: str) -> str:
    """Return ``rNN/name``."""
    return f"r{round_index:02d}/{name}"


def record_path(round_index: int, identity: str) -> str:
    """Return the path of a round's record, in the snapshot of ``identity``."""
    return round_path(round_index, f"round-{identity}.json")


def keys_path(round_index: int, shard: int, identity: str) -> str:
    """Return the path of a shard's keys, in the snapshot of ``identity``."""
    return round_path(round_index, f"keys-{shard:05d}-{identity}.parquet")


def requests_path(round_index: int, shard: int, identity: str) -> str:
    """Return the path of a shard's request lines, in the snapshot of ``identity``."""
    return round_path(round_index, f"requests-{shard:05d}-{identity}.jsonl.zst")


def sent_path(round_index: int, shard: int, attempt: int) -> str:
    """Return the path of the record that attempt ``attempt``, from 1, was sent."""
    return round_path(round_index, f"sent-{shard:05d}.a{attempt}.json")


def refused_path(round_index: int, shard: int, attempt: int) -> str:
    """Return the path of the record that attempt ``attempt`` was refused."""
    return round_path(round_index, f"refused-{shard:05d}.a{attempt}.json")


def batch_path(round_index: int, shard: int) -> str:
    """Return the path of a shard's batch record."""
    return round_path(round_index, f"batch-{shard:05d}.json")


def results_path(round_index: int, shard: int) -> str:
    """Return the path of a shard's results."""
    return round_path(round_index, f"results-{shard:05d}.parquet")


def without_credit_path(round_index: int) -> str:
    """Return the path of the record that no round followed for lack of credit."""
    return round_path(round_index, "without-credit.json")
