"""Reading a published database."""

import subprocess
import sys
from pathlib import Path

import duckdb
import numpy as np
import pytest

from anomaly_assets.reader import open_samples
from benchmarks.phases import refresh_everything
from benchmarks.trees import SAMPLES, Tree


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("reader")
    tree = Tree(SAMPLES / "mvtec_ad", SAMPLES / "dagm_2007", 62)
    refresh_everything(tree, folder / "warehouse.duckdb", folder / "anomaly.duckdb")
    return folder / "anomaly.duckdb"


def stored(database: Path, query: str) -> list[tuple]:
    with duckdb.connect(str(database), read_only=True) as connection:
        return connection.execute(query).fetchall()


def test_batches_hold_every_sample_once_with_its_pixels_mask_and_label(database: Path) -> None:
    expected = {
        row[0]: row[1:]
        for row in stored(
            database, "SELECT image_id, image_tensor, mask_tensor, label_index FROM anomaly.samples"
        )
    }
    seen = []
    for batch in open_samples(database).batches(7):
        assert batch.images.shape[1:] == (256, 256, 3)
        assert batch.masks.shape == (len(batch), 256, 256)
        for position, image_id in enumerate(batch.image_ids):
            tensor, mask, label = expected[image_id]
            assert batch.images[position].tobytes() == tensor
            assert batch.has_mask[position] == (mask is not None)
            assert batch.masks[position].tobytes() == (mask or bytes(256 * 256))
            assert batch.label_indices[position] == label
            seen.append(image_id)
    assert sorted(seen) == sorted(expected)


def test_a_selection_reads_what_it_names_only(database: Path) -> None:
    samples = open_samples(database, category="bolt", split="train", label="good")
    assert len(samples) == 8
    ids = [image_id for batch in samples.batches(3) for image_id in batch.image_ids]
    assert ids == [f"mvtec_ad/bolt/train/good/{number:03}.png" for number in range(8)]


def test_samples_are_taken_by_id_wherever_they_lie(database: Path) -> None:
    samples = open_samples(database)
    wanted = ["mvtec_ad/woven/test/tear/001.png", "dagm_2007/Class1/Test/0002.PNG"]
    batch = samples.take(wanted)
    assert sorted(batch.image_ids) == sorted(wanted)
    rows = stored(database, "SELECT image_id, image_tensor, mask_tensor FROM anomaly.samples")
    expected = {image_id: (tensor, mask) for image_id, tensor, mask in rows}
    for position, image_id in enumerate(batch.image_ids):
        assert batch.images[position].tobytes() == expected[image_id][0]
        assert batch.masks[position].tobytes() == expected[image_id][1]


def test_ids_may_repeat_and_come_back_in_the_order_asked_for(database: Path) -> None:
    samples = open_samples(database, category="bolt", split="train")
    first, second, third = (f"mvtec_ad/bolt/train/good/{number:03}.png" for number in range(3))
    batch = samples.take([third, first, first, second])
    assert batch.image_ids == [third, first, first, second]
    alone = {image_id: samples.take([image_id]).images[0] for image_id in (first, second, third)}
    for position, image_id in enumerate(batch.image_ids):
        assert np.array_equal(batch.images[position], alone[image_id])
    with pytest.raises(ValueError, match="at least one"):
        samples.take([])


def test_a_selection_without_samples_says_what_exists(database: Path) -> None:
    with pytest.raises(LookupError, match="dagm_2007: Class1, Class2; mvtec_ad: bolt, woven"):
        open_samples(database, category="botle")
    with pytest.raises(FileNotFoundError, match="make materialize"):
        open_samples(database.with_name("none.duckdb"))


def test_masks_are_zero_and_one(database: Path) -> None:
    values = {
        int(v) for batch in open_samples(database).batches(16) for v in np.unique(batch.masks)
    }
    assert values == {0, 1}


def test_importing_the_reader_loads_neither_dagster_nor_dlt() -> None:
    code = "import sys, anomaly_assets.reader; print({'dagster', 'dlt', 'PIL'} & set(sys.modules))"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "set()"
