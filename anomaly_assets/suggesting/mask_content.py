"""Look into a sample of masks: whether they are masks, and which of their values are defects."""

from __future__ import annotations

import io
import warnings
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image

from anomaly_assets.suggesting.tree import File, Reader, spread

MOST_MASK_BYTES = 16 * 1024 * 1024
_MOST_PIXELS = 64_000_000
_MOST_VALUES = 32
"""Maximum number of values of a picture that may be a mask; more are smooth edges or a photograph."""
_MOST_CLASSES = 16
_IN_ALL = 0.95

Value = int | str


@dataclass(frozen=True)
class Content:
    """Values of a mask: numbers, or colours such as `#ff0000`; and the most frequent one of its border."""

    values: frozenset[Value]
    background: Value


@dataclass(frozen=True)
class Defect:
    """Values of masks that are defects.

    Attributes:
        option: The option `defect` of a mask, as TOML; empty for the default.
        why: Reason for it.
    """

    option: str
    why: str


def contents_of(masks: Sequence[File], reader: Reader, most: int) -> dict[File, Content | None]:
    """Return the contents of masks; None for a picture that is not a mask or cannot be read."""
    found: dict[File, Content | None] = {}
    for mask in spread(masks, most):
        content = reader.content(mask, MOST_MASK_BYTES)
        if content is not None:
            found[mask] = _content(content)
    return found


def are_masks(contents: Collection[Content | None]) -> bool:
    """Return whether most of the pictures can be masks; true if none could be read."""
    return 2 * sum(content is not None for content in contents) >= len(contents)


def _content(content: bytes) -> Content | None:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(io.BytesIO(content)) as image:
                if image.width * image.height > _MOST_PIXELS:
                    return None
                pixels = _numbers(image)
    except (
        Exception
    ):  # whatever Pillow raises for damaged bytes: such a file is evidence of nothing
        return None
    values, counts = np.unique(pixels, return_counts=True)
    is_colour = pixels.dtype == np.uint32
    # A JPEG or a mask with smooth edges has many values, but few pixels are neither of the two extremes.
    extreme = counts[(values <= 8) | (values >= 247)].sum() / pixels.size
    if len(values) > _MOST_VALUES and (is_colour or extreme < 0.9):
        return None
    edge = np.concatenate([pixels[0], pixels[-1], pixels[:, 0], pixels[:, -1]])
    border, times = np.unique(edge, return_counts=True)

    def named(value: int) -> Value:
        return f"#{value:06x}" if is_colour else int(value)

    return Content(frozenset(named(value) for value in values), named(border[times.argmax()]))


def _numbers(image: Image.Image) -> np.ndarray:
    """Return grey values or class numbers; colours as numbers of 32 bits."""
    if image.mode in ("1", "L", "I;16", "I"):
        return np.asarray(image.convert("L") if image.mode == "1" else image).astype(np.int64)
    if image.mode == "LA":
        return np.asarray(image.getchannel("L")).astype(np.int64)
    colours = np.asarray(image.convert("RGB"))
    if (colours == colours[..., :1]).all():
        return colours[..., 0].astype(np.int64)
    wide = colours.astype(np.uint32)
    return (wide[..., 0] << 16) | (wide[..., 1] << 8) | wide[..., 2]


def defect_of(contents: Sequence[Content], good: Sequence[Content]) -> Defect:
    """Return which values are defects.

    Args:
        contents: Contents of masks, of good images too.
        good: Those of images that the path calls good.
    """
    default = Defect("", "")
    if not contents:
        return default
    if any(isinstance(value, str) for content in contents for value in content.values):
        contents, good = (
            [_in_colour(each) for each in contents],
            [_in_colour(each) for each in good],
        )
    background, _ = Counter(content.background for content in contents).most_common(1)[0]
    seen = Counter(value for content in contents for value in content.values)
    kinds = set(seen) - {background}
    if background in (255, 65535) and kinds <= {0}:
        return Defect('"zero"', "the border of the masks is white")
    if not kinds or len(kinds) > _MOST_CLASSES:
        return default
    kinds.discard("#000000")
    harmless = {value for content in good for value in content.values} & kinds
    why = "good images have it in their masks"
    if not harmless and len(kinds) > 1:
        harmless = {value for value in kinds if seen[value] >= _IN_ALL * len(contents)}
        why = "it is in all masks"
    defects = sorted(kinds - harmless, key=lambda value: (len(str(value)), str(value)))
    if not harmless or not defects:
        return default
    listed = ", ".join(f'"{value}"' if isinstance(value, str) else str(value) for value in defects)
    part = ", ".join(map(str, sorted(harmless, key=str)))
    return Defect(f"[{listed}]", f"{part} is no defect, because {why}")


def _in_colour(content: Content) -> Content:
    """Return the content of a grey mask among masks with colours."""
    values = frozenset(map(_colour, content.values))
    return Content(values, _colour(content.background))


def _colour(value: Value) -> Value:
    return value if isinstance(value, str) else "#" + 3 * f"{min(value, 255):02x}"
