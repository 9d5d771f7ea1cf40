"""Test that masks become polygons and come back with the same pixels."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from anomaly_assets.polygons import pixels_of, regions_of

Mask = npt.NDArray[np.uint8]

MASKS = arrays(
    np.uint8, st.tuples(st.integers(1, 12), st.integers(1, 12)), elements=st.integers(0, 1)
)


def drawn(*rows: str) -> Mask:
    return np.array([[sign == "#" for sign in row] for row in rows], np.uint8)


@pytest.mark.slow
@given(MASKS)
def test_a_mask_comes_back_with_the_same_pixels(mask: Mask) -> None:
    regions = regions_of(mask)
    polygons = [points for region in regions for points in region]
    assert np.array_equal(pixels_of(polygons, *mask.shape), mask)
    # No pixel is in two polygons: an area is the number of its pixels.
    assert sum(pixels_of([points], *mask.shape).sum() for points in polygons) == mask.sum()


@given(MASKS, st.integers(0, 2**32 - 1))
def test_noise_of_a_tool_that_calculates_in_percent_changes_no_pixel(mask: Mask, seed: int) -> None:
    noise = np.random.default_rng(seed)
    polygons = [
        points + noise.uniform(-1e-6, 1e-6, points.shape)
        for region in regions_of(mask)
        for points in region
    ]
    assert np.array_equal(pixels_of(polygons, *mask.shape), mask)


def test_a_polygon_has_vertices_at_the_corners_only() -> None:
    [[points]] = regions_of(drawn("....", ".##.", ".##."))
    assert points.tolist() == [[1, 1], [3, 1], [3, 3], [1, 3]]


def test_pixels_that_touch_at_a_corner_are_two_regions() -> None:
    assert len(regions_of(drawn("#.", ".#"))) == 2


def test_regions_are_sorted_by_area() -> None:
    regions = regions_of(drawn("#.##", "..##"))
    assert [points.min(axis=0).tolist() for [points] in regions] == [[2, 0], [0, 0]]


def test_a_region_with_a_hole_is_cut_into_polygons_without_holes() -> None:
    ring = drawn("####", "#..#", "####")
    [region] = regions_of(ring)
    assert len(region) == 2
    assert np.array_equal(pixels_of(region, *ring.shape), ring)


def test_an_island_in_a_hole_belongs_to_the_region_around_it() -> None:
    island = drawn("#####", "#...#", "#.#.#", "#...#", "#####")
    assert len(regions_of(island)) == 1


def test_a_pixel_belongs_to_a_polygon_if_its_centre_is_inside() -> None:
    triangle = np.array([(0, 0), (4, 0), (0, 4)], float)
    expected = drawn("###.", "##..", "#...", "....")
    assert np.array_equal(pixels_of([triangle], 4, 4), expected)


def test_a_polygon_that_leaves_the_picture_is_cut_off() -> None:
    large = np.array([(-9, -9), (9, -9), (9, 9), (-9, 9)], float)
    assert pixels_of([large], 2, 3).all()


@given(MASKS)
def test_pycocotools_reads_the_same_pixels(mask: Mask) -> None:
    module: Any = pytest.importorskip("pycocotools.mask")
    polygons = [points.reshape(-1).tolist() for region in regions_of(mask) for points in region]
    if polygons:
        found = module.decode(module.merge(module.frPyObjects(polygons, *mask.shape)))
        assert np.array_equal(found, mask)
