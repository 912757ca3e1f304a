"""
Ended batches over HTTP from ready files, by ``sendfile``, which takes next to nothing from the load.

The emulator serves results too, and takes a part of a core for it. Run as
``python -m bench.loading.server FOLDER LINES``; prints its port.
"""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from socketserver import StreamRequestHandler, ThreadingTCPServer

from bench.loading.lines import batch_id, round_of

_ASKED = re.compile(rb"GET /v1/messages/batches/(msgbatch_\d+)(/results)? HTTP/1\.1\r\n")
_FOLDER = Path(sys.argv[1])
_REQUESTS = {batch_id(shard.index): shard.requests for shard in round_of(int(sys.argv[2])).shards}


class _Handler(StreamRequestHandler):
    """Answers what a load asks for, and nothing else."""

    def handle(self) -> None:
        """Answer the calls of one connection."""
        while first := self.rfile.readline():
            headers = dict(
                line.lower().split(b": ", 1) for line in iter(lambda: self.rfile.readline().strip(), b"")
            )
            found = _ASKED.match(first)
            if found is None:
                return
            name = found[1].decode()
            if found[2]:
                self._send_file(_FOLDER / f"{name}.jsonl")
            else:
                body = json.dumps(_batch(name, headers[b"host"].decode())).encode()
                self._send_head("application/json", len(body))
                self.wfile.write(body)

    def _send_file(self, path: Path) -> None:
        self._send_head("application/binary", path.stat().st_size)
        with path.open("rb") as file:
            self.connection.sendfile(file)

    def _send_head(self, content_type: str, length: int) -> None:
        head = f"HTTP/1.1 200 OK\r\ncontent-type: {content_type}\r\ncontent-length: {length}\r\n\r\n"
        self.wfile.write(head.encode())


def _batch(name: str, host: str) -> dict[str, object]:
    counts = {"processing": 0, "errored": 0, "canceled": 0, "expired": 0, "succeeded": _REQUESTS[name]}
    return {
        "id": name,
        "type": "message_batch",
        "processing_status": "ended",
        "request_counts": counts,
        "created_at": "2026-11-22T00:00:00Z",
        "expires_at": "2026-11-23T00:00:00Z",
        "ended_at": "2026-11-22T01:00:00Z",
        "archived_at": None,
        "cancel_initiated_at": None,
        "results_url": f"http://{host}/v1/messages/batches/{name}/results",
    }


def main() -> None:
    """Serve until the process is ended."""
    with ThreadingTCPServer(("127.0.0.1", 0), _Handler) as server:
        server.daemon_threads = True
        print(server.server_address[1], flush=True)
        server.serve_forever()


if __name__ == "__main__":
    main()
