"""Define the files of a planned tree and the expected result: images, masks, tables, strays and junk."""

from __future__ import annotations

import io
import zlib
from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import Image

from anomaly_assets.datasets.declaration_files import built_in_declaration

SIDE = 8
"""Width and height of the pictures."""


@dataclass(frozen=True)
class Picture:
    """A picture to draw.

    Attributes:
        suffix: Suffix of the file with its dot, which names the format.
        mode: Mode, as Pillow names it.
        defect: Grey value of the defect in a mask, 0 for a black mask; None for noise.
    """

    suffix: str
    mode: str = "RGB"
    defect: int | None = None

    def encoded(self, seed: str) -> bytes:
        """Return the content of the file; the same seed gives the same noise."""
        shape = (SIDE, SIDE, 3) if self.mode == "RGB" else (SIDE, SIDE)
        pixels = np.zeros(shape, np.uint8)
        if self.defect is None:
            pixels[:] = np.random.default_rng(zlib.crc32(seed.encode())).integers(0, 256, shape)
        else:
            pixels[2:5, 2:5] = self.defect
        file = io.BytesIO()
        Image.fromarray(pixels).save(file, Image.registered_extensions()[self.suffix.lower()])
        return file.getvalue()


@dataclass(frozen=True, kw_only=True)
class TrueFile:
    """A file that is no image and no mask: junk, unless it is of another class.

    Attributes:
        path: Path below the root without the folder around the dataset.
        around: The folder around the dataset, with a `/` at its end; empty without one.
        content: Content, or the picture to draw.
    """

    path: str
    around: str = ""
    content: bytes | Picture = b""

    @property
    def file(self) -> str:
        """Return the path below the root."""
        return self.around + self.path

    @property
    def top(self) -> str:
        """Return the first folder: that of the category, if the dataset has some."""
        return self.path.partition("/")[0]


@dataclass(frozen=True, kw_only=True)
class TrueImage(TrueFile):
    """An image.

    Attributes:
        category: Category.
        split: Split; `unassigned` if nothing gives one.
        label: `good`, `anomalous` or `unknown`.
        defect_type: Type of the defect, `unspecified` if no more is known; None unless it is anomalous.
        masks: Paths of its masks.
        table: Path of the table with a row for this image.
        path_gives: Those of `category`, `split` and `label` that the path alone gives.
    """

    category: str
    split: str
    label: str
    defect_type: str | None = None
    masks: tuple[str, ...] = ()
    table: str | None = None
    path_gives: frozenset[str] = frozenset({"category", "split", "label"})


@dataclass(frozen=True, kw_only=True)
class TrueMask(TrueFile):
    """A mask."""


@dataclass(frozen=True, kw_only=True)
class TrueTable(TrueFile):
    """A table with rows about images."""


@dataclass(frozen=True, kw_only=True)
class TrueStray(TrueFile):
    """A file that is reported; `reason` is the word for it."""

    reason: str


def image(path: str, defect_type: str | None = None, **values: Any) -> TrueImage:
    """Return an image that is good, unless a defect type is given; an RGB picture by default."""
    values.setdefault("content", Picture(path[path.rindex(".") :]))
    values.setdefault("label", "good" if defect_type is None else "anomalous")
    return TrueImage(path=path, defect_type=defect_type, **values)


def mask(path: str, defect: int = 255, around: str = "") -> TrueMask:
    """Return a mask; it is black if `defect` is 0."""
    content = Picture(path[path.rindex(".") :], "L", defect)
    return TrueMask(path=path, around=around, content=content)


def numbers(each: int | None, total: int, classes: int) -> list[int]:
    """Return the number of images of some classes, which have `total` images in the official copy.

    Args:
        each: Number of each class; None to divide the total among them equally.
        total: Official number.
        classes: Number of classes.
    """
    if each is not None:
        return [each] * classes
    return [total // classes + (number < total % classes) for number in range(classes)]


def official(name: str, split: str) -> tuple[int, int]:
    """Return the official numbers of good and of anomalous images in a split."""
    counts = built_in_declaration(name).counts
    assert counts is not None
    assert counts.total is not None
    return counts.total[split]
