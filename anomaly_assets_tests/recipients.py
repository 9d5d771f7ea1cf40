"""Run servers on loopback that receive notices: one for mail, one for webhooks."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from email import message_from_bytes
from email.message import Message
from email.policy import default
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from aiosmtpd.controller import Controller

from anomaly_assets_tests.stores.servers import free_ports


@dataclass
class Webhook:
    """HTTP server that records what it gets.

    Attributes:
        address: Its address for ANOMALY_NOTIFY, with a token.
        received: Messages, each as title and text.
        status: Status code of the next answers.
    """

    address: str = ""
    received: list[tuple[str, str]] = field(default_factory=list)
    status: int = 200


@contextmanager
def webhook() -> Iterator[Webhook]:
    found = Webhook()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            if found.status == 200:
                found.received.append((body["title"], body["message"]))
            self.send_response(found.status)
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        found.address = f"json://127.0.0.1:{server.server_port}/s3cr3t-token"
        try:
            yield found
        finally:
            server.shutdown()


@dataclass
class Mailbox:
    """SMTP server that records what it gets.

    Attributes:
        address: Its address for ANOMALY_NOTIFY.
        received: Messages.
    """

    address: str = ""
    received: list[Message] = field(default_factory=list)

    async def handle_DATA(self, _server: Any, _session: Any, envelope: Any) -> str:
        """Take a message; aiosmtpd calls this."""
        self.received.append(message_from_bytes(envelope.content, policy=default))
        return "250 OK"


@contextmanager
def mailbox() -> Iterator[Mailbox]:
    found = Mailbox()
    [port] = free_ports(1)
    server = Controller(found, hostname="127.0.0.1", port=port)
    server.start()
    found.address = (
        f"mailto://127.0.0.1:{port}/?from=robot@s3cr3t.example&to=team@s3cr3t.example&mode=insecure"
    )
    try:
        yield found
    finally:
        server.stop()
