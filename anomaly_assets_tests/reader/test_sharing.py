"""Test one snapshot in several threads and processes, which start and close it at any moment."""

from __future__ import annotations

import itertools
import os
import pickle
import shutil
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import numpy.typing as npt
import pytest

from anomaly_assets.reader import DatabaseError, Samples, open_samples
from anomaly_assets.reader.database import Database
from anomaly_assets.reader.pixels import blocks as stored
from anomaly_assets.reader.pixels.duckdb_blocks import StoredBlobs
from anomaly_assets.reader.pixels.query import DatabasePixels
from anomaly_assets.warehouse import open_published as opened
from anomaly_assets.warehouse.file.pinned_file import HeldFile
from anomaly_assets.warehouse.file.snapshots import kept_path
from anomaly_assets_tests.reader.published import publish_rows
from anomaly_assets_tests.reader.swapping import around

ID, OTHER_ID = "1" * 64, "2" * 64
COUNT = 30


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return publish_rows(tmp_path / "anomaly.duckdb", COUNT, 64, snapshot_id=ID)


@pytest.fixture
def images(path: Path) -> npt.NDArray[Any]:
    with open_samples(path) as samples:
        return samples.images[:]


def publish_another(path: Path) -> None:
    """Give the name to a snapshot of the same rows with other pixels."""
    beside = path.with_name("beside.duckdb")
    publish_rows(beside, COUNT, 64, snapshot_id=OTHER_ID, letter="a")
    os.replace(beside, path)


def opened_elsewhere(samples: Samples) -> Samples:
    """Return the samples as another process gets them, without access to this process's descriptor."""
    pickled = pickle.dumps(samples)
    samples.close()
    again: Samples = pickle.loads(pickled)
    return again


def test_a_file_with_the_same_snapshot_in_other_rows_is_not_read_by_rows_of_the_first(
    path: Path,
) -> None:
    samples = open_samples(path)
    other = Path(shutil.copyfile(path, path.with_name("other.duckdb")))
    with duckdb.connect(str(other)) as connection:
        connection.execute("CREATE TABLE reversed AS FROM image_tensors ORDER BY image_id DESC")
        connection.execute("DELETE FROM image_tensors")
        connection.execute("INSERT INTO image_tensors FROM reversed")
    os.replace(other, path)
    elsewhere = opened_elsewhere(samples)
    with pytest.raises(DatabaseError, match="was replaced since these samples were opened"):
        elsewhere.images[:]


def test_a_copy_of_the_snapshot_is_read_where_a_file_system_has_no_hard_links(
    path: Path, images: npt.NDArray[Any]
) -> None:
    samples = open_samples(path)
    shutil.copyfile(path, kept_path(path, ID))
    publish_another(path)
    with opened_elsewhere(samples) as elsewhere:
        assert np.array_equal(elsewhere.images[:], images)


def test_a_snapshot_that_was_older_when_it_was_opened_is_found_where_it_is_now(
    path: Path, images: npt.NDArray[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    os.link(path, kept_path(path, ID))
    publish_another(path)
    monkeypatch.chdir(path.parent)
    samples = open_samples(path.name, snapshot=ID)
    os.replace(kept_path(path, ID), path)
    monkeypatch.chdir("/")
    with opened_elsewhere(samples) as elsewhere:
        assert np.array_equal(elsewhere.images[:], images)


def test_another_snapshot_under_the_name_is_never_read(path: Path) -> None:
    samples = open_samples(path)
    publish_another(path)
    with pytest.raises(DatabaseError, match=f"was replaced since .* \\(snapshot {ID}\\)"):
        opened_elsewhere(samples).images[:]


def in_a_fork(read: Callable[[], bool], meanwhile: Callable[[], None]) -> bool:
    """Return what `read` returns in a forked process, after `meanwhile` was called in this one."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:  # neither pytest nor DuckDB may clean up in here
        try:
            os.read(reading, 1)
            os._exit(0 if read() else 1)
        finally:
            os._exit(2)
    meanwhile()
    os.write(writing, b"x")
    for descriptor in (reading, writing):
        os.close(descriptor)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


@pytest.mark.skipif(
    not Path("/proc/self/fd").exists(), reason="files are held by descriptor on Linux"
)
def test_a_fork_reads_the_file_that_its_parent_has_closed_and_replaced(
    path: Path, images: npt.NDArray[Any]
) -> None:
    samples = open_samples(path)

    def close_and_replace() -> None:
        samples.close()
        publish_another(path)

    assert in_a_fork(lambda: np.array_equal(samples.images[:], images), close_and_replace)


@pytest.mark.parametrize("replaced", [False, True])
def test_a_fork_on_a_system_without_descriptors_in_proc_compares_what_has_the_name(
    path: Path, images: npt.NDArray[Any], replaced: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(opened, "_regular_files", dict)
    monkeypatch.setattr(HeldFile, "address", lambda file: file._path)
    samples = open_samples(path)
    assert samples._pixels.threads == 1

    def read() -> bool:
        try:
            return np.array_equal(samples.images[:], images)
        except DatabaseError as error:
            return replaced and "was replaced since" in str(error)

    assert in_a_fork(read, lambda: publish_another(path) if replaced else None)


def test_a_fork_opens_files_though_a_thread_of_its_parent_was_opening_one(path: Path) -> None:
    with opened._one_at_a_time:
        assert in_a_fork(lambda: len(open_samples(path)) == COUNT, lambda: None)


@pytest.mark.slow
def test_threads_that_open_different_files_at_once_all_read_without_duckdb(path: Path) -> None:
    other = publish_rows(
        path.with_name("other.duckdb"), COUNT, 64, snapshot_id=OTHER_ID, letter="a"
    )
    together = threading.Barrier(4)

    def read(number: int) -> list[tuple[str | None, int, bool]]:
        together.wait()
        found = []
        for _ in range(5):
            with open_samples((path, other)[number % 2]) as samples:
                is_large = samples.images[:].min() < ord("a")
                found.append((samples.snapshot_id, samples._pixels.threads, bool(is_large)))
        return found

    with ThreadPoolExecutor(4) as pool:
        found = [*pool.map(read, range(4))]
    assert found == [[(ID, 0, True)] * 5, [(OTHER_ID, 0, False)] * 5] * 2


STEPS = (
    (Database, "opened"),
    (opened.Opened, "cursor"),
    (stored, "find_blobs"),
    (StoredBlobs, "read"),
    (DatabasePixels, "_fetch_images"),
)


@pytest.mark.parametrize("reader", ["from the file", "by DuckDB", "in batches"])
def test_samples_that_another_thread_closes_give_what_was_asked_for_or_say_so(
    path: Path, images: npt.NDArray[Any], reader: str
) -> None:
    outcomes = []
    for chosen in itertools.count():
        samples = open_samples(path)
        samples._pixels._trusted = reader == "from the file"  # type: ignore[attr-defined]
        steps = itertools.count()
        closed = threading.Event()

        def step() -> None:
            if next(steps) == chosen:  # noqa: B023
                thread = threading.Thread(target=samples.close)  # noqa: B023
                thread.start()
                thread.join()
                closed.set()  # noqa: B023

        with pytest.MonkeyPatch.context() as patch:
            for owner, name in STEPS:
                patch.setattr(owner, name, around(getattr(owner, name), step))
            try:
                if reader == "in batches":
                    found = np.concatenate([batch.images for batch in samples.batches(7)])
                else:
                    found = samples.images[:]
            except DatabaseError as error:
                assert str(error) == f"{path} was closed. Open the samples again."
                outcomes.append("closed")
            else:
                assert np.array_equal(found, images)
                outcomes.append("read")
        if not closed.is_set():
            break
    assert {*outcomes} == {"closed", "read"}
    assert len(outcomes) > 5


def test_rows_that_are_missing_are_named_and_not_filled_with_what_is_in_memory(path: Path) -> None:
    with open_samples(path) as samples:
        asked = samples._pixels._asked  # type: ignore[attr-defined]
        asked._rows = asked._rows + 10
        for read in (asked.images, asked.masks):
            with pytest.raises(DatabaseError, match=r"has \d+ rows less than when these samples"):
                read(np.arange(COUNT))


def test_a_tensor_of_another_size_is_damage(path: Path) -> None:
    with duckdb.connect(str(path)) as connection:
        connection.execute(
            "UPDATE image_tensors SET image_tensor = 'x'::BLOB WHERE image_id LIKE '%3.png'"
        )
    with (
        open_samples(path) as samples,
        pytest.raises(DatabaseError, match="A tensor has 1 bytes instead of 12288"),
    ):
        samples.images[:]


def test_a_file_that_is_written_to_while_samples_are_selected_is_not_read(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from anomaly_assets.reader import selection

    other = publish_rows(
        path.with_name("other.duckdb"), COUNT, 64, snapshot_id=OTHER_ID, letter="a"
    )
    monkeypatch.setattr(
        selection,
        "_statistics",
        around(selection._statistics, lambda: shutil.copyfile(other, path)),
    )
    with pytest.raises(DatabaseError, match="was written to since .* with `mv`, not with `cp`"):
        open_samples(path)
