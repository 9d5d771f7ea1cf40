"""Define the answer of an annotation tool about a picture, and the corrections that follow from it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import Image

from anomaly_assets.datasets.words import UNSPECIFIED
from anomaly_assets.decoding.transform import UInt8Array

GOOD = "good"
ANOMALOUS = "anomalous"

Row = Mapping[str, Any]
"""Row of the table that the export wrote; see `pictures.write`."""


@dataclass(frozen=True, eq=False)
class Answer:
    """Answer of an annotation tool about one picture.

    Attributes:
        row: What was exported.
        label: `good` or `anomalous`; None if nothing was chosen.
        defect_type: Name of the defect; None if nothing was chosen.
        mask: 0 or 1, as high and wide as the picture; None if the shapes are those that were exported.
        excluded: Whether the image is to be excluded.
        by: Name of the annotator; empty if the file has none.
        at: Time of the annotation in ISO 8601; empty if the file has none.
        reason: Text of the annotator; empty if there is none.
    """

    row: Row
    label: str | None = None
    defect_type: str | None = None
    mask: UInt8Array | None = None
    excluded: bool = False
    by: str = ""
    at: str = ""
    reason: str = ""

    def corrections(self) -> Iterator[tuple[str, str | UInt8Array]]:
        """Yield the field and the new value of everything that differs from the export.

        The value of a mask has the size of the original image, so a mask that was drawn on a smaller
        picture has coarse edges.
        """
        if self.excluded:
            yield "exclude", "true"
            return
        label = self.label or self.row["label"]
        if label != self.row["label"]:
            yield "label", label
        if label == GOOD:
            return
        exported = self.row["defect_type"]
        if label == self.row["label"]:
            exported = exported or UNSPECIFIED  # the category of an image without a defect type
        if self.defect_type and self.defect_type != exported:
            yield "defect_type", self.defect_type
        if self.mask is not None:
            size = self.row["original_width"], self.row["original_height"]
            mask = Image.fromarray(self.mask).resize(size, Image.Resampling.NEAREST)
            yield "mask", np.asarray(mask)

    @property
    def contradicts_itself(self) -> bool:
        """Return whether shapes were drawn on an image that is good."""
        label = self.label or self.row["label"]
        return label == GOOD and self.mask is not None and bool(self.mask.any())


@dataclass(frozen=True)
class NotExported:
    """Picture that is not in the export, or has another content there.

    Attributes:
        picture: Its path in the file of the tool.
        problem: Sentence for a warning; empty if nobody answered.
    """

    picture: str
    problem: str = ""


Found = Answer | NotExported | str
"""An answer, a picture without a place for one, or a sentence about an answer that cannot be read."""

MALFORMED = (AttributeError, IndexError, KeyError, TypeError, ValueError)
"""Errors of a file with values of another kind than those of the tool."""


def unread(row: Row, error: Exception) -> str:
    """Return the sentence about an answer that is no answer of a tool."""
    said = f"{type(error).__name__} {error}".strip()
    return f"{row['image_id']}: its annotation cannot be read ({said}). Export it again."


def differing(mask: UInt8Array, exported: UInt8Array) -> UInt8Array | None:
    """Return the mask, or None if it has the pixels of the exported one."""
    return None if np.array_equal(mask, exported) else mask
