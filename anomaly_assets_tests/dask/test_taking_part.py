"""Test that workers are checked before they decode, even if they join later."""

from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
import sys
from functools import partial
from pathlib import Path

import PIL
import pytest

import anomaly_assets
from anomaly_assets.decoding import dask as cluster_module
from anomaly_assets.decoding.build import TooManyUnreadableError
from anomaly_assets.decoding.dask import decode_on_worker
from anomaly_assets.decoding.open import open_compute
from anomaly_assets.decoding.versions import what_decides_pixels
from anomaly_assets.decoding.workers import ComputeError
from anomaly_assets_tests.dask.building import (
    Content,
    build_on,
    content,
    heals,
    once,
    slow_cluster,
)
from anomaly_assets_tests.dask.cluster import Cluster, running_cluster
from anomaly_assets_tests.decoding.pictures import png
from anomaly_assets_tests.warehouse.project import SPEC, Project, noise

pytest.importorskip("distributed", reason="needs the extra `dask`")
pytestmark = [pytest.mark.timeout(120), pytest.mark.usefixtures("small_steps")]


def start_worker_that_sees_nothing(cluster: Cluster, folder: Path, hidden: Path) -> None:
    """Start a worker with an empty folder in place of a root, as if it were not mounted."""
    start_worker_that_sees(cluster, folder, f"mount -t tmpfs tmpfs {hidden}")


def start_worker_that_sees(cluster: Cluster, folder: Path, mount: str) -> None:
    """Start a worker with another folder mounted in place of a root."""
    worker = f"{sys.executable} -m distributed.cli.dask_worker tcp://{cluster.address}"
    script = f"{mount} && exec {worker} --host 127.0.0.1 --no-nanny"
    with open(folder / "log", "wb") as log:
        command = ["unshare", "--mount", "sh", "-c", f"{script} --no-dashboard"]
        cluster.workers.append(subprocess.Popen(command, stdout=log, stderr=log))


needs_unshare = pytest.mark.skipif(
    os.geteuid() != 0 or shutil.which("unshare") is None,
    reason="hiding a folder from one process needs root and unshare",
)


@needs_unshare
def test_a_worker_that_cannot_see_the_root_is_named_before_anything_is_done(
    project: Project, tmp_path: Path, roots_folder: Path
) -> None:
    with running_cluster(tmp_path / "cluster", workers=1) as cluster:
        start_worker_that_sees_nothing(cluster, tmp_path, roots_folder / "mvtec_ad")
        cluster.wait_for_workers(2)
        with pytest.raises(ComputeError, match=r"1 of 2 workers .* finds no file below file:///"):
            build_on(cluster, project)
    assert project.column("SELECT count(*) FROM image_tensors") == [0]


@needs_unshare
def test_a_worker_that_comes_later_and_cannot_see_the_root_rejects_no_image(
    project: Project, tmp_path: Path, roots_folder: Path, expected: Content
) -> None:
    def replaced() -> None:
        start_worker_that_sees_nothing(cluster, tmp_path, roots_folder / "mvtec_ad")
        cluster.wait_for_workers(2)
        cluster.workers[0].kill()

    with (
        slow_cluster(tmp_path, workers=1) as cluster,
        pytest.raises(ComputeError, match=r"joined during the run .* finds no file below file:///"),
    ):
        build_on(cluster, project, progress=once(10, replaced))
    assert project.column("SELECT count(*) FROM rejected_images WHERE reason = 'unreadable'") == [0]
    heals(project, expected)


def test_a_worker_that_comes_later_with_another_version_decodes_nothing() -> None:
    wanted = {**what_decides_pixels(), "anomaly_assets": "0.0.1"}
    with pytest.raises(
        ComputeError,
        match=r"joined during the run .* the driver anomaly_assets 0.0.1: install the same",
    ):
        decode_on_worker(wanted, [], {}, SPEC)


def test_a_worker_with_another_pillow_is_named_with_both_versions_before_anything_is_done(
    project: Project, tmp_path: Path
) -> None:
    """Test a former bug: a worker with Pillow 9.5 rejected every image, and the run succeeded."""
    (tmp_path / "older.py").write_text("import PIL.Image\nPIL.__version__ = '9.5.0'\n")
    with running_cluster(tmp_path / "cluster", workers=1) as cluster:
        cluster.add_worker(options=("--preload", str(tmp_path / "older.py")))
        cluster.wait_for_workers(2)
        with pytest.raises(ComputeError) as raised:
            build_on(cluster, project)
    assert re.fullmatch(
        rf"1 of 2 workers at {cluster.location} cannot decode images\. tcp://127\.0\.0\.1:\d+: "
        rf"{re.escape(socket.gethostname())} has Pillow 9\.5\.0, the driver Pillow {PIL.__version__}: "
        r"install the same\.",
        str(raised.value),
    )
    assert project.column("SELECT count(*) FROM image_tensors") == [0]
    assert project.column("SELECT count(*) FROM rejected_images") == [0]


def test_a_worker_without_the_module_of_a_source_dataset_decodes_its_images(
    project: Project, tmp_path: Path, expected: Content
) -> None:
    (tmp_path / "fewer.py").write_text(
        "from anomaly_assets import datasets\ndatasets.SOURCE_DATASETS.clear()\n"
    )
    with running_cluster(tmp_path / "cluster", workers=0) as cluster:
        cluster.add_worker(options=("--preload", str(tmp_path / "fewer.py")))
        cluster.wait_for_workers(1)
        build_on(cluster, project)
    assert content(project) == expected


@needs_unshare
def test_files_of_another_copy_under_the_same_path_are_refused_and_not_stored(
    project: Project, tmp_path: Path, roots_folder: Path, expected: Content
) -> None:
    root, copy = roots_folder / "mvtec_ad", tmp_path / "copy"
    shutil.copytree(root, copy, copy_function=shutil.copyfile)  # with times of its own
    for number, place in enumerate(sorted(copy.rglob("*.png"))):
        place.write_bytes(png(noise(1000 + number)))
    with running_cluster(tmp_path / "cluster", workers=0) as cluster:
        start_worker_that_sees(cluster, tmp_path, f"mount --bind {copy} {root}")
        cluster.wait_for_workers(1)
        with pytest.raises(TooManyUnreadableError) as raised:
            build_on(cluster, project)
    assert f"was changed or replaced since (read on {socket.gethostname()})." in str(raised.value)
    assert project.column("SELECT count(*) FROM image_tensors") == [0]
    heals(project, expected)


def test_a_worker_with_another_version_is_named_before_anything_is_done(
    project: Project, tmp_path: Path
) -> None:
    other = tmp_path / "other"
    package = Path(anomaly_assets.__file__).parent
    shutil.copytree(package, other / "anomaly_assets", ignore=shutil.ignore_patterns("__pycache__"))
    with open(other / "anomaly_assets" / "decoding" / "transform.py", "a") as file:
        file.write("# a change of this worker alone\n")
    with running_cluster(tmp_path / "cluster", workers=1) as cluster:
        cluster.add_worker(started_in=other)
        cluster.wait_for_workers(2)
        with pytest.raises(ComputeError, match=r"1 of 2 workers .* install the same"):
            build_on(cluster, project)


def test_a_cluster_without_workers_is_named(
    project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cluster_module, "_CONNECT_SECONDS", 2)
    with (
        running_cluster(tmp_path / "cluster", workers=0) as cluster,
        pytest.raises(ComputeError, match="has no worker"),
    ):
        build_on(cluster, project)


def test_an_address_where_nothing_listens_is_named(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cluster_module, "_CONNECT_SECONDS", 1)
    nowhere = partial(
        open_compute, "dask://127.0.0.1:9", project.roots(), SPEC, workers=1, patience_seconds=1
    )
    with pytest.raises(ComputeError, match=r"No Dask scheduler answers at dask://127.0.0.1:9"):
        project.build(compute=nowhere)
