"""Test the distance of thumbnails: copies are near, other parts are not."""

from __future__ import annotations

import tracemalloc

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

from anomaly_assets.decoding.thumbnail import SIDE, thumbnail_of
from anomaly_assets.near_duplicates import measure
from anomaly_assets.near_duplicates.measure import (
    MOST_DISTANCE,
    MOST_NEIGHBOURS,
    Pair,
    measure_of,
    near_pairs,
)
from anomaly_assets_tests.near_duplicates.thumbnails import Thumbnails, copies, parts
from tools.synthetic_samples import draw_bolt


def pairs_of(*thumbnails: Thumbnails) -> list[Pair]:
    """Return the pairs of some thumbnails that all have different bytes."""
    together = np.concatenate(thumbnails)
    return near_pairs(together, np.arange(len(together)), of_one_split(together))


def of_one_split(thumbnails: Thumbnails) -> npt.NDArray[np.int64]:
    return np.zeros(len(thumbnails), np.int64)


@pytest.mark.parametrize("count", [3, 8, 60])
def test_exactly_the_copies_among_similar_parts_are_found(count: int) -> None:
    originals = parts(count)
    found = pairs_of(originals, copies(originals[:2]))
    assert [pair[:2] for pair in found] == [(0, count), (1, count + 1)]
    assert all(0 <= distance <= MOST_DISTANCE for *_, distance in found)


def test_parts_that_are_all_different_have_no_near_duplicates() -> None:
    assert pairs_of(parts(200)) == []


def test_a_copy_moved_by_a_quarter_of_a_pixel_is_found() -> None:
    originals = parts(100)
    moved = originals.astype(float) * 0.75 + np.roll(originals, 1, axis=2) * 0.25
    moved[:, :, 0] = originals[:, :, 0]
    found = pairs_of(originals, moved[:5].round().astype(np.uint8))
    assert {pair[:2] for pair in found} == {(number, 100 + number) for number in range(5)}


def test_images_with_the_same_bytes_are_no_near_duplicates() -> None:
    originals = parts(20)
    together = np.concatenate([originals, originals[:1], copies(originals[:1])])
    contents = np.array([*range(20), 0, 20])
    found = near_pairs(together, contents, of_one_split(together))
    assert [pair[:2] for pair in found] == [(0, 21), (20, 21)]


@pytest.mark.parametrize("value", [0, 90, 255])
def test_pictures_without_contrast_are_no_near_duplicates(value: int) -> None:
    plain = np.full((3, SIDE, SIDE), value, np.uint8)
    plain[1] = min(value + 20, 235)
    assert pairs_of(parts(30), plain) == []


def test_two_images_alone_cannot_be_compared() -> None:
    originals = parts(1)
    assert pairs_of(originals, copies(originals)) == []
    assert pairs_of(originals[:0]) == []


def test_frames_of_a_film_are_found_and_each_has_few_pairs() -> None:
    """Compare a tenth of the images, whose common features are among the usual directions."""
    frame = parts(1, seed=5)
    film = copies(np.repeat(frame, 20, axis=0), brightness=1)
    found = pairs_of(parts(180), film)
    assert {number for pair in found for number in pair[:2]} == {*range(180, 200)}
    assert len(found) <= 20 * MOST_NEIGHBOURS
    counts = np.bincount([number for pair in found for number in pair[:2]], minlength=200)[180:]
    assert counts.min() >= MOST_NEIGHBOURS


def test_every_frame_near_a_test_image_has_a_pair_with_one_however_many_frames_are_nearer() -> None:
    film = copies(np.repeat(parts(1, seed=5), 41, axis=0), brightness=1)
    together = np.concatenate([parts(180), film])
    splits = of_one_split(together)
    splits[-1] = 1
    found = near_pairs(together, np.arange(len(together)), splits)
    assert {one for one, other, _ in found if other == 220} == {*range(180, 220)}


def test_blocks_change_no_pair_and_no_distance(monkeypatch: pytest.MonkeyPatch) -> None:
    originals = parts(70)
    whole = pairs_of(originals, copies(originals[::3]))
    assert len(whole) == 24
    monkeypatch.setattr(measure, "_BLOCK", 16)
    assert pairs_of(originals, copies(originals[::3])) == whole


def test_the_order_of_the_images_changes_no_distance() -> None:
    together = np.concatenate([parts(40), copies(parts(40)[:8])])
    order = np.random.default_rng(2).permutation(len(together))
    shuffled = near_pairs(together[order], order, of_one_split(together))
    back = sorted(
        (*sorted((int(order[a]), int(order[b]))), distance) for a, b, distance in shuffled
    )
    assert back == pairs_of(together)


@pytest.mark.slow
def test_memory_does_not_grow_with_the_square_of_the_images(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(measure, "_BLOCK", 64)
    monkeypatch.setattr(measure, "_MOST_SAMPLED", 64)
    peaks = []
    for count in (256, 2048):
        thumbnails = np.random.default_rng(0).integers(0, 256, (count, SIDE, SIDE), np.uint8)
        tracemalloc.start()
        near_pairs(thumbnails, np.arange(count), np.arange(count) % 3)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < 1.2 * peaks[0]


@pytest.mark.slow
def test_similar_bolts_of_a_small_category_are_no_near_duplicates_and_their_copies_are() -> None:
    """Draw bolts that differ in little else than their angle: at the limit of large ones, two are near."""
    bolts = [Image.fromarray(draw_bolt(np.random.default_rng([7, n])).image) for n in range(17)]
    drawn = np.stack([small(bolt) for bolt in bolts])
    features = measure_of(drawn).features(drawn)
    assert (1 - features @ features.T <= MOST_DISTANCE).sum() > len(drawn)
    assert pairs_of(drawn) == []
    for number, bolt in enumerate(bolts[:3]):
        copy = small(bolt.crop((9, 9, bolt.width - 9, bolt.height - 9)))
        assert [pair[:2] for pair in pairs_of(drawn, copy[None])] == [(number, 17)]


def small(picture: Image.Image) -> Thumbnails:
    """Return the thumbnail of a picture, as decoding makes it."""
    pixels = np.asarray(picture.resize((256, 256), Image.Resampling.LANCZOS))
    content = thumbnail_of(pixels if pixels.ndim == 3 else pixels[..., None])
    return np.frombuffer(content or b"", np.uint8).reshape(SIDE, SIDE)
