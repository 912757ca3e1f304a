"""
Which requests were asked before: an index by request digest on local disk, however many there are.

SQLite, since it is in Python and needs a fixed amount of memory. The file is scratch and never synced.
"""

from __future__ import annotations

import sqlite3
from collections import defaultdict
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

#: Placeholders of one statement; SQLite takes at least 999.
_AT_ONCE = 900


def _connect(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(path, isolation_level=None)
    for pragma in ("journal_mode = off", "synchronous = off", "cache_size = -16000"):
        connection.execute(f"pragma {pragma}")
    return connection


class AnswerIndex:
    """
    Answers that are there, or will be, by the digest of their request; each is given away once.

    :param folder: An empty local folder.
    """

    def __init__(self, folder: Path) -> None:
        self._connection = _connect(folder / "answers.sqlite")
        self._connection.execute("create table answers (digest blob, source integer, custom_id text)")
        self._is_indexed = False
        self._count = 0

    def add(self, source: int, answers: Iterable[tuple[str, str]]) -> None:
        """
        Add answers; those that are added first are given away first.

        :param answers: Digest and ``custom_id`` of each.
        """
        self._connection.execute("begin")
        cursor = self._connection.executemany(
            "insert into answers values (?, ?, ?)",
            ((bytes.fromhex(digest), source, custom_id) for digest, custom_id in answers),
        )
        self._connection.execute("commit")
        self._count += max(cursor.rowcount, 0)

    def __len__(self) -> int:
        """Return how many answers were added."""
        return self._count

    def take(self, digests: Sequence[str]) -> list[tuple[int, int, str]]:
        """
        Give answers away.

        :param digests: Of requests, in order; as often as each is asked.
        :return: Position in ``digests``, source and ``custom_id`` of each request that has an answer.
        """
        if not self._count:
            return []
        if not self._is_indexed:
            self._connection.execute("create index by_digest on answers (digest)")
            self._is_indexed = True
        wanted: dict[bytes, list[int]] = defaultdict(list)
        for position, digest in enumerate(digests):
            wanted[bytes.fromhex(digest)].append(position)
        found, given_away = [], []
        names = list(wanted)
        for start in range(0, len(names), _AT_ONCE):
            part = names[start : start + _AT_ONCE]
            marks = ",".join("?" * len(part))
            # Only question marks are put into the text.
            rows = self._connection.execute(
                f"select rowid, digest, source, custom_id from answers where digest in ({marks}) "  # noqa: S608
                "order by rowid",
                part,
            )
            for row_id, digest, source, custom_id in rows:
                if wanted[digest]:
                    found.append((wanted[digest].pop(0), source, custom_id))
                    given_away.append((row_id,))
        self._connection.execute("begin")
        self._connection.executemany("delete from answers where rowid = ?", given_away)
        self._connection.execute("commit")
        return found

    def close(self) -> None:
        """Close the file."""
        self._connection.close()


class AskedRequests:
    """
    The requests of one submission so far, to see which one is asked again.

    :param folder: An empty local folder.
    """

    def __init__(self, folder: Path) -> None:
        self._connection = _connect(folder / "asked.sqlite")
        self._connection.execute("create table asked (digest blob primary key) without rowid")

    def find_repeated(self, digests: Sequence[tuple[str, int]]) -> list[int]:
        """
        Return the positions of requests that were asked before, in this call or an earlier one.

        :param digests: Request digest and sample of each request.
        """
        names = [bytes.fromhex(digest) + sample.to_bytes(4) for digest, sample in digests]
        known: set[bytes] = set()
        for start in range(0, len(names), _AT_ONCE):
            part = names[start : start + _AT_ONCE]
            marks = ",".join("?" * len(part))
            rows = self._connection.execute(
                f"select digest from asked where digest in ({marks})",  # noqa: S608
                part,
            )
            known.update(digest for (digest,) in rows)
        repeated, new = [], []
        for position, name in enumerate(names):
            if name in known:
                repeated.append(position)
            else:
                known.add(name)
                new.append((name,))
        self._connection.execute("begin")
        self._connection.executemany("insert into asked values (?)", new)
        self._connection.execute("commit")
        return repeated

    def close(self) -> None:
        """Close the file."""
        self._connection.close()
