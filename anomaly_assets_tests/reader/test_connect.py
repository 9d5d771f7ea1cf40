"""Test opening the published file: its faults, and changes by other processes."""

from __future__ import annotations

import os
import pickle
import shutil
import subprocess
import sys
from pathlib import Path

import duckdb
import numpy as np
import pytest

from anomaly_assets.reader import DatabaseError, open_samples
from anomaly_assets.reader.database import Database
from anomaly_assets_tests.reader.published import IMAGE_IDS, publish_again
from anomaly_assets_tests.warehouse.project import Project, noise

CHANGED = "mvtec_ad/bottle/train/good/000.png"
ADDED = "mvtec_ad/bottle/train/good/100.png"


def replace_published(project: Project, keep_snapshots: int = 0) -> None:
    """Publish another content under the same name."""
    noise(100).save(project.path(CHANGED), "PNG")
    noise(101).save(project.path(ADDED), "PNG")
    publish_again(project, keep_snapshots)


def test_a_file_that_is_not_there_is_named_with_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(
        FileNotFoundError, match=r"none.duckdb does not exist: run `make materialize`"
    ):
        open_samples(tmp_path / "none.duckdb")


@pytest.mark.parametrize("content", [b"", b"no database at all" * 1000])
def test_a_file_that_is_no_database_is_named_with_what_to_do(
    tmp_path: Path, content: bytes
) -> None:
    path = tmp_path / "anomaly.duckdb"
    path.write_bytes(content)
    with pytest.raises(DatabaseError, match=r"anomaly.duckdb cannot be read: .*make materialize"):
        open_samples(path)


def test_a_folder_is_no_database(tmp_path: Path) -> None:
    with pytest.raises(DatabaseError, match="is a folder"):
        open_samples(tmp_path)


def test_a_file_that_was_cut_off_is_named_with_what_to_do(database: Path, tmp_path: Path) -> None:
    content = database.read_bytes()
    path = tmp_path / "anomaly.duckdb"
    path.write_bytes(content[: len(content) // 2])
    with pytest.raises(DatabaseError, match=r"anomaly.duckdb cannot be read: .*make materialize"):
        open_samples(path).images[:]


def test_another_database_is_named_as_such(tmp_path: Path) -> None:
    path = tmp_path / "other.duckdb"
    duckdb.connect(str(path)).close()
    with pytest.raises(
        DatabaseError, match=r"other.duckdb is not a published database of this project"
    ):
        open_samples(path)


def test_a_place_that_cannot_be_reached_says_what_is_missing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in ("motherduck_token", "MOTHERDUCK_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(DatabaseError, match="neither motherduck_token nor MOTHERDUCK_TOKEN is set"):
        open_samples("md:anomaly")


def test_the_connection_stands_where_the_tables_are_and_is_read_only(database: Path) -> None:
    with Database(str(database)).cursor() as connection:
        assert connection.execute("SELECT count(*) FROM samples").fetchall() == [(14,)]
        with pytest.raises(duckdb.InvalidInputException, match="read-only"):
            connection.execute("DELETE FROM image_tensors")


def test_a_file_in_a_folder_with_quotes_in_its_name_is_opened(
    database: Path, tmp_path: Path
) -> None:
    path = tmp_path / 'it\'s "here" %s' / "any name.duckdb"
    path.parent.mkdir()
    shutil.copyfile(database, path)
    assert len(open_samples(path)) == len(IMAGE_IDS)


def test_a_file_that_nobody_may_write_is_opened(database: Path, tmp_path: Path) -> None:
    path = Path(shutil.copyfile(database, tmp_path / "anomaly.duckdb"))
    path.chmod(0o444)
    assert len(open_samples(path).images[:]) == len(IMAGE_IDS)


def test_the_caller_may_have_the_same_file_open(database: Path) -> None:
    with duckdb.connect(str(database), read_only=True) as connection:
        first, second = open_samples(database), open_samples(database)
        assert np.array_equal(first.images[:], second.images[:])
        assert connection.execute("SELECT count(*) FROM samples").fetchall() == [(14,)]


def test_samples_stay_those_of_the_snapshot_that_was_opened(project: Project) -> None:
    path = project.folder / "anomaly.duckdb"
    before = open_samples(path)
    images = before.images[:]
    replace_published(project)
    after = open_samples(path)
    assert np.array_equal(before.images[:], images)
    assert before.snapshot_id != after.snapshot_id
    assert (len(before), len(after)) == (14, 15)
    assert not np.array_equal(before[CHANGED].image, after[CHANGED].image)


OPENED_ELSEWHERE = """
import pickle, sys
samples = pickle.load(sys.stdin.buffer)
print(samples.images[:].tobytes().hex())
"""


def read_elsewhere(pickled: bytes) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        [sys.executable, "-c", OPENED_ELSEWHERE], input=pickled, capture_output=True
    )


@pytest.mark.skipif(
    not Path("/proc/self/fd").exists(), reason="files are held by descriptor on Linux"
)
def test_another_process_reads_the_snapshot_that_was_opened_here(project: Project) -> None:
    samples = open_samples(project.folder / "anomaly.duckdb")
    replace_published(project)
    found = read_elsewhere(pickle.dumps(samples))
    assert found.stdout.decode().strip() == samples.images[:].tobytes().hex()


def test_a_descriptor_that_now_belongs_to_a_pipe_is_not_read_from(project: Project) -> None:
    samples = open_samples(project.folder / "anomaly.duckdb")
    expected = samples.images[:].tobytes().hex()
    pickled = pickle.dumps(samples)
    held = samples._pixels._database._held._descriptor  # type: ignore[attr-defined]
    samples.close()
    reading, writing = os.pipe()
    os.dup2(reading, held)
    try:
        program = [sys.executable, "-c", OPENED_ELSEWHERE]
        found = subprocess.run(program, input=pickled, capture_output=True, timeout=60)
    finally:
        for descriptor in {reading, writing, held}:
            os.close(descriptor)
    assert found.stdout.decode().strip() == expected


def test_a_forked_process_has_a_connection_of_its_own(project: Project) -> None:
    samples = open_samples(project.folder / "anomaly.duckdb")
    expected = samples.images[:]
    replace_published(project)
    child = os.fork()
    if child == 0:  # neither pytest nor DuckDB may clean up in here
        os._exit(0 if np.array_equal(samples.images[:], expected) else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert np.array_equal(samples.images[:], expected)


def test_a_process_that_cannot_get_at_the_snapshot_any_more_says_so(project: Project) -> None:
    samples = open_samples(project.folder / "anomaly.duckdb")
    pickled = pickle.dumps(samples)
    samples.close()
    assert read_elsewhere(pickled).returncode == 0
    replace_published(project)
    found = read_elsewhere(pickled)
    assert b"was replaced since these samples were opened" in found.stderr
    assert b"Samples.cache" in found.stderr


def test_an_older_snapshot_is_opened_by_its_id_or_the_beginning_of_it(project: Project) -> None:
    path = project.folder / "anomaly.duckdb"
    with open_samples(path) as before:
        snapshot_id, images = before.snapshot_id, before.images[:]
    assert snapshot_id is not None
    replace_published(project, keep_snapshots=1)
    with open_samples(path) as newest:
        assert newest.snapshot_id != snapshot_id
        assert len(newest) == len(images) + 1
    for wanted in (snapshot_id, snapshot_id[:8]):
        with open_samples(path, snapshot=wanted) as pinned:
            assert pinned.snapshot_id == snapshot_id
            assert np.array_equal(pinned.images[:], images)
    with pytest.raises(LookupError, match=snapshot_id[:12]):
        open_samples(path, snapshot="0000000000")
