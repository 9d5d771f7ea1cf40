"""Find declared values and shapes that occur in no mask, and name those that masks contain."""

from __future__ import annotations

import io
import json
import warnings
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from PIL import Image

from anomaly_assets.catalogue.image_rows import mask_files
from anomaly_assets.datasets.names import shown
from anomaly_assets.datasets.text import decode_text
from anomaly_assets.decoding.transform import MAX_PIXELS
from anomaly_assets.roots.base import FileUnreadableError, Root

_MASKS_READ_AGAIN = 8
_MOST_NAMED = 8
_LEAST_MASKS = 3

_JPEG = (".jpg", ".jpeg")

Row = Mapping[str, Any]


def about_masks(root: Root, rows: Sequence[Row], areas: Mapping[str, float]) -> Iterator[str]:
    """Yield sentences about masks whose content is probably a mistake.

    Args:
        root: The root.
        rows: Rows of the catalogue whose masks were read.
        areas: Fraction of defective pixels of each mask (0 to 1), by the id of the image.
    """
    groups: dict[str, list[Row]] = defaultdict(list)
    for row in rows:
        reading = json.loads(row["mask_reading"] or "{}")
        wanted = {key: reading[key] for key in ("defect", "only") if reading.get(key)}
        groups[json.dumps(wanted)].append(row)
    is_explained = False
    for text, masked in groups.items():
        wanted = json.loads(text)
        names, values = wanted.get("only", []), wanted.get("defect")
        if any(areas[row["image_id"]] for row in masked):
            continue
        if names:
            found = Counter(name for content in _contents(root, masked) for name in _names(content))
            yield _absent(list(map(_quoted, names)), [_counted(*e) for e in _most(found)])
            is_explained = True
        elif isinstance(values, list):
            found = Counter(
                v for content in _contents(root, masked) for v in _values(content, values)
            )
            yield _absent(list(map(str, values)), [value for value, _ in _most(found)])
            is_explained = True
    if len(rows) >= _LEAST_MASKS and not any(areas.values()) and not is_explained:
        yield (
            f"None of the {len(rows):,} masks that were read has a defective pixel: every image with one "
            "counts as good, unless its path or a table gives its label. See the option `defect` of masks."
        )
    yield from _lossy(root, rows)


def _absent(wanted: Sequence[str], found: Sequence[str]) -> str:
    contain = f"they contain {', '.join(found)}" if found else "they contain none"
    return (
        f"No mask that was read contains {' or '.join(wanted)}; {contain}. Every image with such a mask "
        "counts as good, unless its path or a table gives its label."
    )


def _contents(root: Root, rows: Sequence[Row]) -> Iterator[bytes]:
    """Yield the content of a handful of masks."""
    for row in rows[:_MASKS_READ_AGAIN]:
        for _, uri, version in mask_files(row)[:1]:
            path = root.path_of(uri)
            if path is None:
                continue
            try:
                yield root.read(path, version)
            except FileUnreadableError:
                continue


def _names(content: bytes) -> Iterator[str]:
    """Yield the labels of the shapes of a LabelMe file."""
    try:
        shapes = json.loads(decode_text(content).text)["shapes"]
    except (ValueError, RecursionError, KeyError, TypeError):
        return
    for each in shapes if isinstance(shapes, list) else ():
        if isinstance(each, dict):
            yield str(each.get("label"))


def _values(content: bytes, wanted: Sequence[object]) -> Iterator[str]:
    """Yield the values of a mask: numbers if these are wanted and it has no colours, else colours."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with Image.open(io.BytesIO(content)) as image:
                if image.width * image.height > MAX_PIXELS:
                    return
                is_colour = not isinstance(wanted[0], int)
                yield from _colours(image) if is_colour else _numbers(image)
    except Exception:  # whatever Pillow raises for damaged bytes: decoding has reported the file
        return


def _numbers(image: Image.Image) -> Iterator[str]:
    if image.mode == "1":
        image = image.convert("L")
    if len(image.getbands()) > 1 and image.mode not in ("LA", "PA"):
        pixels = np.asarray(image.convert("RGB"))
        if (pixels != pixels[..., :1]).any():
            yield from _colours(image)
            return
        yield from _unique(pixels[..., 0])
    else:
        pixels = np.asarray(image)
        yield from _unique(pixels if pixels.ndim == 2 else pixels[..., 0])


def _unique(pixels: np.ndarray[Any, Any]) -> Iterator[str]:
    yield from map(str, np.unique(pixels).tolist())


def _colours(image: Image.Image) -> Iterator[str]:
    pixels = np.asarray(image.convert("RGB")).astype(np.uint32)
    for value in np.unique((pixels[..., 0] << 16) | (pixels[..., 1] << 8) | pixels[..., 2]):
        yield f"#{int(value):06x}"


def _lossy(root: Root, rows: Sequence[Row]) -> Iterator[str]:
    """Yield a sentence about masks that are JPEG and have grey values around each border."""
    jpegs = [
        row
        for row in rows
        if any(path.lower().endswith(_JPEG) for path, _, _ in mask_files(row)[:1])
    ]
    for content in _contents(root, jpegs):
        values = {value for value in _values(content, [0]) if value not in ("0", "255")}
        if values:
            first = shown(jpegs[0]["mask_relative_path"])
            yield (
                f"Masks are JPEG, such as {first}, which is lossy: pixels around a defect get other values "
                f"({len(values):,} besides 0 and 255 in one of them). Save masks as PNG."
            )
            return


def _most(found: Counter[str]) -> list[tuple[str, int]]:
    return found.most_common(_MOST_NAMED)


def _counted(name: str, count: int) -> str:
    return f"{_quoted(name)} ({count:,})"


def _quoted(name: str) -> str:
    return f'"{shown(name)}"'
