"""Test outages: short ones are retried, long ones end the run soon, one bad file is one rejected file."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from anomaly_assets.roots.base import RootError
from anomaly_assets.roots.open import open_root
from anomaly_assets.roots.retries import ATTEMPTS
from anomaly_assets_tests.stores.proxy import Fault, Proxy
from anomaly_assets_tests.stores.servers import free_ports
from anomaly_assets_tests.stores.store import Store
from anomaly_assets_tests.stores.trees import (
    build,
    load_root,
    pictures,
    rows,
    same_for_all_kinds,
    warehouse_in,
)

BAD = "bottle/train/good/001.png"


@contextmanager
def ends_within(seconds: float) -> Iterator[None]:
    """Assert that the block takes no longer than that."""
    started = time.monotonic()
    yield
    assert time.monotonic() - started < seconds


@pytest.mark.parametrize("status", [429, 500, 502, 503, 504])
def test_a_store_that_is_busy_twice_is_asked_a_third_time(
    store: Store, proxy: Proxy, prefix: str, status: int
) -> None:
    store.put_files(prefix, {"1.png": b"content"})
    proxy.plan = lambda method, path, before: status if before < 2 else None
    root = open_root(store.location(prefix, proxy.port))
    assert [entry.path for entry in root.files()] == ["1.png"]
    assert root.read("1.png") == b"content"


def test_answers_that_break_off_are_asked_for_again_and_nothing_is_lost(
    store: Store, proxy: Proxy, prefix: str, tmp_path: Path
) -> None:
    store.put_files(prefix, pictures())
    plain, broken = (warehouse_in(tmp_path / name) for name in ("plain", "broken"))
    load_root(plain, "mvtec_ad", store.location(prefix, proxy.port))
    build(plain, "mvtec_ad", store.location(prefix, proxy.port))
    proxy.requests.clear()
    proxy.plan = lambda method, path, before: "cut" if method == "GET" and before < 1 else None
    load_root(broken, "mvtec_ad", store.location(prefix, proxy.port))
    assert not build(broken, "mvtec_ad", store.location(prefix, proxy.port)).rejections
    assert same_for_all_kinds(broken, "mvtec_ad") == same_for_all_kinds(plain, "mvtec_ad")


@pytest.mark.parametrize("fault", [503, "stall"])
def test_a_store_that_is_down_ends_the_listing_soon(
    store: Store, proxy: Proxy, prefix: str, fault: Fault, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ANOMALY_STORE_TIMEOUT_SECONDS", "1")
    store.put_files(prefix, {"1.png": b"content"})
    proxy.plan = lambda method, path, before: fault
    with ends_within(15), pytest.raises(RootError, match="does not answer") as caught:
        list(open_root(store.location(prefix, proxy.port)).files())
    # adlfs makes two requests for one listing: it asks whether the folder is a file.
    assert len(proxy.requests) == ATTEMPTS * (2 if store.name == "az" else 1)
    assert not [secret for secret in store.secrets if secret in str(caught.value)]


@pytest.mark.parametrize("fault", [503, "stall"])
def test_a_store_that_goes_down_ends_the_build_soon_and_rejects_nothing(
    store: Store,
    proxy: Proxy,
    prefix: str,
    fault: Fault,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    monkeypatch.setenv("ANOMALY_STORE_TIMEOUT_SECONDS", "1")
    store.put_files(prefix, pictures())
    warehouse = warehouse_in(tmp_path)
    load_root(warehouse, "mvtec_ad", store.location(prefix, proxy.port))
    proxy.plan = lambda method, path, before: fault if method == "GET" else None
    with ends_within(20), pytest.raises(RootError, match="does not answer"):
        build(warehouse, "mvtec_ad", store.location(prefix, proxy.port))
    assert rows(warehouse, "SELECT count(*) FROM rejected_images") == [(0,)]

    proxy.plan = lambda method, path, before: None
    assert build(warehouse, "mvtec_ad", store.location(prefix, proxy.port)).decoded == 5


def test_a_store_that_nobody_runs_ends_the_listing_soon(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    (port,) = free_ports(1)
    for name, value in store.environment(port).items():
        monkeypatch.setenv(name, value)
    with ends_within(15), pytest.raises(RootError, match="does not answer"):
        list(open_root(store.location("something", port)).files())


@pytest.mark.parametrize("status", [403, 404])
def test_a_file_that_the_store_does_not_give_is_rejected_and_tried_again(
    store: Store, proxy: Proxy, prefix: str, status: int, tmp_path: Path
) -> None:
    store.put_files(prefix, pictures())
    location = store.location(prefix, proxy.port)
    warehouse = warehouse_in(tmp_path)
    load_root(warehouse, "mvtec_ad", location)
    proxy.plan = lambda method, path, before: status if "001.png" in path else None
    report = build(warehouse, "mvtec_ad", location)
    assert report.rejections == {"unreadable": 2}
    rejected = rows(warehouse, "SELECT relative_path, reason, detail FROM rejected_images")
    assert {(path, reason) for path, reason, _ in rejected} == {
        (BAD, "unreadable"),
        ("bottle/test/broken/001.png", "unreadable"),
    }
    assert all(detail.startswith(path) for path, _, detail in rejected)
    proxy.plan = lambda method, path, before: None
    assert build(warehouse, "mvtec_ad", location).decoded == 2


def test_a_file_that_was_deleted_after_the_listing_is_rejected(
    store: Store, prefix: str, tmp_path: Path
) -> None:
    location = store.put_files(prefix, pictures())
    warehouse = warehouse_in(tmp_path)
    load_root(warehouse, "mvtec_ad", location)
    store.delete(f"{prefix}/{BAD}")
    report = build(warehouse, "mvtec_ad", location)
    assert (report.decoded, report.rejections) == (4, {"unreadable": 1})
