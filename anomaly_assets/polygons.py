"""Convert masks to polygons, and polygons to masks.

A polygon follows the edges of pixels, so its vertices are whole numbers, and a mask has the same pixels
after the way to polygons and back. A pixel belongs to a polygon if its centre is inside, as in pycocotools.
COCO has no polygons with holes: a region with a hole is cut through the hole, into several polygons.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

UInt8Array = npt.NDArray[np.uint8]
Points = npt.NDArray[np.float64]
"""Vertices of a polygon: N x 2, in pixels from the left and from the top; pixel 0 is from 0 to 1."""

_RIGHT, _DOWN, _LEFT, _UP = range(4)
_STEPS = np.array([(1, 0), (0, 1), (-1, 0), (0, -1)])
"""Direction of the edges above, right of, below and left of a pixel, clockwise around it."""


def regions_of(mask: UInt8Array) -> list[list[Points]]:
    """Return the polygons of each connected region, by area, the largest first.

    Pixels that touch only at a corner are not connected.

    Args:
        mask: 0 or 1, height x width.
    """
    rings = rings_of(mask)
    outer = sorted((ring for ring in rings if _area(ring) > 0), key=_area, reverse=True)
    if len(outer) == len(rings):
        return [[ring] for ring in outer]
    rest = mask.copy()
    regions = []
    for ring in outer:
        filled = pixels_of([ring], *mask.shape)
        part = filled & rest
        if part.any():  # else it is an island in the hole of a larger region, and belongs to that
            rest &= 1 - part
            regions.append([ring] if np.array_equal(part, filled) else _cut(part))
    return regions


def pixels_of(polygons: Sequence[Points], height: int, width: int) -> UInt8Array:
    """Return the mask of all polygons together: 0 or 1, height x width."""
    found = np.zeros((height, width), np.uint8)
    for points in polygons:
        crossings = np.zeros((height, width + 1), np.int32)
        for (x, y), (next_x, next_y) in zip(points, np.roll(points, -1, axis=0), strict=True):
            low, high = sorted((y, next_y))
            first, last = (int(np.clip(np.ceil(each - 0.5), 0, height)) for each in (low, high))
            rows = np.arange(first, last)
            if rows.size:
                across = x + (rows + 0.5 - y) * (next_x - x) / (next_y - y)
                columns = np.clip(np.ceil(across - 0.5), 0, width).astype(np.intp)
                crossings[rows, columns] += 1
        found |= (np.cumsum(crossings, axis=1)[:, :width] & 1).astype(np.uint8)
    return found


def _cut(part: UInt8Array) -> list[Points]:
    """Return the polygons of a region with holes, which is cut above one of the holes."""
    tops = sorted(int(ring[:, 1].min()) for ring in rings_of(part) if _area(ring) < 0)
    row = tops[len(tops) // 2]
    above, below = regions_of(part[:row]), regions_of(part[row:])
    moved = [points + np.array((0, row)) for region in below for points in region]
    return [points for region in above for points in region] + moved


def rings_of(mask: UInt8Array) -> list[Points]:
    """Return the borders of the regions clockwise, and those of their holes counterclockwise.

    Args:
        mask: 0 or 1, height x width.
    """
    rows_with, columns_with = (np.flatnonzero(mask.any(axis=axis)) for axis in (1, 0))
    if not len(rows_with):
        return []
    top, left = rows_with[0], columns_with[0]
    mask = mask[top : rows_with[-1] + 1, left : columns_with[-1] + 1]
    width = mask.shape[1]
    padded = np.pad(mask, 1)
    inside = padded[1:-1, 1:-1]
    neighbours = (padded[:-2, 1:-1], padded[1:-1, 2:], padded[2:, 1:-1], padded[1:-1, :-2])
    corners = ((0, 0), (1, 0), (1, 1), (0, 1))  # the start of each edge, from the pixel's corner
    stride = width + 1
    edges: dict[int, list[int]] = {}
    for direction, (neighbour, (right, down)) in enumerate(zip(neighbours, corners, strict=True)):
        rows, columns = np.nonzero(inside & (1 - neighbour))
        for start in ((rows + down) * stride + columns + right).tolist():
            edges.setdefault(start, []).append(direction)
    steps = [int(x + y * stride) for x, y in _STEPS]
    rings = []
    while edges:
        start = next(iter(edges))
        rings.append(_followed(edges, start, steps, stride) + np.array((left, top)))
    return rings


def _followed(edges: dict[int, list[int]], start: int, steps: list[int], stride: int) -> Points:
    """Remove the edges of one border from `edges`, and return its vertices."""
    place, direction = start, edges[start][0]
    first, before = direction, -1
    vertices = []
    while True:
        edges[place].remove(direction)
        if not edges[place]:
            del edges[place]
        if direction != before:
            vertices.append(place)
        place, before = place + steps[direction], direction
        # Where two pixels touch at a corner, two edges begin: the one to the right is of the same pixel.
        right = (before + 1) % 4
        if place == start and (right == first or place not in edges):
            break
        direction = edges[place][0] if len(edges[place]) == 1 else right
    if before == first:
        del vertices[0]  # the border began within a straight line
    return np.array([divmod(each, stride)[::-1] for each in vertices], np.float64)


def _area(ring: Points) -> float:
    x, y = ring[:, 0], ring[:, 1]
    return float(x @ np.roll(y, -1) - y @ np.roll(x, -1)) / 2
