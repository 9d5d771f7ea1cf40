"""Test builds that fail in the middle, and builds on other executors."""

from __future__ import annotations

import math
import pickle
import shutil
from collections.abc import Callable
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from anomaly_assets.decoding import build
from anomaly_assets.decoding import open as compute
from anomaly_assets.decoding.batch import StaleImage, decode_batch
from anomaly_assets.decoding.build import Progress
from anomaly_assets.recipes import Recipe
from anomaly_assets.roots.open import open_root
from anomaly_assets.warehouse.file import duckdb_settings as instance
from anomaly_assets.warehouse.file.warehouse import FileWarehouse
from anomaly_assets_tests.warehouse.project import SPEC, Project

WIDER = Recipe(6, 8, 3)
COUNT_BY_TRANSFORM = "SELECT transform, count(*) FROM image_tensors GROUP BY ALL ORDER BY ALL"


class SynchronousExecutor(Executor):
    """An executor that runs each task when it is submitted."""

    def __init__(self, fail_at: int | None = None) -> None:
        self.submitted = 0
        self.fail_at = fail_at

    def submit(self, task: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        future: Future[Any] = Future()
        self.submitted += 1
        try:
            if self.submitted == self.fail_at:
                raise MemoryError("the worker died")
            future.set_result(self.run(task, *args, **kwargs))
        except Exception as error:
            future.set_exception(error)
        return future

    def run(self, task: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        return task(*args, **kwargs)


class PicklingExecutor(SynchronousExecutor):
    """An executor that pickles tasks and results, like executors of other processes."""

    def run(self, task: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        task, args, kwargs = pickle.loads(pickle.dumps((task, args, kwargs)))
        return pickle.loads(pickle.dumps(task(*args, **kwargs)))


def stop_after(images: int) -> Progress:
    def progress(done: int, _total: int) -> None:
        if done > images:
            raise RuntimeError("the power went out")

    return progress


@pytest.fixture
def small_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    """Set transactions of two images and tasks of one; of five images, the odd one comes first."""
    monkeypatch.setattr(instance, "ROW_GROUP_SIZE", 2)
    monkeypatch.setattr(compute, "BATCH_IMAGES", 1)
    monkeypatch.setattr(compute, "BATCHES_PER_WORKER", 2)


@pytest.mark.usefixtures("small_steps")
@pytest.mark.parametrize(("images", "committed"), [(0, 0), (1, 1), (2, 1), (3, 3), (4, 3)])
def test_an_interrupted_build_keeps_its_transactions_and_the_next_decodes_the_rest(
    project: Project, images: int, committed: int
) -> None:
    with pytest.raises(Exception, match="the power went out"):
        project.build(run_id="first", progress=stop_after(images))
    assert project.column("SELECT count(*) FROM image_tensors") == [committed]

    report = project.build(run_id="second")

    assert (report.decoded, report.unchanged) == (5 - committed, committed)
    query = "SELECT run_id, count(*) FROM image_tensors GROUP BY ALL ORDER BY ALL"
    expected = [("first", committed), ("second", 5 - committed)]
    assert project.rows(query) == [row for row in expected if row[1]]
    assert project.column("SELECT count(DISTINCT image_id) FROM image_tensors") == [5]


@pytest.mark.parametrize(("rows", "opened"), [(2, 3), (100, 1)])
def test_small_transactions_share_a_connection_up_to_the_images_of_a_row_group(
    project: Project, monkeypatch: pytest.MonkeyPatch, rows: int, opened: int
) -> None:
    """Measure memory: DuckDB reuses that of a transaction, but not that of a full row group."""
    monkeypatch.setattr(compute, "BATCH_IMAGES", 1)
    monkeypatch.setattr(build, "_size_of_transactions", lambda *_: (1, math.inf))
    monkeypatch.setattr(FileWarehouse, "transaction_rows", rows)
    writers: list[bool] = []
    connect = FileWarehouse.connect

    def counted(warehouse: FileWarehouse, *, wide_rows: bool = False) -> Any:
        writers.extend([True] * wide_rows)
        return connect(warehouse, wide_rows=wide_rows)

    monkeypatch.setattr(FileWarehouse, "connect", counted)
    assert project.build().decoded == 5
    assert len(writers) == opened


@pytest.mark.usefixtures("small_steps")
def test_an_interrupted_change_of_transform_leaves_the_old_tensors_of_the_rest(
    project: Project,
) -> None:
    project.build(SPEC)
    with pytest.raises(Exception, match="the power went out"):
        project.build(WIDER, progress=stop_after(3))
    assert project.rows(COUNT_BY_TRANSFORM) == [(WIDER.transform, 3), (SPEC.transform, 2)]

    assert project.build(WIDER).decoded == 2
    assert project.rows(COUNT_BY_TRANSFORM) == [(WIDER.transform, 5)]


@pytest.mark.usefixtures("small_steps")
def test_rejections_are_committed_with_their_transaction(project: Project) -> None:
    for number in range(3):
        project.path(f"mvtec_ad/bottle/train/good/{number:03}.png").write_bytes(b"no picture")
    project.list_files()
    with pytest.raises(Exception, match="the power went out"):
        project.build(progress=stop_after(4))
    assert project.column("SELECT relative_path FROM rejected_images ORDER BY ALL") == [
        "bottle/train/good/000.png",
    ]

    assert project.build().rejections == {"text_file": 2}


@pytest.mark.usefixtures("small_steps")
def test_a_decoding_task_that_dies_stops_the_build_and_keeps_what_was_committed(
    project: Project,
) -> None:
    with pytest.raises(Exception, match="the worker died"):
        project.build(executor=SynchronousExecutor(fail_at=4))
    assert project.column("SELECT count(*) FROM image_tensors") == [3]
    assert project.build().decoded == 2


def test_what_went_wrong_is_raised_as_it_is_and_not_in_the_words_of_duckdb(
    project: Project,
) -> None:
    with pytest.raises(RuntimeError, match=r"^the power went out$"):
        project.build(progress=stop_after(0))


def test_a_failed_build_lets_go_of_the_warehouse(project: Project) -> None:
    with pytest.raises(Exception, match="the power went out"):
        project.build(progress=stop_after(0))
    with project.warehouse.connect() as connection:
        assert connection.execute("SELECT count(*) FROM images").fetchone() == (5,)


@pytest.mark.usefixtures("small_steps")
def test_a_thread_pool_of_the_caller_is_used_and_left_open(project: Project) -> None:
    with ThreadPoolExecutor(2) as pool:
        assert project.build(executor=pool, workers=2).decoded == 5
        assert pool.submit(int, "7").result() == 7


@pytest.mark.usefixtures("small_steps")
def test_an_executor_that_runs_tasks_at_once_is_used_for_every_batch(project: Project) -> None:
    executor = SynchronousExecutor()
    assert project.build(executor=executor).decoded == 5
    assert executor.submitted == 5


def test_tasks_can_go_to_another_process(project: Project) -> None:
    assert project.build(executor=PicklingExecutor()).decoded == 5


def test_tasks_on_a_zip_archive_can_go_to_another_process(project: Project, tmp_path: Path) -> None:
    archive = shutil.make_archive(str(tmp_path / "mvtec"), "zip", tmp_path / "mvtec_ad")
    root = open_root(archive)
    entry = next(entry for entry in root.files() if entry.path.endswith("train/good/000.png"))
    image = StaleImage(
        image_id="mvtec_ad/bottle/train/good/000.png",
        source_dataset="mvtec_ad",
        relative_path="bottle/train/good/000.png",
        source_uri=root.uri_of("bottle/train/good/000.png"),
        file_size_bytes=entry.size_bytes,
        file_version=entry.version,
        mask_relative_path=None,
        mask_source_uri=None,
        mask_file_version=None,
        mask_reading=None,
        formats=("PNG",),
    )
    task = PicklingExecutor().submit(decode_batch, [image], {"mvtec_ad": root}, SPEC)
    assert task.result().tensors["image_id"].to_pylist() == [image.image_id]


def test_no_more_batches_wait_in_memory_than_the_window_allows(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Check that a window of two batches per worker limits the memory for any number of images."""
    monkeypatch.setattr(compute, "BATCH_IMAGES", 1)
    monkeypatch.setattr(compute, "BATCHES_PER_WORKER", 2)
    executor, ahead = SynchronousExecutor(), []
    project.build(
        executor=executor,
        workers=1,
        progress=lambda done, _total: ahead.append(executor.submitted - done),
    )
    assert len(ahead) == 5
    assert max(ahead) < 2


class CommitEndedBySignal:
    """A connection whose commits succeed but are reported as interrupted, like DuckDB after a signal."""

    def __init__(self, connection: Any) -> None:
        self.connection = connection

    def __getattr__(self, name: str) -> Any:
        return getattr(self.connection, name)

    def commit(self) -> None:
        self.connection.commit()
        raise RuntimeError("Query interrupted")


def test_a_signal_during_a_commit_is_told_of_as_an_interruption(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = build.write_images

    def interrupted(connection: Any, *arguments: Any) -> Any:
        return write(CommitEndedBySignal(connection), *arguments)  # type: ignore[arg-type]

    with monkeypatch.context() as patch:
        patch.setattr(build, "write_images", interrupted)
        with pytest.raises(KeyboardInterrupt):
            project.build(WIDER)
    assert project.build(WIDER).decoded == 0
