"""Test blobs that are read from DuckDB's storage, and blobs that are left to DuckDB."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from unittest import mock

import duckdb
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from anomaly_assets.reader import DatabaseError, Samples, open_samples
from anomaly_assets.reader.pixels import duckdb_blocks as blobs
from anomaly_assets.reader.pixels.duckdb_blocks import (
    StoredBlobs,
    UnexpectedLayoutError,
    find_blobs,
)
from anomaly_assets_tests.reader.published import publish_rows

pytestmark = pytest.mark.skipif(
    not Path("/proc/self/fd").exists(), reason="files are held by descriptor on Linux"
)

BLOCK = 256 * 1024
SIDE = 64


def write_table(path: Path, rows: list[bytes | None]) -> None:
    path.unlink(missing_ok=True)
    with duckdb.connect(":memory:") as connection:
        connection.execute(f"ATTACH '{path}' AS written (ROW_GROUP_SIZE 2048)")
        connection.execute(
            "CREATE TABLE written.image_tensors (image_tensor BLOB USING COMPRESSION uncompressed)"
        )
        connection.executemany(
            "INSERT INTO written.image_tensors VALUES (?)", [[blob] for blob in rows]
        )


def found_and_read(path: Path, size: int, rows: list[int]) -> tuple[StoredBlobs, list[bytes]]:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        with duckdb.connect(str(path), read_only=True) as connection:
            found = find_blobs(connection, descriptor, "image_tensor", size)
        arrays = np.zeros((len(rows), size), np.uint8)
        places = np.arange(len(rows))[::-1]
        found.read(descriptor, np.array(rows, np.int64), arrays, places)
    finally:
        os.close(descriptor)
    return found, [array.tobytes() for array in arrays[::-1]]


# What a dictionary holds, what fits into a block, and what just does not, or takes several.
@pytest.mark.slow
@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    size=st.sampled_from([1, 4095, 4096, 4097, 5000, 87_000, 3 * BLOCK])
    | st.integers(BLOCK - 40, BLOCK + 8),
    nulls=st.lists(st.booleans(), min_size=1, max_size=12),
    seed=st.integers(0, 1000),
)
def test_blobs_are_those_that_duckdb_stored(
    tmp_path: Path, size: int, nulls: list[bool], seed: int
) -> None:
    chance = np.random.default_rng(seed)
    written = [None if null else chance.bytes(size) for null in nulls]
    write_table(tmp_path / "table.duckdb", written)
    present = [row for row, null in enumerate(nulls) if not null]
    chosen = [*present[::-1], *present]
    found, read = found_and_read(tmp_path / "table.duckdb", size, chosen)
    assert [bool(found.have(np.array([row]))) for row in range(len(nulls))] == [
        not null for null in nulls
    ]
    assert read == [written[row] for row in chosen]


def test_blobs_of_another_size_are_not_found(tmp_path: Path) -> None:
    path = tmp_path / "table.duckdb"
    write_table(path, [b"12", b"123", b"12"])
    found, read = found_and_read(path, 2, [0, 2])
    assert read == [b"12", b"12"]
    assert not found.have(np.array([1]))
    write_table(path, [b"a" * 5000, b"a" * 5001])
    with pytest.raises(UnexpectedLayoutError, match="another size"):
        found_and_read(path, 5000, [0, 1])


@pytest.mark.parametrize("rows", [[0], [1], [0, 1, 2]])
def test_a_blob_that_goes_on_in_another_block_than_expected_is_not_read(
    tmp_path: Path, rows: list[int]
) -> None:
    """Refuse blocks in another order: their checksums are right, but the pixels are those of two images."""
    path, size = tmp_path / "table.duckdb", 2 * BLOCK
    chance = np.random.default_rng(7)
    write_table(path, [chance.bytes(size) for _ in range(3)])
    descriptor = os.open(path, os.O_RDONLY)
    try:
        with duckdb.connect(str(path), read_only=True) as connection:
            found = find_blobs(connection, descriptor, "image_tensor", size)
        first, second = found.blocks[:2]
        found.next_block[[first, second]] = found.next_block[[second, first]]
        arrays = np.zeros((len(rows), size), np.uint8)
        with pytest.raises(UnexpectedLayoutError, match="continues elsewhere"):
            found.read(descriptor, np.array(rows, np.int64), arrays, np.arange(len(rows)))
    finally:
        os.close(descriptor)


@pytest.fixture
def path(tmp_path: Path, published: Path) -> Path:
    return Path(shutil.copyfile(published, tmp_path / "rows.duckdb"))


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return publish_rows(tmp_path_factory.mktemp("rows") / "rows.duckdb", 100, SIDE)


@pytest.fixture
def samples(path: Path) -> Iterator[Samples]:
    with open_samples(path) as opened:
        yield opened


def forbid_duckdb(samples: Samples, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("images", "masks"):
        monkeypatch.delattr(type(samples._pixels._asked), name)  # type: ignore[attr-defined]


def test_a_published_file_is_read_without_asking_duckdb(
    samples: Samples, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = samples._pixels._asked.images(np.arange(100))  # type: ignore[attr-defined]
    forbid_duckdb(samples, monkeypatch)
    assert samples._pixels.threads == 0
    assert np.array_equal(samples.images[:], expected)
    assert samples.masks[:].any((1, 2)).tolist() == [number % 10 == 0 for number in range(100)]


@pytest.mark.parametrize("place", ["in a blob", "at its end"])
def test_damage_is_told_as_duckdb_tells_it(path: Path, place: str) -> None:
    with open_samples(path) as samples:
        image = samples[50].image.tobytes()
    content = bytearray(path.read_bytes())
    at = content.index(image[:100]) if place == "in a blob" else len(content) - BLOCK
    content[at + 50] ^= 1
    path.write_bytes(content)
    with pytest.raises(DatabaseError, match=r"rows.duckdb cannot be read: .*make materialize"):
        open_samples(path).images[:]


def test_a_file_that_was_copied_over_meanwhile_is_not_taken_for_what_was_opened(
    samples: Samples, path: Path, tmp_path: Path
) -> None:
    """Refuse pixels that would be those of other images, under the ids and labels that were read before."""
    other = tmp_path / "other.duckdb"
    shutil.copyfile(path, other)
    with duckdb.connect(str(other)) as connection:
        connection.execute(CHANGES["changed"])
    assert samples.images[:].any()
    shutil.copyfile(other, path)
    for read in (lambda: samples.images[:], lambda: samples.masks[:], lambda: samples[0]):
        with pytest.raises(DatabaseError, match="was written to since .* with `mv`, not with `cp`"):
            read()


CHANGES = {
    "changed": f"""
        UPDATE image_tensors SET image_tensor = repeat('z', {SIDE * SIDE * 3})::BLOB
        WHERE image_id LIKE '%7.png'
    """,
    "deleted": "DELETE FROM image_tensors WHERE image_id LIKE '%7.png'",
    "added": f"""
        INSERT INTO image_tensors BY NAME
        SELECT
            * REPLACE (
                replace(image_id, '7.png', '7x.png') AS image_id,
                repeat('z', {SIDE * SIDE * 3})::BLOB AS image_tensor
            )
        FROM image_tensors WHERE image_id LIKE '%7.png';
        INSERT INTO images BY NAME
        SELECT * REPLACE (replace(image_id, '7.png', '7x.png') AS image_id)
        FROM images WHERE image_id LIKE '%7.png'
    """,
}


@pytest.mark.parametrize("logged", [True, False])
@pytest.mark.parametrize("change", CHANGES)
def test_what_was_changed_by_hand_is_read_as_duckdb_reads_it(
    path: Path, change: str, logged: bool
) -> None:
    """Write the change to the log beside the file, or into the file."""
    with duckdb.connect(str(path)) as connection:
        if logged:
            connection.execute("PRAGMA disable_checkpoint_on_shutdown")
            connection.execute("SET checkpoint_threshold = '1 GB'")
        connection.execute(CHANGES[change])
    assert path.with_name("rows.duckdb.wal").exists() == logged
    with open_samples(path) as samples:
        expected = samples._pixels._asked.images(np.arange(len(samples)))  # type: ignore[attr-defined]
        assert (expected == ord("z")).any() == (change != "deleted")
        assert len(samples) == {"changed": 100, "deleted": 90, "added": 110}[change]
        assert np.array_equal(samples.images[:], expected)
        assert samples.masks[:].any((1, 2)).sum() == 10


def test_blobs_that_are_stored_in_another_way_are_left_to_duckdb(
    samples: Samples, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Simulate compression, because DuckDB 1.5 compresses no blobs."""
    expected = samples.images[:], samples.masks[:]
    monkeypatch.setattr(blobs, "_SEGMENTS", blobs._SEGMENTS.replace("Uncompressed", "ZSTD"))
    samples._pixels._found = None  # type: ignore[attr-defined]
    assert samples._pixels.threads == 1
    with mock.patch.object(blobs._Pieces, "read", side_effect=AssertionError):
        assert np.array_equal(samples.images[:], expected[0])
        assert np.array_equal(samples.masks[:], expected[1])
