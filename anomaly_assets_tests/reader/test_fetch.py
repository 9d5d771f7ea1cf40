"""Test reading pixels: any order, across row groups, and in limited memory."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from anomaly_assets.reader import Samples, open_samples
from anomaly_assets_tests.reader.published import publish_rows

ROWS = 5000


@pytest.fixture(scope="module", params=["from the file", "by DuckDB"])
def many(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Samples:
    """Publish more samples than fit into two row groups, of 8 x 8 pixels; each tenth has a mask."""
    path = publish_rows(tmp_path_factory.mktemp("many") / "rows.duckdb", ROWS, 8)
    samples = open_samples(path)
    if request.param == "by DuckDB":
        samples._pixels = samples._pixels._asked  # type: ignore[attr-defined]
    return samples


@pytest.fixture(scope="module")
def everything(many: Samples) -> tuple[np.ndarray, np.ndarray]:
    return many.images[:], many.masks[:]


def test_runs_across_row_groups_come_in_order(
    many: Samples, everything: tuple[np.ndarray, np.ndarray]
) -> None:
    images, masks = everything
    assert len(np.unique(images[:, 0, 0, 0])) == 26
    assert masks.any((1, 2)).tolist() == [number % 10 == 0 for number in range(ROWS)]
    for size in (1, 64, 4999):
        start = 0
        for batch in many[4000:4130].batches(size):
            stop = start + len(batch)
            assert np.array_equal(batch.images, images[4000:4130][start:stop])
            assert np.array_equal(batch.masks, masks[4000:4130][start:stop])
            start = stop


def test_scattered_samples_come_in_the_order_asked_for(
    many: Samples, everything: tuple[np.ndarray, np.ndarray]
) -> None:
    images, masks = everything
    positions = np.random.default_rng(0).integers(0, ROWS, 400)  # some more than once
    assert np.array_equal(many.images[positions], images[positions])
    assert np.array_equal(many.masks[positions], masks[positions])


def test_a_shuffled_epoch_over_many_fetches_has_every_sample_once(
    many: Samples, everything: tuple[np.ndarray, np.ndarray], monkeypatch: pytest.MonkeyPatch
) -> None:
    images, masks = everything
    monkeypatch.setattr(many._pixels, "samples_at_once", 70)
    order = np.random.default_rng(7).permutation(ROWS)[:2000]
    start = 0
    for batch in many.select(order).batches(32):
        chosen = order[start : start + 32]
        assert np.array_equal(batch.images, images[chosen])
        assert np.array_equal(batch.masks, masks[chosen])
        start += len(batch)
    assert start == len(order)


EPOCH = """
import sys
from anomaly_assets.reader import open_samples
samples = open_samples(sys.argv[1])
for batch in samples.batches(64):
    batch.images[:, 0, 0, 0].sum()
fields = dict(line.split(":") for line in open("/proc/self/status"))
print(int(fields["VmHWM"].split()[0]) // 1024)
"""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="asks Linux for the peak")
def test_memory_does_not_grow_with_the_database(tmp_path: Path) -> None:
    """Compare the peaks of two sizes: DuckDB alone would cache the whole file, up to most of the memory."""

    def peak_megabytes(rows: int) -> int:
        path = publish_rows(tmp_path / f"{rows}.duckdb", rows, 256)
        command = [sys.executable, "-c", EPOCH, str(path)]
        found = subprocess.run(command, capture_output=True, text=True, check=True)
        path.unlink()
        return int(found.stdout)

    small, large = peak_megabytes(3000), peak_megabytes(6000)  # 0.6 and 1.2 GB
    assert large - small < 400  # of 590 MB that there are more to read; reading ahead varies by 200
