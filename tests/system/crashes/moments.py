"""Moments of a submission at which its process may die, each as the events that lead to it."""

_SENT = "ManifestFolder.write_sent:return"
_LAST_BYTE_HELD = f"{_SENT} > BatchBody.__iter__:return"
_LAST_BYTE_GONE = f"{_LAST_BYTE_HELD} > BatchBody.__iter__:call"
_BATCH = "ManifestFolder.write_batch:return"
_LANDED = "land_batch:return"
_ROUND = "ManifestFolder.commit_round:return"
_AWAKE = "ClaudeBatchToParquetOperator.execute_complete:call"

#: In which a submission has no batch yet, or all that it is has been written down.
NOTHING_LOST = {
    "before the first file of the snapshot": "Folder.put:call",
    "after the first file of the snapshot": "Folder.put:return",
    "between the files of two shards": "Folder.put:return > Folder.put:return > Folder.put:call",
    "before the round": "ManifestFolder.write_round:call",
    "after the round": "ManifestFolder.write_round:return",
    "before the plan": "ManifestFolder.write_plan:call",
    "after the plan": "ManifestFolder.write_plan:return",
    "before the look at the list": "ClaudeBatchHook.list_batches:call",
    "after the look at the list": "ClaudeBatchHook.list_batches:return",
    "before the create": "ClaudeBatchHook.create_batch:call",
    "before the sent record": "ManifestFolder.write_sent:call",
    "after the batch record": _BATCH,
    "after the last batch record": f"{_BATCH} > {_BATCH}",
    "before the first XCom": "RuntimeTaskInstance.xcom_push:call",
    "after the last XCom": "RuntimeTaskInstance.xcom_push:return > RuntimeTaskInstance.xcom_push:return",
}

#: In which a batch may exist that nobody has written down.
ANSWER_LOST = {
    "after the sent record": _SENT,
    "before the last byte": _LAST_BYTE_HELD,
    "after the last byte": _LAST_BYTE_GONE,
    "after the answer": "ClaudeBatchHook.create_batch:return",
    "before the batch record": "ManifestFolder.write_batch:call",
    "after the last byte of the second shard": f"{_BATCH} > {_LAST_BYTE_GONE}",
    "before the second batch record": f"{_BATCH} > ManifestFolder.write_batch:call",
}

MOMENTS = {**NOTHING_LOST, **ANSWER_LOST}

#: After a first death behind the last byte, in the search for the batch.
IN_THE_SEARCH = {
    "before the search": "Search.decide:call",
    "after the look of the search": "Search.decide:call > ClaudeBatchHook.list_batches:return",
    "before the proof": "prove:call",
    "after the proof": "prove:return",
    "before the found batch is recorded": "Search._adopt:call > ManifestFolder.write_batch:call",
    "after the found batch is recorded": "Search._adopt:call > ManifestFolder.write_batch:return",
}

#: In a load whose batches have all ended, and whose first round leaves rows for two batches of a second one.
IN_THE_LOAD = {
    "before the results are fetched": "land_shard:call",
    "before the results of a shard are put": "land_shard:call > Folder.put:call",
    "after the results of a shard are put": "land_shard:call > Folder.put:return",
    "after a shard is on record as landed": _LANDED,
    "after the results of the second shard are put": f"{_LANDED} > Folder.put:return",
    "before a round is made": "make_round:call",
    "before the first file of a round": "make_round:call > Folder.put:call",
    "after the first file of a round": "make_round:call > Folder.put:return",
    "between the files of the shards of a round": (
        "make_round:call > Folder.put:return > Folder.put:return > Folder.put:call"
    ),
    "before a round is on record": "ManifestFolder.commit_round:call",
    "after a round is on record": _ROUND,
    "after the results of a shard of a round are put": f"{_ROUND} > land_shard:call > Folder.put:return",
    "after a shard of a round is on record as landed": f"{_ROUND} > {_LANDED}",
    "after a round is landed": f"{_ROUND} > {_LANDED} > {_LANDED} > make_round:call",
    "before the rows are gathered": "publish_rows:call",
    "before the gate": "publish_submission.<locals>.judge:call",
    "after the gate": "publish_submission.<locals>.judge:return",
    "before the dataset is put": "put_object:call > Folder.put:call",
    "after the dataset is put": "put_object:call > Folder.put:return",
    "before the receipt": "ManifestFolder.write_receipt:call",
    "after the receipt": "ManifestFolder.write_receipt:return",
    "after the copy of the receipt": "write_receipt:return",
    "before the requests are removed": "apply_retention:call",
    "after the first requests are removed": "apply_retention:call > Folder.remove:return",
    "after the requests are removed": "apply_retention:return",
}

#: In the same load, while a round is sent.
IN_THE_SEND_OF_A_ROUND = {
    "before the sent record": f"{_ROUND} > ManifestFolder.write_sent:call",
    "after the sent record": f"{_ROUND} > {_SENT}",
    "before the last byte": f"{_ROUND} > {_LAST_BYTE_HELD}",
    "after the last byte": f"{_ROUND} > {_LAST_BYTE_GONE}",
    "after the answer": f"{_ROUND} > ClaudeBatchHook.create_batch:return",
    "before the batch record": f"{_ROUND} > ManifestFolder.write_batch:call",
    "after the batch record": f"{_ROUND} > {_BATCH}",
    "after the last byte of the second shard": f"{_ROUND} > {_BATCH} > {_LAST_BYTE_GONE}",
    "after the last batch record": f"{_ROUND} > {_BATCH} > {_BATCH}",
}

#: In a load that has to wait for its second round.
AROUND_THE_WAIT = {
    "before it defers": "defer:call",
    "after it has deferred": "defer:return",
    "as it wakes": _AWAKE,
    "after the round is landed": f"{_AWAKE} > {_LANDED} > {_LANDED}",
}

#: In a load whose dataset is of several files.
AMONG_THE_FILES = {
    "before the files are put": "put_files:call",
    "after a file is put": "put_files:call > Folder.put:return",
    "before the dataset's manifest": "replace_dataset_manifest:call",
    "after the dataset's manifest": "replace_dataset_manifest:return",
    "after the files are published": "put_files:return",
}

LAST_BYTE_GONE = _LAST_BYTE_GONE
LAST_BYTE_HELD = _LAST_BYTE_HELD
