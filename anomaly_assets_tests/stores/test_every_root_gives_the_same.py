"""Test that the same files give the same catalogue and tensors from every kind of root."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from anomaly_assets_tests.stores.store import Store, contents
from anomaly_assets_tests.stores.trees import Row, loaded, same_for_all_kinds, zipped

STORES = ("s3", "az", "gs", "http")
ON_DISK = ("one folder deeper", "zip", "zip with top folders")
KINDS = (*ON_DISK, *STORES, *(f"zip in {name}" for name in STORES))
DATASETS = ("mvtec_ad", "dagm_2007")
TOP = {"mvtec_ad": "mvtec_anomaly_detection/", "dagm_2007": "DAGM_KaggleUpload/"}

Expected = Callable[[Path, str], tuple[list[Row], list[Row]]]


@pytest.fixture(scope="module")
def expected(tmp_path_factory: pytest.TempPathFactory) -> Expected:
    """Return the result of the plain folder."""
    known: dict[Path, tuple[list[Row], list[Row]]] = {}

    def of(folder: Path, dataset: str) -> tuple[list[Row], list[Row]]:
        if folder not in known:
            warehouse = loaded(tmp_path_factory.mktemp("expected"), dataset, str(folder))
            known[folder] = same_for_all_kinds(warehouse, dataset)
        return known[folder]

    return of


@pytest.fixture
def put(
    tmp_path: Path, servers: Callable[[str], Store], monkeypatch: pytest.MonkeyPatch, prefix: str
) -> Callable[[str, Path, str], str]:
    """Return a function that puts a folder into a root of some kind, and returns its location."""

    def into(kind: str, folder: Path, dataset: str) -> str:
        if kind == "one folder deeper":
            shutil.copytree(folder, tmp_path / "root" / TOP[dataset])
            return str(tmp_path / "root")
        if kind in ON_DISK:
            top = TOP[dataset] if kind == "zip with top folders" else ""
            return str(zipped(tmp_path / "data set.zip", contents(folder), top))
        store = servers(kind.split()[-1])
        for name, value in store.environment().items():
            monkeypatch.setenv(name, value)
        if kind in STORES:
            return store.put_files(prefix, contents(folder))
        archive = zipped(tmp_path / "x.zip", contents(folder), TOP[dataset])
        store.put(f"{prefix}/x.zip", archive.read_bytes())
        return store.location(f"{prefix}/x.zip")

    return into


@pytest.mark.parametrize("dataset", DATASETS)
@pytest.mark.parametrize("kind", KINDS)
def test_the_samples_are_the_same_in_every_kind_of_root(
    kind: str,
    dataset: str,
    put: Callable[[str, Path, str], str],
    expected: Expected,
    project_root: Path,
    tmp_path: Path,
) -> None:
    samples = project_root / "data" / "samples" / dataset
    images, tensors = expected(samples, dataset)
    assert len(images) == len(tensors) == {"mvtec_ad": 34, "dagm_2007": 28}[dataset]
    warehouse = loaded(tmp_path, dataset, put(kind, samples, dataset))
    assert same_for_all_kinds(warehouse, dataset) == (images, tensors)


@pytest.mark.parametrize("dataset", DATASETS)
@pytest.mark.parametrize("kind", KINDS)
def test_the_real_excerpts_are_the_same_in_every_kind_of_root(
    kind: str,
    dataset: str,
    put: Callable[[str, Path, str], str],
    expected: Expected,
    real_root: Path,
    tmp_path: Path,
) -> None:
    excerpt = real_root / "official_layout" / dataset
    images, tensors = expected(excerpt, dataset)
    assert len(images) == len(tensors) > 20
    warehouse = loaded(tmp_path, dataset, put(kind, excerpt, dataset))
    assert same_for_all_kinds(warehouse, dataset) == (images, tensors)
