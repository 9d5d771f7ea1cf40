"""Build tensors on a real cluster, and provide the content to compare them with."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from anomaly_assets.decoding.build import BuildReport
from anomaly_assets.decoding.open import open_compute
from anomaly_assets_tests.dask.cluster import Cluster, running_cluster
from anomaly_assets_tests.warehouse.project import SPEC, Project

IMAGES = 48
SLOWLY = {"ANOMALY_TEST_SECONDS_PER_IMAGE": "0.05"}
PRELOAD = ("--preload", "anomaly_assets_tests.dask.slow")
CONTENT = "SELECT * EXCLUDE (loaded_at, run_id) FROM image_tensors ORDER BY image_id"
REJECTED = "SELECT * EXCLUDE (rejected_at) FROM rejected_images ORDER BY ALL"

Content = list[list[tuple[Any, ...]]]


def content(project: Project) -> Content:
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
    """Return a progress function that calls `deed` once, after this number of images."""
    done_it: list[bool] = []

    def progress(done: int, _total: int) -> None:
        if done >= after and not done_it:
            done_it.append(True)
            deed()

    return progress


@contextmanager
def slow_cluster(folder: Path, workers: int = 2) -> Iterator[Cluster]:
    place = folder / "cluster"
    with running_cluster(place, workers, environment=SLOWLY, options=PRELOAD) as cluster:
        yield cluster


def heals(project: Project, expected: Content) -> None:
    """Assert that the next run, with threads, ends with the same content."""
    project.build(workers=2)
    assert content(project) == expected
