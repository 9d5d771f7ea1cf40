"""Define the interface of the tests to all stores."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path

from anomaly_assets_tests.stores.servers import HOST

VARIABLES = (
    "AWS_ACCESS_KEY_ID",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
    "AWS_PROFILE",
    "AWS_REGION",
    "AWS_DEFAULT_REGION",
    "AWS_ENDPOINT_URL",
    "AZURE_STORAGE_CONNECTION_STRING",
    "AZURE_STORAGE_ACCOUNT_NAME",
    "AZURE_STORAGE_ACCOUNT_KEY",
    "AZURE_STORAGE_SAS_TOKEN",
    "STORAGE_EMULATOR_HOST",
    "GOOGLE_APPLICATION_CREDENTIALS",
    "NETRC",
)
"""Environment variables of stores and credentials; tests remove those of the shell."""


class Store(ABC):
    """A running server with files, and the settings of its users.

    Attributes:
        name: Scheme of its URLs.
        secrets: Texts that must never be seen.
    """

    name: str
    secrets: tuple[str, ...] = ()

    def __init__(self, port: int) -> None:
        self.port = port

    @abstractmethod
    def put(self, path: str, content: bytes) -> None:
        """Store one file, with a client that has nothing to do with fsspec."""

    @abstractmethod
    def delete(self, path: str) -> None:
        """Remove one file."""

    def location(self, path: str, port: int | None = None) -> str:
        """Return the URL of `path`, for `open_root`; `port` is that of a proxy."""
        return f"{self.name}://data/{path}"

    def missing_locations(self) -> tuple[str, ...]:
        """Return URLs that do not exist in the store: no such folder, no such bucket."""
        return self.location("missing"), f"{self.name}://missing/images"

    @abstractmethod
    def environment(self, port: int | None = None) -> dict[str, str]:
        """Return variables that a user sets; `port` is that of a proxy."""

    def wrong_environment(self) -> dict[str, str]:
        """Return the same variables with a wrong secret; empty if the store needs none."""
        return {}

    def put_files(self, prefix: str, files: Mapping[str, bytes]) -> str:
        """Store files below a prefix, and return its URL."""
        for path, content in files.items():
            self.put(f"{prefix}/{path}", content)
        return self.location(prefix)

    def _address(self, port: int | None) -> str:
        return f"http://{HOST}:{port or self.port}"


def contents(folder: Path) -> dict[str, bytes]:
    """Return the content of all files below a folder, by relative path."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }
