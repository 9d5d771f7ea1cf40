"""Write folders of tiny real pictures, and keep the truth about each image."""

from __future__ import annotations

import csv
import io
import json
import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from PIL import Image

NAME = ""
"""Category of an image whose path gives none: the name of the declaration."""

SIZE = 24


class Truth(NamedTuple):
    """All that a careful reader can infer from the tree about an image.

    Attributes:
        category: Category; empty for the name of the declaration.
        split: train, test, validation or unassigned.
        label: good, anomalous or unknown.
        masks: Paths of the files with its mask or its shapes.
    """

    category: str
    split: str
    label: str
    masks: tuple[str, ...] = ()


@dataclass
class Folder:
    """A folder that is being written.

    Attributes:
        root: The folder.
        truth: Truth about each image by its path.
    """

    root: Path
    truth: dict[str, Truth] = field(default_factory=dict)

    def image(
        self,
        path: str,
        label: str,
        split: str = "unassigned",
        category: str = NAME,
        masks: Sequence[str] = (),
        mode: str = "RGB",
    ) -> None:
        """Write a picture and note the truth about it."""
        self.truth[path] = Truth(category, split, label, tuple(masks))
        numbers = random.Random(path)
        noise = np.random.default_rng(numbers.getrandbits(32)).integers(60, 90, (SIZE, SIZE, 3))
        pixels = noise.astype(np.uint8)
        if label == "anomalous":
            pixels[_spot(path)] = 250
        self.picture(path, Image.fromarray(pixels).convert(mode))

    def mask(self, path: str, image: str, value: int | None = 255, under: int = 0) -> None:
        """Write a grey mask with the defect of an image; without a defect if the value is None."""
        pixels = np.zeros((SIZE, SIZE), np.uint8)
        if under:
            pixels[3:-3, 3:-3] = under
        if value is not None:
            pixels[_spot(image)] = value
        self.picture(path, Image.fromarray(pixels))

    def colours(self, path: str, image: str, part: str, defect: str | None) -> None:
        """Write a colour mask of the part, and of the defect of an image if it has one."""
        pixels = np.zeros((SIZE, SIZE, 3), np.uint8)
        pixels[3:-3, 3:-3] = list(bytes.fromhex(part))
        if defect is not None:
            pixels[_spot(image)] = list(bytes.fromhex(defect))
        self.picture(path, Image.fromarray(pixels))

    def picture(self, path: str, image: Image.Image) -> None:
        """Write a picture in the format of its suffix."""
        target = self.root / path
        target.parent.mkdir(parents=True, exist_ok=True)
        image.save(target)

    def file(self, path: str, content: str | bytes, encoding: str = "utf-8") -> None:
        """Write any other file."""
        target = self.root / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content if isinstance(content, bytes) else content.encode(encoding))

    def json(self, path: str, value: Any) -> None:
        """Write JSON as most tools do."""
        self.file(path, json.dumps(value, indent=2))

    def shapes(self, path: str, image: str, kinds: Sequence[str]) -> None:
        """Write the JSON of LabelMe with one polygon of each kind."""
        shapes: list[dict[str, Any]] = [
            {
                "label": kind,
                "points": [[4.0, 4.0], [11.5, 4.2], [9.0, 12.7]],
                "group_id": None,
                "description": "",
                "shape_type": "polygon",
                "flags": {},
                "mask": None,
            }
            for kind in kinds
        ]
        about = {"imageHeight": SIZE, "imageWidth": SIZE}
        head = {"version": "5.4.1", "flags": {}, "shapes": shapes}
        self.json(path, {**head, "imagePath": image.rpartition("/")[2], "imageData": None, **about})


def csv_text(columns: Sequence[str], rows: Iterable[Sequence[object]], separator: str = ",") -> str:
    """Return a table as CSV."""
    target = io.StringIO()
    csv.writer(target, delimiter=separator).writerows([columns, *rows])
    return target.getvalue()


def _spot(path: str) -> tuple[slice, slice]:
    """Return where the defect of an image is."""
    numbers = random.Random(path + "spot")
    top, left = numbers.randrange(5, 12), numbers.randrange(5, 12)
    return slice(top, top + numbers.randrange(3, 7)), slice(left, left + numbers.randrange(3, 7))
