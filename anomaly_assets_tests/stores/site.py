"""Run a web server in this process, with pages, files and redirects set by a test."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from urllib.parse import unquote

from anomaly_assets_tests.stores.servers import HOST

HTML = "text/html"


@dataclass
class Site:
    """The answers of a server, by decoded path.

    Attributes:
        port: Port on loopback.
        pages: Path to a page that links to others.
        files: Path to content.
        redirects: Path, or the beginning of one, to the target of a redirect.
        redirects_by: The header that holds the target.
        asked: Paths that were requested.
        ranges: Whether range requests are supported; otherwise the whole file is sent.
    """

    port: int = 0
    pages: dict[str, str] = field(default_factory=dict)
    files: dict[str, bytes] = field(default_factory=dict)
    redirects: dict[str, str] = field(default_factory=dict)
    redirects_by: str = "Location"
    asked: list[str] = field(default_factory=list)
    ranges: bool = True

    def location(self, path: str, host: str = HOST) -> str:
        return f"http://{host}:{self.port}{path}"

    def answer(self, path: str) -> tuple[int, Mapping[str, str], bytes]:
        self.asked.append(path)
        for beginning, target in self.redirects.items():
            if path.startswith(beginning):
                return 302, {self.redirects_by: target}, b""
        if path in self.pages:
            return 200, {"Content-Type": HTML}, self.pages[path].encode()
        if path in self.files:
            return 200, {"ETag": f'"{path}"', "Accept-Ranges": "bytes"}, self.files[path]
        return 404, {}, b""


@contextmanager
def served() -> Iterator[Site]:
    site = Site()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            status, headers, content = site.answer(unquote(self.path))
            asked = self.headers.get("Range")
            if status == 200 and asked and site.ranges:
                start, _, end = asked.removeprefix("bytes=").partition("-")
                whole, status = len(content), 206
                last = min(int(end or whole - 1), whole - 1)
                headers = {**headers, "Content-Range": f"bytes {start}-{last}/{whole}"}
                content = content[int(start) : last + 1]
            self.send_response(status)
            for name, value in {**headers, "Content-Length": str(len(content))}.items():
                self.send_header(name, value)
            self.end_headers()
            if self.command == "GET":
                self.wfile.write(content)

        do_HEAD = do_GET

        def log_message(self, *_: object) -> None:
            """Discard the message."""

    with ThreadingHTTPServer((HOST, 0), Handler) as server:
        site.port = server.server_address[1]
        thread = Thread(target=server.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        try:
            yield site
        finally:
            server.shutdown()
            thread.join()
