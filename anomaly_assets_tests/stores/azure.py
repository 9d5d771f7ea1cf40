"""Simulate Azure Blob Storage with Azurite: requests are signed, and a wrong key is refused."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from anomaly_assets_tests.stores.servers import (
    HOST,
    NPM_FOLDER,
    free_ports,
    installed,
    running,
    status_of,
    temporary_folder,
)
from anomaly_assets_tests.stores.store import Store

ACCOUNT = "anomalytests"
KEY = base64.b64encode(b"the account key of the store tests").decode()
WRONG_KEY = base64.b64encode(b"another key of the same store tests").decode()


class Azure(Store):
    """A container with the name `data`."""

    name = "az"
    secrets = (KEY, WRONG_KEY)

    def __init__(self, port: int) -> None:
        super().__init__(port)
        self._container: Any = None

    def put(self, path: str, content: bytes) -> None:
        self._client().upload_blob(path, content, overwrite=True)

    def delete(self, path: str) -> None:
        self._client().delete_blob(path)

    def _client(self) -> Any:
        if self._container is None:
            from azure.storage.blob import BlobServiceClient

            service = BlobServiceClient.from_connection_string(self._connection(KEY, None))
            self._container = service.create_container("data")
        return self._container

    def environment(self, port: int | None = None) -> dict[str, str]:
        return {"AZURE_STORAGE_CONNECTION_STRING": self._connection(KEY, port)}

    def wrong_environment(self) -> dict[str, str]:
        return {"AZURE_STORAGE_CONNECTION_STRING": self._connection(WRONG_KEY, None)}

    def _connection(self, key: str, port: int | None) -> str:
        endpoint = f"{self._address(port)}/{ACCOUNT}"
        return (
            f"DefaultEndpointsProtocol=http;AccountName={ACCOUNT};AccountKey={key};"
            f"BlobEndpoint={endpoint};"
        )


@contextmanager
def azurite() -> Iterator[Azure]:
    """Run Azurite.

    Raises:
        NotInstalledError: The npm package `azurite` is missing.
    """
    program = installed("azurite-blob", NPM_FOLDER)
    (port,) = free_ports(1)
    with temporary_folder() as folder:
        command = [
            program,
            "--blobHost",
            HOST,
            "--blobPort",
            str(port),
            "--location",
            str(folder),
            "--silent",
            "--skipApiVersionCheck",
            "--disableTelemetry",
        ]
        environment = {"AZURITE_ACCOUNTS": f"{ACCOUNT}:{KEY}"}
        address = f"http://{HOST}:{port}/"
        with running(command, lambda: status_of(address) is not None, folder, environment):
            yield Azure(port)
