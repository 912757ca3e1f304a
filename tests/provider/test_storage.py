import os
import secrets
import subprocess
import sys
from multiprocessing.pool import ThreadPool

import pytest
from fsspec.implementations.memory import MemoryFileSystem

from airflow_provider_claude_batch.errors import DestinationError, StagingError
from airflow_provider_claude_batch.submission.manifest_folder import ManifestFolder
from airflow_provider_claude_batch.submission.names import safe_segment
from airflow_provider_claude_batch.submission.publish import Destination
from airflow_provider_claude_batch.submission.storage import Folder


@pytest.fixture(params=["disk", "s3"])
def folder(request, tmp_path):
    if request.param == "disk":
        return Folder.at(str(tmp_path / "a"))
    return Folder.at(f"{request.getfixturevalue('s3')}/{tmp_path.name}")


def test_what_was_written_is_read(folder):
    assert folder.read("r00/x.json") is None
    folder.write("r00/x.json", b"one")
    folder.write("r00/x.json", b"two")
    assert folder.read("r00/x.json") == b"two"
    assert folder.child("r00").names() == ["x.json"]
    assert folder.exists("r00/x.json")


def test_a_new_file_is_written_by_exactly_one_of_many(folder):
    def write(number):
        try:
            folder.write_new("r00/sent.json", str(number).encode())
        except FileExistsError:
            return None
        return number

    with ThreadPool(8) as pool:
        winners = [number for number in pool.map(write, range(16)) if number is not None]
    assert len(winners) == 1
    assert folder.read("r00/sent.json") == str(winners[0]).encode()


def test_a_local_file_is_put_whole_and_leaves_nothing_beside_it(folder, tmp_path):
    local = tmp_path / "local"
    local.write_bytes(b"x" * 100_000)
    folder.put(local, "out/data.parquet")
    with folder.open("out/data.parquet") as file:
        assert file.read() == b"x" * 100_000
    assert folder.child("out").names() == ["data.parquet"]


def test_an_absent_folder_has_no_names(folder):
    assert folder.child("nothing").names() == []


@pytest.mark.parametrize(
    "name",
    ["manual__2026-11-22T10:00:00+00:00", "a/b", "..", ".", "~", "naïve \U0001f600", "x" * 400, "a%2Fb", ""],
)
def test_any_name_is_one_safe_segment(name):
    segment = safe_segment(name)
    assert len(segment) <= 120
    assert "/" not in segment
    assert not segment.startswith(".")


def test_different_names_have_different_segments():
    names = ["a/b", "a~2Fb", "a_b", "a b", "x" * 200, "x" * 201, ".a", "~2Ea"]
    assert len({safe_segment(name) for name in names}) == len(names)


def test_a_destination_is_a_folder_or_a_parquet_file(tmp_path):
    assert Destination.at(f"{tmp_path}/out/").uri == f"{tmp_path}/out/data.parquet"
    assert Destination.at(f"{tmp_path}/out/x.parquet").uri == f"{tmp_path}/out/x.parquet"


def test_a_destination_that_can_be_written_keeps_no_trace_of_the_check(folder):
    destination = Destination.at(f"{folder.uri}/out")
    destination.check_writable()
    assert destination.folder.names() == []


@pytest.mark.parametrize(
    "uri", ["", "nosuchscheme://x/y", "/proc/nothing/here", "s3://no-such-bucket-here/x"]
)
def test_a_destination_that_cannot_be_written_is_refused(s3, uri):
    with pytest.raises(DestinationError):
        Destination.at(uri).check_writable()


def test_a_record_is_whole_or_absent_when_the_writer_is_killed(tmp_path):
    code = (
        "import sys; from airflow_provider_claude_batch.submission.storage import Folder\n"
        "folder = Folder.at(sys.argv[1])\n"
        "for i in range(10_000):\n    folder.write('x.json', b'%d' % i * 5000)\n    print(flush=True)"
    )
    writer = subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path)], stdout=subprocess.PIPE, env={**os.environ}
    )
    assert writer.stdout is not None
    with writer, writer.stdout as written:
        for _ in range(20):
            written.readline()
        writer.kill()
    content = (tmp_path / "x.json").read_bytes()
    number = content[: len(content) // 5000]
    assert content == number * 5000


class Forgiving(MemoryFileSystem):
    """A store that does not know conditional creates and ignores what is asked."""

    def pipe_file(self, path, value, mode="overwrite", **kwargs):
        super().pipe_file(path, value, mode="overwrite", **kwargs)


def test_a_store_that_lets_a_file_be_created_twice_is_refused_before_anything_is_sent(submission, emulator):
    root = f"/{secrets.token_hex(8)}"
    submission.folder = ManifestFolder(Folder(Forgiving(), root, f"memory://{root}"))
    with pytest.raises(StagingError, match=r"created twice.*Nothing was sent"):
        submission.snapshot()
    assert emulator.batches == []
