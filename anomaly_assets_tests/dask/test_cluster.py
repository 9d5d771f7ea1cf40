"""Decoding on a real cluster: the same content, whatever happens to its processes."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest

import anomaly_assets
from anomaly_assets.tensors import build
from anomaly_assets.tensors import cluster as cluster_module
from anomaly_assets.tensors.build import BuildReport
from anomaly_assets.tensors.compute import ComputeError, open_compute
from anomaly_assets_tests.dask.cluster import Cluster, running_cluster
from anomaly_assets_tests.warehouse.project import SPEC, Project, mask, noise

pytest.importorskip("distributed", reason="needs the extra `dask`")
pytestmark = pytest.mark.timeout(120)

IMAGES = 48
SLOWLY = {"ANOMALY_TEST_SECONDS_PER_IMAGE": "0.05"}
PRELOAD = ("--preload", "anomaly_assets_tests.dask.slow")
CONTENT = "SELECT * EXCLUDE (loaded_at, run_id) FROM image_tensors ORDER BY image_id"
REJECTED = "SELECT * EXCLUDE (rejected_at) FROM rejected_images ORDER BY ALL"


@pytest.fixture(scope="module")
def roots_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """48 images with some masks, and two files that are none."""
    project = Project.at(tmp_path_factory.mktemp("roots"))
    pictures = {f"mvtec_ad/bottle/train/good/{n:03}.png": noise(n) for n in range(IMAGES - 10)}
    for number in range(8):
        pictures[f"mvtec_ad/bottle/test/crack/{number:03}.png"] = noise(100 + number)
        pictures[f"mvtec_ad/bottle/ground_truth/crack/{number:03}_mask.png"] = mask((2, 2, 9, 9))
    project.save(pictures)
    for number in (900, 901):
        project.path(f"mvtec_ad/bottle/train/good/{number}.png").write_bytes(b"no picture")
    return project.folder


@pytest.fixture
def project(tmp_path: Path, roots_folder: Path) -> Project:
    project = Project.at(tmp_path, roots_folder)
    project.list_files()
    return project


@pytest.fixture(scope="module")
def expected(
    tmp_path_factory: pytest.TempPathFactory, roots_folder: Path
) -> list[list[tuple[Any, ...]]]:
    """What threads make of it."""
    project = Project.at(tmp_path_factory.mktemp("threads"), roots_folder)
    project.list_files()
    project.build(workers=2)
    return content(project)


@pytest.fixture(autouse=True)
def small_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tasks of two images, and transactions of eight."""
    monkeypatch.setattr(cluster_module, "_batches", lambda threads, spec: (2, 2 * threads))
    monkeypatch.setattr(build, "TRANSACTION_ROWS", 8)
    monkeypatch.setattr(cluster_module, "_CONNECT_SECONDS", 5)
    monkeypatch.setattr(cluster_module, "_LOOK_SECONDS", 0.5)


def content(project: Project) -> list[list[tuple[Any, ...]]]:
    return [project.rows(CONTENT), project.rows(REJECTED)]


def build_on(
    cluster: Cluster, project: Project, patience_seconds: float = 60, **options: Any
) -> BuildReport:
    opened = partial(
        open_compute,
        cluster.location,
        project.roots(),
        SPEC,
        workers=1,
        patience_seconds=patience_seconds,
    )
    return project.build(compute=opened, **options)


def once(after: int, deed: Callable[[], object]) -> Callable[[int, int], None]:
    """A progress report that does something when so many images are done, once."""
    done_it: list[bool] = []

    def progress(done: int, _total: int) -> None:
        if done >= after and not done_it:
            done_it.append(True)
            deed()

    return progress


@contextmanager
def slow_cluster(folder: Path, workers: int = 2) -> Iterator[Cluster]:
    with running_cluster(folder / "cluster", workers=0) as cluster:
        for _ in range(workers):
            cluster.add_worker(environment=SLOWLY, options=PRELOAD)
        cluster.wait_for_workers(workers)
        yield cluster


def heals(project: Project, expected: list[list[tuple[Any, ...]]]) -> None:
    """The next run, with threads, ends with the same content."""
    project.build(workers=2)
    assert content(project) == expected


def test_a_cluster_gives_what_threads_give_to_the_last_byte(
    project: Project, tmp_path: Path, expected: list[list[tuple[Any, ...]]]
) -> None:
    with running_cluster(tmp_path / "cluster") as cluster:
        report = build_on(cluster, project)
        assert (report.decoded, report.rejections) == (IMAGES - 2, {"not_a_png": 2})
        assert content(project) == expected
        assert build_on(cluster, project).decoded == 0


def test_where_nothing_is_stale_no_cluster_is_asked(project: Project) -> None:
    project.build()
    unreachable = partial(
        open_compute, "dask://127.0.0.1:9", project.roots(), SPEC, workers=1, patience_seconds=1
    )
    assert project.build(compute=unreachable).decoded == 0


def test_a_worker_that_is_killed_in_the_middle_costs_nothing_but_time(
    project: Project, tmp_path: Path, expected: list[list[tuple[Any, ...]]]
) -> None:
    with slow_cluster(tmp_path) as cluster:
        report = build_on(cluster, project, progress=once(6, cluster.workers[0].kill))
        assert cluster.workers[0].wait() == -signal.SIGKILL
        assert report.decoded == IMAGES - 2
    assert content(project) == expected


def test_a_worker_that_hangs_is_done_without(
    project: Project, tmp_path: Path, expected: list[list[tuple[Any, ...]]]
) -> None:
    with slow_cluster(tmp_path) as cluster:
        stopped = cluster.workers[0]
        build_on(cluster, project, progress=once(6, partial(stopped.send_signal, signal.SIGSTOP)))
        assert stopped.poll() is None
    assert content(project) == expected


def test_a_cluster_whose_workers_all_hang_is_given_up(
    project: Project, tmp_path: Path, expected: list[list[tuple[Any, ...]]]
) -> None:
    with slow_cluster(tmp_path, workers=1) as cluster:
        stop = partial(cluster.workers[0].send_signal, signal.SIGSTOP)
        started = time.monotonic()
        with pytest.raises(ComputeError, match=r"no result for 4 s.*ANOMALY_TASK_TIMEOUT_SECONDS"):
            build_on(cluster, project, patience_seconds=4, progress=once(10, stop))
        assert time.monotonic() - started < 30
    assert project.column("SELECT count(*) >= 8 FROM image_tensors") == [True]
    heals(project, expected)


def test_a_scheduler_that_goes_away_ends_the_run_with_a_word(
    project: Project, tmp_path: Path, expected: list[list[tuple[Any, ...]]]
) -> None:
    with slow_cluster(tmp_path) as cluster:
        started = time.monotonic()
        with pytest.raises(ComputeError, match="went away"):
            build_on(
                cluster, project, patience_seconds=20, progress=once(10, cluster.scheduler.kill)
            )
        assert time.monotonic() - started < 60
    heals(project, expected)


def test_a_scheduler_that_hangs_ends_the_run_with_a_word(
    project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cluster_module, "_CONNECT_SECONDS", 3)
    with slow_cluster(tmp_path) as cluster:
        stop = partial(cluster.scheduler.send_signal, signal.SIGSTOP)
        started = time.monotonic()
        with pytest.raises(ComputeError, match="does not answer any more"):
            build_on(cluster, project, progress=once(10, stop))
        assert time.monotonic() - started < 60


def test_files_that_end_every_worker_end_the_run_with_a_word(
    project: Project, tmp_path: Path, expected: list[list[tuple[Any, ...]]]
) -> None:
    deadly = {"ANOMALY_TEST_DIES_AT": "005.png"}
    with running_cluster(tmp_path / "cluster", workers=0) as cluster:
        for _ in range(4):
            cluster.add_worker(environment=deadly, options=PRELOAD)
        cluster.wait_for_workers(4)
        with pytest.raises(ComputeError, match="ended the workers that ran it"):
            build_on(cluster, project)
    heals(project, expected)


def test_a_cluster_that_has_lost_all_workers_is_given_up_long_before_a_task_would_be(
    project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cluster_module, "_CONNECT_SECONDS", 2)
    with (
        slow_cluster(tmp_path, workers=1) as cluster,
        pytest.raises(ComputeError, match="has lost all workers"),
    ):
        build_on(cluster, project, progress=once(10, cluster.workers[0].kill))
    assert project.column("SELECT count(*) >= 8 FROM image_tensors") == [True]


def test_a_worker_that_cannot_see_the_root_is_named_before_anything_is_done(
    project: Project, tmp_path: Path, roots_folder: Path
) -> None:
    if os.geteuid() != 0 or shutil.which("unshare") is None:
        pytest.skip("hiding a folder from one process needs root and unshare")
    with running_cluster(tmp_path / "cluster", workers=1) as cluster:
        hidden = roots_folder / "mvtec_ad"
        worker = f"{sys.executable} -m distributed.cli.dask_worker tcp://{cluster.address}"
        script = f"mount -t tmpfs tmpfs {hidden} && exec {worker} --host 127.0.0.1 --no-nanny"
        with open(tmp_path / "log", "wb") as log:
            command = ["unshare", "--mount", "sh", "-c", f"{script} --no-dashboard"]
            cluster.workers.append(subprocess.Popen(command, stdout=log, stderr=log))
        cluster.wait_for_workers(2)
        with pytest.raises(ComputeError, match=r"1 of 2 workers .* finds no file below file:///"):
            build_on(cluster, project)
    assert project.column("SELECT count(*) FROM image_tensors") == [0]


def test_a_worker_with_another_version_is_named_before_anything_is_done(
    project: Project, tmp_path: Path
) -> None:
    other = tmp_path / "other"
    package = Path(anomaly_assets.__file__).parent
    shutil.copytree(package, other / "anomaly_assets", ignore=shutil.ignore_patterns("__pycache__"))
    with open(other / "anomaly_assets" / "tensors" / "transform.py", "a") as file:
        file.write("# somebody's own change\n")
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
