"""Start each server once, on first use, and make roots from folders."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path

import pytest

from anomaly_assets_tests.stores import azure, gcs, s3, web
from anomaly_assets_tests.stores.proxy import Proxy, proxy_of
from anomaly_assets_tests.stores.servers import NotInstalledError
from anomaly_assets_tests.stores.store import VARIABLES, Store


@pytest.fixture(scope="session")
def servers() -> Iterator[Callable[[str], Store]]:
    """Yield a function that starts a store by name, or skips the test if it is not installed."""
    kinds: dict[str, Callable[[], AbstractContextManager[Store]]] = {
        "s3": s3.seaweedfs,
        "az": azure.azurite,
        "gs": gcs.fake_gcs_server,
        "http": web.nginx,
    }
    started: dict[str, Store] = {}
    required = os.environ.get("CI") == "true"
    required |= os.environ.get("ANOMALY_TEST_STORES") == "required"
    with ExitStack() as stack:

        def start(name: str) -> Store:
            if name not in started:
                try:
                    started[name] = stack.enter_context(kinds[name]())
                except NotInstalledError as error:
                    if required:
                        pytest.fail(str(error))
                    pytest.skip(str(error))
            return started[name]

        yield start


@pytest.fixture(autouse=True)
def own_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Remove credentials and proxies of the shell, and set short timeouts."""
    for name in (*VARIABLES, *(name for name in os.environ if name.lower().endswith("_proxy"))):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("ANOMALY_STORE_TIMEOUT_SECONDS", "5")


@pytest.fixture(params=["s3", "az", "gs", "http"])
def store(
    request: pytest.FixtureRequest,
    servers: Callable[[str], Store],
    monkeypatch: pytest.MonkeyPatch,
) -> Store:
    """Return each store in turn, with the environment of a user who may read it."""
    store = servers(request.param)
    for name, value in store.environment().items():
        monkeypatch.setenv(name, value)
    return store


@pytest.fixture
def proxy(store: Store, monkeypatch: pytest.MonkeyPatch) -> Iterator[Proxy]:
    """Run a proxy in front of the store; the environment points to it."""
    with proxy_of(store.port) as proxy:
        for name, value in store.environment(proxy.port).items():
            monkeypatch.setenv(name, value)
        yield proxy


@pytest.fixture
def prefix(request: pytest.FixtureRequest) -> str:
    """Return a prefix that no other test uses."""
    return f"test-{abs(hash(request.node.nodeid)):x}"
