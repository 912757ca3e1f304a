"""
The numbers of the Message Batches API, each with its source and the date it was read.

Imports nothing. A limit that is not documented is not here.
"""

from __future__ import annotations

from datetime import timedelta

#: Requests in one batch. https://platform.claude.com/docs/en/build-with-claude/batch-processing, read
#: 2026-09-26.
MAX_REQUESTS = 100_000

#: Bytes of the body of one create. The same page says "256 MB"; read as decimal megabytes, the smaller
#: reading.
MAX_BODY_BYTES = 256_000_000

#: A batch expires this long after its creation. The same page.
EXPIRES_AFTER = timedelta(hours=24)

#: Results can be fetched this long after the batch's *creation*. The same page.
RESULTS_KEPT = timedelta(days=29)

#: What a ``custom_id`` must match. https://platform.claude.com/docs/en/api/creating-message-batches, read
#: 2026-09-26.
CUSTOM_ID_PATTERN = r"^[a-zA-Z0-9_-]{1,64}$"

#: Largest page of the list of batches. https://platform.claude.com/docs/en/api/listing-message-batches, read
#: 2026-09-26.
MAX_LIST_LIMIT = 1_000
