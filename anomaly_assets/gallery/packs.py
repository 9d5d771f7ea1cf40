"""Plan the packs of a gallery: which images share a file, and the name of that file.

A name holds a digest of everything that the content of the file follows from. So a file with this name
needs no rebuild, and a browser that reads an older index finds the files of that index.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import pyarrow.compute as pc

from anomaly_assets.gallery.content import Content
from anomaly_assets.gallery.scripts import digest_of

TILES_PER_PACK = 256
DETAILS_PER_PACK = 64

_TILES = 1
_DETAILS = 1
"""Versions of what is drawn: raise one when the files of existing inputs shall be written again."""


@dataclass(frozen=True)
class Pack:
    """File with the tiles or details of consecutive images of one category.

    Attributes:
        path: Path of the file below the folder of the gallery.
        rows: Positions of its images in the gallery.
    """

    path: str
    rows: range


def tile_packs(content: Content) -> list[Pack]:
    """Return the packs of tiles; a tile follows from the bytes of a file and the transform."""
    table = content.table.select(["content_sha256", "transform"])
    packs = []
    for key, rows in _parts(content, TILES_PER_PACK):
        drawn = table.slice(rows.start, len(rows))
        keys = [*zip(*(column.to_pylist() for column in drawn.columns), strict=True)]
        packs.append(Pack(f"tiles/{digest_of(key)[:8]}-{digest_of([_TILES, keys])}.js", rows))
    return packs


def detail_packs(content: Content, inputs: Callable[[range], Any]) -> list[Pack]:
    """Return the packs of details.

    Args:
        content: What the gallery shows.
        inputs: Function that returns what the details of some images follow from, as a value of JSON.
    """
    return [
        Pack(f"details/{digest_of([_DETAILS, inputs(rows)])}.js", rows)
        for _, rows in _parts(content, DETAILS_PER_PACK)
    ]


def _parts(content: Content, size: int) -> Iterator[tuple[tuple[str, str], range]]:
    """Yield source dataset and category of up to `size` images, and their positions."""
    table = content.table.select(["source_dataset", "category"])
    changes = np.zeros(len(content), bool)
    for column in table.columns:
        values = column.combine_chunks()
        changes[1:] |= pc.not_equal(values[1:], values[:-1]).to_numpy(zero_copy_only=False)
    ends = [*np.flatnonzero(changes).tolist(), len(content)]
    for first, end in pairwise([0, *ends]):
        [(dataset, category)] = zip(*table.slice(first, 1).to_pydict().values(), strict=True)
        for start in range(first, end, size):
            yield (dataset, category), range(start, min(start + size, end))
