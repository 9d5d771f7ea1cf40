"""Serve more bytes than the limit, without a length."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from anomaly_assets_tests.stores.servers import HOST

PIECE = bytes(1024 * 1024)


class Endless(ThreadingHTTPServer):
    """A server that answers every GET with `most_bytes` of `piece`, repeated, and every HEAD with nothing.

    Attributes:
        sent: Bytes that were sent before the client disconnected.
        headers: Further headers of each answer.
        status: Status of each answer.
    """

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__((HOST, 0), _Handler)
        self.most_bytes = 300_000_000
        self.piece = PIECE
        self.headers: dict[str, str] = {}
        self.status = 200
        self.sent = 0
        self.ended = threading.Event()

    @property
    def address(self) -> str:
        return f"http://{HOST}:{self.server_address[1]}"


@contextmanager
def endless() -> Iterator[Endless]:
    """Run the server, in threads of this process."""
    with Endless() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


class _Handler(BaseHTTPRequestHandler):
    server: Endless

    def do_HEAD(self) -> None:
        self._begin()

    def do_GET(self) -> None:
        self._begin()
        sent = 0
        try:
            while sent < self.server.most_bytes:
                self.wfile.write(self.server.piece)
                sent += len(self.server.piece)
        except OSError:
            pass
        self.server.sent += sent
        self.server.ended.set()

    def _begin(self) -> None:
        self.send_response_only(self.server.status)
        for name, value in self.server.headers.items():
            self.send_header(name, value)
        self.end_headers()

    def log_message(self, format: str, *args: Any) -> None:
        """Discard the message."""
