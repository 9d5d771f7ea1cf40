"""Test the sample of patches, the choice of centers and the search for neighbours."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from anomaly_assets.evaluation import bank
from anomaly_assets.evaluation.bank import PROJECTED, Nearest, Reservoir, k_center, projected

Floats = npt.NDArray[np.float32]


def patches(count: int, dimensions: int = 6, seed: int = 0) -> Floats:
    return np.random.default_rng(seed).standard_normal((count, dimensions)).astype(np.float32)


def farthest_first(points: Floats, count: int) -> list[int]:
    exact = points.astype(np.float64)
    distances = ((exact - exact[0]) ** 2).sum(1)
    chosen = [0]
    while len(chosen) < count:
        chosen.append(int(distances.argmax()))
        distances = np.minimum(distances, ((exact - exact[chosen[-1]]) ** 2).sum(1))
    return chosen


@given(st.integers(1, 60), st.integers(1, 12), st.integers(0, 99), st.integers(1, 70))
def test_centers_are_those_of_the_plain_algorithm(
    count: int, dimensions: int, seed: int, wanted: int
) -> None:
    points = patches(count, dimensions, seed)
    expected = farthest_first(points, min(wanted, count))
    found = k_center(points, wanted).tolist()
    assert found == expected[: len(found)]
    # Patches that are left out are as good as equal to a center.
    left = Nearest(points[found]).distances(points[expected])
    assert left is not None
    assert left.max() < 0.02


def test_centers_of_many_patches_are_those_of_the_plain_algorithm() -> None:
    points = np.maximum(patches(3000, 12), 0) @ patches(12, 40, 1)
    assert k_center(points, 500).tolist() == farthest_first(points, 500)


def test_equal_patches_are_chosen_once() -> None:
    points = np.repeat(patches(7), 30, axis=0)
    assert len(k_center(points, 100)) == 7
    assert k_center(points[:1], 5).tolist() == [0]
    assert k_center(points[:0], 5).tolist() == []


def test_the_sample_depends_neither_on_order_nor_on_the_limit_of_memory() -> None:
    whole = patches(3000)
    images = [(f"{number}", whole[number * 100 : number * 100 + 100]) for number in range(30)]
    samples = []
    for order in (images, images[::-1], [*images[7:], *images[:7]]):
        reservoir = Reservoir(200)
        for content, some in order:
            reservoir.add(some, content, int(content) % 5)
        samples.append(reservoir.patches())
    for sample, folds in samples:
        assert sample.shape == (200, 6)
        np.testing.assert_array_equal(sample, samples[0][0])
        np.testing.assert_array_equal(folds, samples[0][1])
    number_of = {row.tobytes(): number for number, row in enumerate(whole)}
    numbers = [number_of[row.tobytes()] for row in samples[0][0]]
    assert len(set(numbers)) == 200
    assert [number // 100 % 5 for number in numbers] == samples[0][1].tolist()


def test_every_patch_is_sampled_equally_often() -> None:
    counts = np.zeros(60)
    rows = np.arange(60, dtype=np.float32)[:, None]
    for seed in range(400):
        reservoir = Reservoir(12, seed)
        for start in range(0, 60, 20):
            reservoir.add(rows[start : start + 20], f"{start}", 0)
        counts[reservoir.patches()[0][:, 0].astype(int)] += 1
    assert counts.sum() == 400 * 12
    assert 45 <= counts.min() <= counts.max() <= 120  # 80 each; standard deviation 8


def test_fewer_patches_than_the_limit_all_stay_and_none_is_possible() -> None:
    reservoir = Reservoir(100)
    assert reservoir.patches()[0].shape == (0, 0)
    reservoir.add(patches(30), "a", 1)
    sample, folds = reservoir.patches()
    assert sorted(sample[:, 0].tolist()) == sorted(patches(30)[:, 0].tolist())
    assert set(folds.tolist()) == {1}


def test_one_image_with_more_patches_than_the_limit_is_sampled() -> None:
    reservoir = Reservoir(10)
    reservoir.add(patches(1000), "a", 0)
    assert len(np.unique(reservoir.patches()[0], axis=0)) == 10


@pytest.mark.parametrize("block", [1, 64, 1 << 24])
def test_distances_are_exact_also_of_patches_far_from_the_origin(
    block: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bank, "_BLOCK_VALUES", block)
    points, queries = patches(50) + 1000, patches(80, seed=1) + 1000
    queries[:5] = points[:5]
    expected = np.linalg.norm(queries[:, None].astype(float) - points[None], axis=2).min(1)
    found = Nearest(points).distances(queries)
    assert found is not None
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected, atol=1e-4)
    assert found[:5].tolist() == [0] * 5


def test_the_patches_of_one_fold_are_left_out() -> None:
    points = patches(40)
    folds = np.arange(40) % 4
    nearest = Nearest(points, folds)
    for fold in (2, 0, 2):
        expected = Nearest(points[folds != fold]).distances(points)
        found = nearest.distances(points, fold)
        assert found is not None
        np.testing.assert_array_equal(found, expected)
    assert nearest.distances(points, 3) is not None
    whole = nearest.distances(points)
    assert whole is not None
    assert whole.max() == 0


def test_without_patches_of_other_folds_there_is_no_distance() -> None:
    assert Nearest(patches(5), [1] * 5).distances(patches(2), 1) is None
    assert Nearest(patches(5), [1] * 5).distances(patches(2), 0) is not None


def test_projections_keep_distances_and_few_dimensions_stay() -> None:
    points = patches(60, 600)
    small = projected(points)
    assert small.shape == (60, PROJECTED)
    assert small.dtype == np.float32
    ratio = np.linalg.norm(small[1:] - small[0], axis=1) / np.linalg.norm(
        points[1:] - points[0], axis=1
    )
    assert abs(ratio.mean() - 1) < 0.05
    np.testing.assert_array_equal(projected(points), small)
    assert projected(small) is small
