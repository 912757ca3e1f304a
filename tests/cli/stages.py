"""Submissions in the states that a person finds them in, each reached as it is in life."""

import contextlib

from airflow_provider_claude_batch.errors import CreateRefusedError, PartlySentError
from airflow_provider_claude_batch.submission import names


def answer_lost(submission, *, shard=0):
    """Send all; the process dies after the create of one shard, before its id is on record."""
    submission.snapshot(max_requests=2)
    sent = submission.send()
    submission.folder.folder.remove(names.batch_path(0, shard))
    return [one.batch.batch_id for one in sent]


def partly_sent(submission, emulator):
    """The API takes the first shard and refuses the second."""
    submission.snapshot(max_requests=2)
    emulator.fail("create", with_="slow-answer", seconds=0)
    emulator.fail("create", with_="status", status=402, message="no credit")
    with contextlib.suppress(CreateRefusedError, PartlySentError):
        submission.send()
    return submission.folder.read_batch(0, 0).batch_id


def published(submission):
    """All is sent, landed and published."""
    submission.snapshot()
    sent = submission.send()
    submission.land()
    submission.publish()
    return [one.batch.batch_id for one in sent]
