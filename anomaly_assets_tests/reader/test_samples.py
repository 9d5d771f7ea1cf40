"""Test a selection of samples: batches, single samples, order, masks."""

from __future__ import annotations

import pickle
import sys
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
import pytest

from anomaly_assets.reader import Samples, open_samples
from anomaly_assets_tests.reader.published import IMAGE_IDS, SHAPE

UNKNOWN = "mvtec_ad/bottle/test/crack/001.png"
LOST_BY_RESIZE = "mvtec_ad/bottle/test/crack/002.png"


@pytest.fixture(scope="module")
def samples(database: Path) -> Samples:
    return open_samples(database)


@pytest.fixture(scope="module")
def stored(database: Path) -> dict[str, tuple]:
    with duckdb.connect(str(database), read_only=True) as connection:
        rows = connection.execute(
            "SELECT image_id, image_tensor, mask_tensor, label_index FROM samples"
        ).fetchall()
    return {row[0]: row[1:] for row in rows}


@pytest.mark.parametrize("size", [1, 3, 14, 1000])
def test_batches_hold_every_sample_once_in_the_order_of_ids(
    samples: Samples, stored: dict[str, tuple], size: int
) -> None:
    seen = []
    for batch in samples.batches(size):
        assert batch.images.shape == (len(batch), *SHAPE)
        assert batch.masks.shape == (len(batch), *SHAPE[:2])
        for position, image_id in enumerate(batch.image_ids):
            tensor, mask, label = stored[image_id]
            assert batch.images[position].tobytes() == tensor
            assert batch.masks[position].tobytes() == (mask or bytes(SHAPE[0] * SHAPE[1]))
            assert batch.mask_from_file[position] == (mask is not None)
            assert batch.label_indices[position] == label
        seen += batch.image_ids
    assert seen == IMAGE_IDS


def test_the_mask_of_a_good_image_is_known_to_be_empty(samples: Samples) -> None:
    good = next(sample for sample in samples if sample.label_index == 0)
    assert good.has_mask
    assert not good.mask_from_file
    assert not good.mask.any()


def test_the_mask_of_an_anomalous_image_without_a_mask_file_is_unknown(samples: Samples) -> None:
    sample = samples[UNKNOWN]
    assert sample.label_index == 1
    assert not sample.has_mask
    assert not sample.mask.any()


def test_a_mask_that_the_resize_emptied_is_a_known_one_and_its_area_is_in_the_metadata(
    samples: Samples,
) -> None:
    sample = samples[LOST_BY_RESIZE]
    assert sample.has_mask
    assert sample.mask_from_file
    assert not sample.mask.any()
    assert sample.metadata["mask_area_fraction"] == 1 / (24 * 16)


def test_exactly_one_mask_is_unknown(samples: Samples) -> None:
    unknown = [
        image_id
        for batch in samples.batches(5)
        for image_id, known in zip(batch.image_ids, batch.has_mask, strict=True)
        if not known
    ]
    assert unknown == [UNKNOWN]


def test_the_table_has_the_metadata_in_the_order_of_the_samples(samples: Samples) -> None:
    table = samples.table
    assert table["image_id"].to_pylist() == IMAGE_IDS
    assert not {"image_tensor", "mask_tensor"} & set(table.column_names)
    assert table["category"].to_pylist()[0] == "Class1"
    chosen = samples.select([9, 2])
    assert chosen.table["image_id"].to_pylist() == [IMAGE_IDS[9], IMAGE_IDS[2]]


def test_a_data_frame_is_the_table(samples: Samples) -> None:
    pytest.importorskip("pandas")
    frame = samples.df()
    assert list(frame["image_id"]) == IMAGE_IDS
    assert list(frame.columns) == samples.table.column_names


def test_without_pandas_the_error_says_what_to_install(
    samples: Samples, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(ImportError, match="pip install pandas"):
        samples.df()


def test_images_and_masks_look_like_arrays(samples: Samples, stored: dict[str, tuple]) -> None:
    images, masks = samples.images, samples.masks
    assert (images.shape, images.ndim, len(images)) == ((14, *SHAPE), 4, 14)
    assert (masks.shape, masks.ndim, len(masks)) == ((14, *SHAPE[:2]), 3, 14)
    assert images.dtype == masks.dtype == np.uint8
    everything = np.asarray(images)
    assert everything.tobytes() == b"".join(stored[image_id][0] for image_id in IMAGE_IDS)
    everywhere = np.array(masks)
    anomalous = samples.table["label"].to_numpy() == "anomalous"
    for key in (3, -1, slice(2, 9, 3), [5, 1, 1], np.array([7]), anomalous, slice(0, 0), []):
        key_of_array = np.array(key, np.int64) if isinstance(key, list) else key
        assert np.array_equal(images[key], everything[key_of_array])
        assert np.array_equal(masks[key], everywhere[key_of_array])
    assert np.array_equal(images[2:5, :4, :, 0], everything[2:5, :4, :, 0])
    assert np.array_equal(images[2, 1], everything[2, 1])
    assert np.asarray(images, np.float32).dtype == np.float32


def test_a_shuffled_order_is_that_of_its_seed(samples: Samples) -> None:
    def order(seed: int | None) -> list[str]:
        return [i for batch in samples.batches(4, shuffle=seed) for i in batch.image_ids]

    assert (
        order(1)
        == order(1)
        == [IMAGE_IDS[position] for position in np.random.default_rng(1).permutation(14)]
    )
    assert order(1) != order(2)
    assert order(0) != order(None) == IMAGE_IDS
    assert sorted(order(2)) == IMAGE_IDS


def test_a_smaller_last_batch_is_dropped_on_request(samples: Samples) -> None:
    assert [len(batch) for batch in samples.batches(4)] == [4, 4, 4, 2]
    assert [len(batch) for batch in samples.batches(4, drop_last=True)] == [4, 4, 4]


@pytest.mark.parametrize(
    ("size", "kind"),
    [("8", TypeError), (2.0, TypeError), (True, TypeError), (0, ValueError), (-1, ValueError)],
)
def test_a_size_that_is_none_is_refused_at_once_and_says_what_one_is(
    samples: Samples, size: Any, kind: type[Exception]
) -> None:
    with pytest.raises(kind) as raised:
        samples.batches(size)
    assert str(raised.value) == (
        f"size={size!r}: give the number of samples in a batch, such as 64: a whole number of at least 1."
    )


@pytest.mark.parametrize(
    ("seed", "kind"), [(True, TypeError), ("epoch", TypeError), (0.5, TypeError), (-1, ValueError)]
)
def test_a_seed_that_is_none_is_refused_at_once_and_says_what_one_is(
    samples: Samples, seed: Any, kind: type[Exception]
) -> None:
    with pytest.raises(kind) as raised:
        samples.batches(4, shuffle=seed)
    assert str(raised.value) == (
        f"shuffle={seed!r}: give a seed, such as the number of the epoch: a whole number of at least 0."
    )
    assert len(next(samples.batches(np.int64(4), shuffle=np.int32(3)))) == 4


def test_batches_may_be_left_half_way(samples: Samples) -> None:
    batches = samples.batches(2)
    next(batches)
    del batches
    assert len(next(samples.batches(3))) == 3


def test_what_is_fetched_may_be_written_to(samples: Samples) -> None:
    batch = next(samples.batches(4, shuffle=1))
    batch.images[:] = 0
    batch.masks[:] = 1


def test_one_sample_comes_by_position_or_id(samples: Samples, stored: dict[str, tuple]) -> None:
    for sample in (samples[4], samples[np.int64(4)], samples[4 - 14], samples[IMAGE_IDS[4]]):
        assert sample.image_id == IMAGE_IDS[4] == sample.metadata["image_id"]
        assert sample.image.tobytes() == stored[IMAGE_IDS[4]][0]
    assert [sample.image_id for sample in samples] == IMAGE_IDS


def test_what_is_not_there_is_named(samples: Samples) -> None:
    with pytest.raises(IndexError, match="Position 14 is outside of 14 samples"):
        samples[14]
    with pytest.raises(IndexError, match="Position 99"):
        samples.select([1, 99])
    with pytest.raises(IndexError, match="3 booleans cannot choose from 14"):
        samples[np.array([True, False, True])]
    with pytest.raises(KeyError, match="nowhere.png' is not among these 14 samples") as raised:
        samples["nowhere.png"]
    assert f"<source_dataset>/<relative_path>; the first is {IMAGE_IDS[0]}." in str(raised.value)
    with pytest.raises(TypeError, match="integer"):
        samples[1.5]  # type: ignore[call-overload]


def test_an_id_is_in_the_samples_that_have_it(samples: Samples) -> None:
    assert IMAGE_IDS[3] in samples
    assert IMAGE_IDS[3] not in samples[:3]
    assert "nowhere.png" not in samples


def test_slices_of_samples_are_samples(samples: Samples) -> None:
    part = samples[3:12][::2].select(np.array([True, False, True, True, False]))
    assert [sample.image_id for sample in part] == [IMAGE_IDS[n] for n in (3, 7, 9)]
    assert np.array_equal(part.images[:], samples.images[[3, 7, 9]])
    twice = samples.select([5, 5, 0])
    assert [i for batch in twice.batches(2) for i in batch.image_ids] == [
        IMAGE_IDS[n] for n in (5, 5, 0)
    ]
    assert np.array_equal(twice.images[:], samples.images[[5, 5, 0]])
    assert len(samples[:0]) == 0
    assert list(samples[:0].batches(4)) == []


def test_ids_are_taken_in_the_order_asked_for_and_may_repeat(
    samples: Samples, stored: dict[str, tuple]
) -> None:
    wanted = [IMAGE_IDS[12], UNKNOWN, IMAGE_IDS[12], IMAGE_IDS[1]]
    batch = samples.take(wanted)
    assert batch.image_ids == wanted
    for position, image_id in enumerate(wanted):
        tensor, mask, _ = stored[image_id]
        assert batch.images[position].tobytes() == tensor
        assert batch.masks[position].tobytes() == (mask or bytes(SHAPE[0] * SHAPE[1]))
    with pytest.raises(ValueError, match="at least one"):
        samples.take([])
    with pytest.raises(TypeError, match=r"take\(\) needs a list of image ids: \['mvtec"):
        samples.take(UNKNOWN)
    with pytest.raises(KeyError, match="is not among these 2 samples"):
        samples[:2].take([IMAGE_IDS[5]])


def test_ids_select_samples_in_the_order_asked_for(samples: Samples) -> None:
    wanted = [IMAGE_IDS[5], UNKNOWN, IMAGE_IDS[5]]
    column = samples.df()["image_id"].iloc[[5, IMAGE_IDS.index(UNKNOWN), 5]]
    for selected in (
        samples.select_ids(wanted),
        samples.select_ids(iter(wanted)),
        samples[wanted],
        samples[np.array(wanted)],
        samples[column],
        samples[pa.array(wanted)],
        samples.select_ids(pa.chunked_array([wanted])),
    ):
        assert selected.table["image_id"].to_pylist() == wanted
        assert np.array_equal(selected.images[:], samples.take(wanted).images)
    assert len(samples.select_ids([])) == len(samples[[]]) == 0
    with pytest.raises(TypeError, match=r"select_ids\(\) needs a list"):
        samples.select_ids(UNKNOWN)
    with pytest.raises(KeyError, match="not among these 2 samples"):
        samples[:2][[IMAGE_IDS[0], IMAGE_IDS[5]]]


def test_batches_have_the_category_split_and_defect_type_of_each_sample(samples: Samples) -> None:
    batch = samples.batch(range(len(samples)))
    table = samples.table.select(["category", "split", "defect_type"]).to_pylist()
    assert batch.categories == [row["category"] for row in table]
    assert batch.splits == [row["split"] for row in table]
    assert batch.defect_types == [row["defect_type"] or "" for row in table]
    assert {"crack", "hole", ""} <= set(batch.defect_types)


def test_samples_survive_pickling(samples: Samples) -> None:
    again = pickle.loads(pickle.dumps(samples[2:8]))
    assert np.array_equal(again.images[:], samples.images[2:8])
    assert np.array_equal(again.masks[:], samples.masks[2:8])
    assert again.table.equals(samples.table.slice(2, 6))


def test_closed_samples_say_so(database: Path) -> None:
    with open_samples(database) as samples:
        part = samples[:3]
    with pytest.raises(RuntimeError, match=r"was closed\. Open the samples again"):
        part.images[0]
    assert len(part.table) == 3
