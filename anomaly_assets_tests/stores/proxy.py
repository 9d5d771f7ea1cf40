"""Count the requests to a store with a proxy, which can refuse or stall them."""

from __future__ import annotations

import http.client
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Literal

from anomaly_assets_tests.stores.servers import HOST

Fault = int | Literal["stall", "cut"] | None
"""A status to answer with, no answer at all, half an answer, or no fault."""

Plan = Callable[[str, str, int], Fault]
"""Method, path and how often that was asked before, to the fault."""

_HOP_BY_HOP = frozenset({"connection", "keep-alive", "transfer-encoding", "content-length"})


def no_fault(method: str, path: str, before: int) -> Fault:
    """Forward every request."""
    return None


@dataclass
class Proxy:
    """The requests that a proxy received.

    Attributes:
        port: Port on loopback.
        plan: Function that selects the fault of a request; may be changed at any time.
        requests: Method and path (with its query) of every request, in order.
    """

    port: int
    plan: Plan = no_fault
    requests: list[tuple[str, str]] = field(default_factory=list)
    ended: threading.Event = field(default_factory=threading.Event)

    def count(self, method: str, part: str = "") -> Counter[str]:
        """Return the number of requests with a method by path, for paths that contain a text."""
        return Counter(path for asked, path in self.requests if asked == method and part in path)


@contextmanager
def proxy_of(upstream: int) -> Iterator[Proxy]:
    """Run a proxy of the server at a port of this machine, in threads of this process."""
    handler = type("Handler", (_Handler,), {"upstream": upstream})
    with ThreadingHTTPServer((HOST, 0), handler) as server:
        server.daemon_threads = True
        proxy = handler.proxy = Proxy(server.server_address[1])  # type: ignore[attr-defined]
        thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
        thread.start()
        try:
            yield proxy
        finally:
            proxy.ended.set()
            server.shutdown()
            thread.join()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    upstream: int
    proxy: Proxy

    def _answer(self) -> None:
        before = self.proxy.count(self.command)[self.path]
        self.proxy.requests.append((self.command, self.path))
        fault = self.proxy.plan(self.command, self.path, before)
        if fault == "stall":
            self.proxy.ended.wait(120)
            self.close_connection = True
        elif isinstance(fault, int):
            self._send(fault, [], b"" if self.command == "HEAD" else b"out of order")
        else:
            self._pass_on(cut=fault == "cut")

    def _pass_on(self, *, cut: bool) -> None:
        connection = http.client.HTTPConnection(HOST, self.upstream, timeout=30)
        try:
            connection.putrequest(
                self.command, self.path, skip_host=True, skip_accept_encoding=True
            )
            for name, value in self.headers.items():
                if name.lower() != "connection":
                    connection.putheader(name, value)
            connection.endheaders(self.rfile.read(int(self.headers.get("Content-Length") or 0)))
            response = connection.getresponse()
            content = response.read()
            headers = [pair for pair in response.getheaders() if pair[0].lower() not in _HOP_BY_HOP]
            length = response.getheader("Content-Length") if self.command == "HEAD" else None
            self._send(response.status, headers, content, length, cut=cut)
        finally:
            connection.close()

    def _send(
        self,
        status: int,
        headers: list[tuple[str, str]],
        content: bytes,
        length: str | None = None,
        *,
        cut: bool = False,
    ) -> None:
        self.send_response_only(status)
        for name, value in headers:
            self.send_header(name, value)
        self.send_header("Content-Length", length or str(len(content)))
        self.end_headers()
        self.wfile.write(content[: len(content) // 2] if cut else content)
        self.close_connection = cut

    do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = _answer

    def log_message(self, format: str, *args: Any) -> None:
        """Discard the message."""
