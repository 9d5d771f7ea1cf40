"""Start nginx as a web server with folder listings and ranges, and one folder with a password."""

from __future__ import annotations

import base64
import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote

from anomaly_assets_tests.stores.servers import (
    HOST,
    free_ports,
    installed,
    running,
    status_of,
    temporary_folder,
)
from anomaly_assets_tests.stores.store import Store

USER = "reader"
PASSWORD = "pass:wörd/@1#2"
PLAIN_USER = "plain"
PLAIN_PASSWORD = "plain-0123456789"

_CONFIGURATION = """
daemon off;
master_process off;
pid nginx.pid;
error_log error.log;
events {{ worker_connections 256; }}
http {{
    types {{ image/png png PNG; text/plain txt; application/zip zip; }}
    access_log off;
    client_body_temp_path body;
    proxy_temp_path proxy;
    fastcgi_temp_path fastcgi;
    uwsgi_temp_path uwsgi;
    scgi_temp_path scgi;
    server {{
        listen {host}:{port};
        root files;
        autoindex on;
        location /private/ {{
            auth_basic "private";
            auth_basic_user_file passwords;
        }}
    }}
}}
"""


class Web(Store):
    """A web server with two folders, `data` and `private`."""

    name = "http"
    secrets = (PASSWORD, "pass%3Aw%C3%B6rd%2F%401%232", f"{USER}:")

    def __init__(self, port: int, files: Path) -> None:
        super().__init__(port)
        self.files = files
        self._written = 1_600_000_000
        (files / "data").mkdir(parents=True)

    def put(self, path: str, content: bytes) -> None:
        # nginx computes etags from size and time in seconds, and a test may take less than a second.
        self._written += 1
        place = self.files / "data" / path
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(content)
        os.utime(place, (self._written, self._written))

    def delete(self, path: str) -> None:
        (self.files / "data" / path).unlink()

    def location(self, path: str, port: int | None = None) -> str:
        return f"{self._address(port)}/data/{quote(path)}"

    def missing_locations(self) -> tuple[str, ...]:
        return self.location("missing"), f"{self._address(None)}/missing"

    def private(self, path: str, user: str = "", password: str = "") -> str:
        """Return the URL of the same path in the folder with a password."""
        login = f"{user}:{quote(password, safe='')}@" if user else ""
        return f"http://{login}{HOST}:{self.port}/private/{quote(path)}"

    def environment(self, port: int | None = None) -> dict[str, str]:
        return {}


@contextmanager
def nginx() -> Iterator[Web]:
    """Run nginx.

    Raises:
        NotInstalledError: Debian's package `nginx` is missing.
    """
    program = installed("nginx")
    (port,) = free_ports(1)
    with temporary_folder() as folder:
        folder.chmod(0o755)
        configuration = folder / "nginx.conf"
        configuration.write_text(_CONFIGURATION.format(host=HOST, port=port))
        users = {USER: PASSWORD, PLAIN_USER: PLAIN_PASSWORD}
        lines = [f"{user}:{_digest(password)}\n" for user, password in users.items()]
        (folder / "passwords").write_text("".join(lines))
        web = Web(port, folder / "files")
        (folder / "files" / "private").symlink_to(folder / "files" / "data")
        command = [program, "-p", str(folder), "-c", str(configuration), "-e", "error.log"]
        address = f"http://{HOST}:{port}/data/"
        with running(command, lambda: status_of(address) == 200, folder):
            yield web


def _digest(password: str) -> str:
    digest = hashlib.sha1(password.encode()).digest()
    return f"{{SHA}}{base64.b64encode(digest).decode()}"
