"""Test that decoding on a real cluster gives the same content, whatever happens to its processes."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Collection, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from anomaly_assets.decoding import dask as cluster_module
from anomaly_assets.decoding.open import open_compute
from anomaly_assets.decoding.workers import ComputeError
from anomaly_assets.recipes import Recipe
from anomaly_assets_tests.dask.building import (
    IMAGES,
    PRELOAD,
    Content,
    build_on,
    content,
    heals,
    once,
    slow_cluster,
)
from anomaly_assets_tests.dask.cluster import running_cluster
from anomaly_assets_tests.warehouse.project import SPEC, Project

pytest.importorskip("distributed", reason="needs the extra `dask`")
pytestmark = [pytest.mark.timeout(120), pytest.mark.usefixtures("small_steps")]


def test_a_cluster_gives_what_threads_give_to_the_last_byte(
    project: Project, tmp_path: Path, expected: Content
) -> None:
    with running_cluster(tmp_path / "cluster") as cluster:
        report = build_on(cluster, project)
        assert (report.decoded, report.rejections) == (IMAGES - 2, {"text_file": 2})
        assert content(project) == expected
        assert build_on(cluster, project).decoded == 0


def test_a_cluster_makes_several_recipes_like_threads(project: Project, tmp_path: Path) -> None:
    further = Recipe(12, 12, 1, "simd"), Recipe(8, 8, 3, overlap=2)
    every = (
        "SELECT * EXCLUDE (loaded_at, run_id) FROM recipe_tensors ORDER BY image_id, recipe, tile"
    )
    project.build(SPEC, *further)
    expected = project.rows(every)
    assert len({row[1] for row in expected}) == 2
    project.rows("DELETE FROM recipe_tensors")
    with running_cluster(tmp_path / "cluster") as cluster:
        opened = partial(
            open_compute, cluster.location, project.roots(), SPEC, workers=1, patience_seconds=60
        )
        report = project.build(SPEC, *further, compute=opened)
    assert (report.decoded, report.recipe_rows) == (0, len(expected))
    assert project.rows(every) == expected


def test_where_nothing_is_stale_no_cluster_is_asked(project: Project) -> None:
    project.build()
    unreachable = partial(
        open_compute, "dask://127.0.0.1:9", project.roots(), SPEC, workers=1, patience_seconds=1
    )
    assert project.build(compute=unreachable).decoded == 0


def test_a_worker_that_is_killed_in_the_middle_costs_nothing_but_time(
    project: Project, tmp_path: Path, expected: Content
) -> None:
    with slow_cluster(tmp_path) as cluster:
        report = build_on(cluster, project, progress=once(6, cluster.workers[0].kill))
        assert cluster.workers[0].wait() == -signal.SIGKILL
        assert report.decoded == IMAGES - 2
    assert content(project) == expected


def test_a_worker_that_hangs_is_done_without(
    project: Project, tmp_path: Path, expected: Content
) -> None:
    with slow_cluster(tmp_path) as cluster:
        stopped = cluster.workers[0]
        stop = partial(stopped.send_signal, signal.SIGSTOP)
        report = build_on(cluster, project, progress=once(6, stop))
        assert stopped.poll() is None
        assert report.decoded == IMAGES - 2
    assert content(project) == expected


def test_a_worker_that_hangs_while_its_tensors_are_read_is_done_without(
    project: Project, tmp_path: Path, expected: Content, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Hang after the client has requested them: the connection stays open, and no data arrives."""
    from distributed import client as client_module

    gather = client_module.gather_from_workers
    stopped: list[str] = []

    async def gather_from_stopped(who_has: Mapping[Any, Collection[str]], **options: Any) -> Any:
        if not stopped:
            stopped.extend(next(iter(who_has.values())))
            os.kill(processes[stopped[0]], signal.SIGSTOP)
        return await gather(who_has, **options)

    with slow_cluster(tmp_path) as cluster:
        with client_module.Client(f"tcp://{cluster.address}", set_as_default=False) as client:
            processes = client.run(os.getpid)
        monkeypatch.setattr(client_module, "gather_from_workers", gather_from_stopped)
        report = build_on(cluster, project)
        assert len(stopped) == 1
        assert report.decoded == IMAGES - 2
    assert content(project) == expected


def test_a_cluster_whose_workers_all_hang_is_given_up(
    project: Project, tmp_path: Path, expected: Content, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Wait longer for lost workers than for results: the scheduler drops a worker that hangs."""
    monkeypatch.setattr(cluster_module, "_CONNECT_SECONDS", 60)
    with slow_cluster(tmp_path, workers=1) as cluster:
        stop = partial(cluster.workers[0].send_signal, signal.SIGSTOP)
        started = time.monotonic()
        with pytest.raises(ComputeError, match=r"no result for 12 s.*ANOMALY_TASK_TIMEOUT_SECONDS"):
            build_on(cluster, project, patience_seconds=12, progress=once(10, stop))
        assert time.monotonic() - started < 60
    assert project.column("SELECT count(*) >= 8 FROM image_tensors") == [True]
    heals(project, expected)


def test_a_scheduler_that_goes_away_ends_the_run_with_a_word(
    project: Project, tmp_path: Path, expected: Content
) -> None:
    with slow_cluster(tmp_path) as cluster:
        started = time.monotonic()
        with pytest.raises(ComputeError, match="was lost"):
            build_on(
                cluster, project, patience_seconds=20, progress=once(10, cluster.scheduler.kill)
            )
        assert time.monotonic() - started < 60
    heals(project, expected)


def test_a_client_that_closes_with_its_scheduler_does_not_hide_why(
    project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Test both orders, which differ by milliseconds."""
    from distributed.cfexecutor import ClientExecutor
    from distributed.client import ClosedClientError

    def cannot_cancel(*_arguments: object, **_options: object) -> None:
        raise ClosedClientError("Client is closed. Can't send cancel-keys message.")

    monkeypatch.setattr(ClientExecutor, "shutdown", cannot_cancel)
    with slow_cluster(tmp_path) as cluster, pytest.raises(ComputeError, match="was lost"):
        build_on(cluster, project, progress=once(10, cluster.scheduler.kill))


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
    project: Project, tmp_path: Path, expected: Content
) -> None:
    deadly = {"ANOMALY_TEST_DIES_AT": "005.png"}
    place = tmp_path / "cluster"
    with (
        running_cluster(place, 4, environment=deadly, options=PRELOAD) as cluster,
        pytest.raises(ComputeError, match="ended the workers that ran it"),
    ):
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


def test_a_worker_that_is_slower_than_another_makes_no_difference_to_the_content(
    project: Project, tmp_path: Path, expected: Content
) -> None:
    with running_cluster(tmp_path / "cluster", workers=1) as cluster:
        cluster.add_worker(environment={"ANOMALY_TEST_SECONDS_PER_IMAGE": "0.5"}, options=PRELOAD)
        cluster.wait_for_workers(2)
        report = build_on(cluster, project)
    assert report.decode_seconds >= 0.5  # it took part
    assert content(project) == expected
