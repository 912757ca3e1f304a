"""Moments of a submission at which its process may die, each as the events that lead to it."""

_SENT = "ManifestFolder.write_sent:return"
_LAST_BYTE_HELD = f"{_SENT} > BatchBody.__iter__:return"
_LAST_BYTE_GONE = f"{_LAST_BYTE_HELD} > BatchBody.__iter__:call"
_BATCH = "ManifestFolder.write_batch:return"

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

#: In the load task.
IN_THE_LOAD = {
    "before the results are fetched": "land_shard:call",
    "after the results of one shard are landed": "land_shard:return",
    "before the dataset is put": "publish:call > Folder.put:call",
    "after the dataset is put": "publish:call > Folder.put:return",
    "before the receipt": "ManifestFolder.write_receipt:call",
    "after the receipt": "ManifestFolder.write_receipt:return",
}

LAST_BYTE_GONE = _LAST_BYTE_GONE
LAST_BYTE_HELD = _LAST_BYTE_HELD
