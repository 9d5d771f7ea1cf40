"""Show samples in notebooks: pictures with the outline of the mask, never arrays."""

from __future__ import annotations

import html
from base64 import b64encode
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from anomaly_assets.datasets.names import shown
from anomaly_assets.reader.database import DatabaseError

if TYPE_CHECKING:
    from PIL.Image import Image

MOST = 12
"""Maximum number of pictures in a notebook's output, and default of `show`."""

_MOST_BYTES = 200_000
"""Limit for the bytes of the picture in the output of a cell, which notebooks store as text."""

_MOST_LETTERS = 1000
"""Limit for the text above the picture: a condition or the name of a file can be any length."""

_COLUMNS = 6
_SIDE = 128
_LARGE = 320
_CAPTION = 18
_DEVIATIONS = 2.5


@dataclass(frozen=True)
class Picture:
    """One picture to show.

    Attributes:
        caption: Text below it.
        label_index: 0 good, 1 anomalous, -1 unknown: the colour of the text.
        image: height x width x channels, uint8 or float32.
        mask: uint8 0/1, height x width; None if the mask is unknown.
    """

    caption: str
    label_index: int
    image: npt.NDArray[Any]
    mask: npt.NDArray[np.uint8] | None


class Pictured:
    """Methods of objects that notebooks show as pictures; a class defines `_pictures`."""

    def _pictures(self, most: int) -> Sequence[Picture]:
        """Return at most this number of pictures."""
        raise NotImplementedError

    def show(self, most: int = MOST) -> Image:
        """Return a sheet of pictures with captions; the masks are outlined.

        A notebook displays the result of a cell's last line. Elsewhere, call `display(samples.show())`,
        `samples.show().save("sheet.png")`, or `samples.show().show()` for a window.

        Float images are drawn from 0 to 1 or, if a value is outside of it, from -2.5 to 2.5.

        Args:
            most: Limit for the number of pictures.

        Raises:
            ImportError: Pillow is not installed.
            ValueError: `most` is below 1.
        """
        if most < 1:
            raise ValueError(f"most={most}: give the number of pictures, at least 1.")
        try:
            return _sheet(self._pictures(most))
        except ImportError as error:
            raise ImportError("show() needs Pillow: pip install pillow.") from error

    def _repr_html_(self) -> str | None:
        """Return text and picture for a notebook; None, so that it shows `repr`, if they cannot be read."""
        try:
            from anomaly_assets.drawing import as_webp

            pictures = self._pictures(MOST)
            content = b64encode(as_webp(_sheet(pictures), _MOST_BYTES)).decode("ascii")
        except (ImportError, DatabaseError, OSError):
            return None
        captions = html.escape("; ".join(_shortened(each.caption) for each in pictures))
        return (
            f"<div><pre>{html.escape(_shortened(repr(self), _MOST_LETTERS))}</pre>"
            f'<img alt="{captions}" src="data:image/webp;base64,{content}"></div>'
        )


def spread(labels: npt.NDArray[np.int64], most: int) -> npt.NDArray[np.int64]:
    """Return positions at equal distances, half of them of anomalous samples if there are enough."""
    kinds = [np.flatnonzero(labels != 1), np.flatnonzero(labels == 1)]
    anomalous = min(len(kinds[1]), max(most // 2, most - len(kinds[0])))
    counts = min(len(kinds[0]), most - anomalous), anomalous
    chosen = [
        kind[np.linspace(0, len(kind) - 1, count).astype(np.int64)]
        for kind, count in zip(kinds, counts, strict=True)
        if count
    ]
    return np.sort(np.concatenate(chosen)) if chosen else np.empty(0, np.int64)


def _sheet(pictures: Sequence[Picture]) -> Image:
    from anomaly_assets.drawing import (
        ANOMALOUS,
        FAINT_INK,
        GOOD,
        MARGIN,
        Pixels,
        blank,
        fitted,
        thumbnail,
        write,
    )

    side = _LARGE if len(pictures) == 1 else _SIDE
    columns = max(1, min(len(pictures), _COLUMNS))
    rows = -(-len(pictures) // columns)
    step, height = side + MARGIN, side + _CAPTION + MARGIN
    sheet = blank(rows * height + MARGIN, columns * step + MARGIN)
    for number, picture in enumerate(pictures):
        row, column = divmod(number, columns)
        place = MARGIN + column * step, MARGIN + row * height
        pixels = Pixels(_as_uint8(picture.image), picture.mask)
        sheet.paste(thumbnail(pixels, side), place)
        ink = {0: GOOD, 1: ANOMALOUS}.get(picture.label_index, FAINT_INK)
        caption = fitted(shown(picture.caption), side, 11)
        write(sheet, (place[0], place[1] + side + 3), caption, ink=ink)
    return sheet


def _as_uint8(image: npt.NDArray[Any]) -> npt.NDArray[np.uint8]:
    if image.dtype == np.uint8:
        return image
    if image.min() < 0 or image.max() > 1:
        image = image / (2 * _DEVIATIONS) + 0.5
    scaled: npt.NDArray[np.uint8] = (np.clip(image, 0, 1) * 255).astype(np.uint8)
    return scaled


def _shortened(text: str, most: int = 100) -> str:
    if len(text) <= most:
        return shown(text)
    return shown(f"{text[: most // 2]}…{text[-most // 2 :]}")
