"""Test images normalised with the statistics of their category."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from anomaly_assets.reader import open_samples
from anomaly_assets.reader.normalise import Normalisation

WITH_STATISTICS = ["bottle", "carpet", "Class1"]


def test_good_training_images_of_a_category_get_mean_0_and_deviation_1(database: Path) -> None:
    for category in WITH_STATISTICS:
        samples = open_samples(database, category=category, split="train", label="good")
        images = samples.normalised().images[:]
        assert images.dtype == np.float32
        assert np.allclose(images.mean((0, 1, 2)), 0, atol=1e-5)
        assert np.allclose(images.std((0, 1, 2)), 1, atol=1e-5)


@pytest.mark.slow
def test_every_sample_gets_the_statistics_of_its_own_category(database: Path) -> None:
    together = open_samples(database, category=WITH_STATISTICS).normalised()
    for batch in together.batches(4, shuffle=3):
        for image_id, image in zip(batch.image_ids, batch.images, strict=True):
            category = image_id.split("/")[1]
            alone = open_samples(database, category=category).normalised()
            assert np.array_equal(image, alone[image_id].image)


def test_normalised_samples_are_samples(database: Path) -> None:
    raw = open_samples(database, category="bottle")
    normalised = raw.normalised()
    assert normalised.images.dtype == np.float32
    assert normalised.masks.dtype == np.uint8
    assert np.array_equal(normalised[2:5].images[1], normalised[3].image)
    assert np.array_equal(normalised.masks[:], raw.masks[:])
    assert raw.images.dtype == np.uint8


def test_a_category_without_statistics_is_named_and_the_others_can_be_normalised(
    database: Path,
) -> None:
    samples = open_samples(database)
    with pytest.raises(LookupError, match=r"stored for mvtec_ad/screw: .*good training images"):
        samples.normalised()
    others = samples.select(samples.table["category"].to_numpy() != "screw")
    assert len(list(others.normalised().batches(64))) == 1


def test_a_channel_that_never_varies_is_centred_only() -> None:
    table = pa.table({"source_dataset": ["mvtec_ad"], "category": ["flat"]})
    statistics = {("mvtec_ad", "flat"): ([0.2, 0.5], [0.0, 0.5])}
    found = Normalisation.of(table, np.array([0]), statistics)
    images = np.array([[[[51, 255]]]], np.uint8)
    assert np.allclose(found.apply(images, np.array([0])), [[[[0, 1]]]], atol=1e-6)


def test_floats_go_from_0_to_1_also_in_a_cache_and_in_both_spellings(
    database: Path, tmp_path: Path
) -> None:
    raw = open_samples(database)
    floats = raw.as_float()
    expected = raw.images[:].astype(np.float32) / 255
    assert floats.images.dtype == floats.images[:].dtype == np.float32
    assert np.allclose(floats.images[:], expected, atol=1e-7)
    assert floats.images[:].max() <= 1
    assert np.allclose(floats[3:].cache(tmp_path).images[:], expected[3:], atol=1e-7)
    bottles = raw[raw.table["category"].to_numpy() == "bottle"]
    expected = bottles.normalised().images[:]
    assert np.array_equal(bottles.normalized().images[:], expected)
    assert np.array_equal(bottles.normalised().cache(tmp_path).images[:], expected)
