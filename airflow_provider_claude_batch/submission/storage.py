"""
Whole files on any object store or disk: written at once or not at all, and once only where that is asked.

An exception inside ``ObjectStoragePath.open("wb")`` commits what was written until then, so nothing here
writes through it: bytes are put whole, and large files are made on local disk first.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, cast
from uuid import uuid4

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import BinaryIO

    from fsspec import AbstractFileSystem


@dataclass(frozen=True, slots=True)
class Folder:
    """
    A folder on a disk or an object store; paths given to its methods are relative to it.

    :param fs: fsspec file system, with the connection's credentials.
    :param root: Path of the folder in ``fs``.
    :param uri: The same with its scheme, for people, records and other tasks.
    """

    fs: AbstractFileSystem
    root: str
    uri: str

    @classmethod
    def at(cls, uri: str) -> Folder:
        """
        Open a folder by URI: a path, ``file://``, ``s3://conn_id@bucket/key`` or whatever else Airflow knows.
        """
        from airflow.sdk import ObjectStoragePath

        # A relative path means something else in another process.
        absolute = uri if "://" in uri else str(Path(uri).absolute())
        path = ObjectStoragePath(absolute)
        return cls(path.fs, path.path.rstrip("/"), absolute.rstrip("/"))

    @property
    def is_local(self) -> bool:
        """The folder is on this host's own file system."""
        protocol = self.fs.protocol
        return "file" in ((protocol,) if isinstance(protocol, str) else protocol)

    def child(self, name: str) -> Folder:
        """Return the folder ``name`` below this one."""
        return Folder(self.fs, f"{self.root}/{name}", f"{self.uri}/{name}")

    def parent(self) -> tuple[Folder, str]:
        """Return the folder that this one lies in, and its name there."""
        root, _, name = self.root.rpartition("/")
        return Folder(self.fs, root, self.uri.rpartition("/")[0]), name

    def read(self, path: str) -> bytes | None:
        """Return the bytes of a file, or ``None`` where there is none; any other failure raises."""
        try:
            return cast("bytes", self.fs.cat_file(f"{self.root}/{path}"))
        except FileNotFoundError:
            return None

    def exists(self, path: str) -> bool:
        """Return whether there is such a file. Asks the store, not a listing kept from before."""
        target = f"{self.root}/{path}"
        self.fs.invalidate_cache(target.rpartition("/")[0])
        return bool(self.fs.exists(target))

    def names(self) -> list[str]:
        """Return the names of what lies directly in the folder, in order; none where there is no folder."""
        self.fs.invalidate_cache(self.root)
        try:
            found = self.fs.ls(self.root, detail=False)
        except FileNotFoundError:
            return []
        return sorted(Path(path).name for path in found)

    def write(self, path: str, data: bytes) -> None:
        """Write a small file: a reader sees the old bytes or the new ones."""
        target = f"{self.root}/{path}"
        if not self.is_local:
            self.fs.pipe_file(target, data)
            return
        with _beside(Path(target)) as temporary:
            temporary.write_bytes(data)
            _sync(temporary)
            temporary.replace(target)
            _sync(temporary.parent)

    def write_new(self, path: str, data: bytes) -> None:
        """
        Write a small file that must not be there yet; of two writers exactly one succeeds.

        :raises FileExistsError: It is there.
        """
        target = f"{self.root}/{path}"
        if not self.is_local:
            self.fs.pipe_file(target, data, mode="create")
            return
        with _beside(Path(target)) as temporary:
            temporary.write_bytes(data)
            _sync(temporary)
            os.link(temporary, target)
            _sync(temporary.parent)

    def put(self, local: Path, path: str) -> None:
        """Put a finished local file in place: a reader sees the old file or the new one."""
        target = f"{self.root}/{path}"
        if not self.is_local:
            self.fs.put_file(str(local), target)
            return
        with _beside(Path(target)) as temporary:
            shutil.copyfile(local, temporary)
            _sync(temporary)
            temporary.replace(target)
            _sync(temporary.parent)

    @contextmanager
    def open(self, path: str) -> Iterator[BinaryIO]:
        """Open a file for reading."""
        target = f"{self.root}/{path}"
        self.fs.invalidate_cache(target.rpartition("/")[0])
        with self.fs.open(target, "rb") as file:
            yield cast("BinaryIO", file)

    def remove(self, path: str) -> None:
        """Remove a file; one that is not there is as good as removed."""
        with suppress(FileNotFoundError):
            self.fs.rm_file(f"{self.root}/{path}")


@contextmanager
def _beside(target: Path) -> Iterator[Path]:
    """Yield a path in the folder of ``target``, hidden from globs, and remove what is left there."""
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = target.with_name(f".{target.name}.{uuid4().hex}")
    try:
        yield temporary
    finally:
        temporary.unlink(missing_ok=True)


def _sync(path: Path) -> None:
    """Make a file, or the names in a folder, survive the loss of power."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def file_sha256(path: Path) -> str:
    """Return the digest of a local file's bytes, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@contextmanager
def scratch_folder() -> Iterator[Path]:
    """Yield an empty local folder that is removed afterwards."""
    with tempfile.TemporaryDirectory(prefix="claude_batch_") as name:
        yield Path(name)
