"""Build the file names of the pictures of an export.

    <source_dataset>/<category>/<split>/<good, or the defect type>/<stem of the file>.png

Any string can be a category or a file name in a store. Here it becomes a name that every file system and
every reader accepts: letters and digits of ASCII, dot, hyphen and underscore, at most 64 of them. A changed
name ends in `~` and a digest, which no unchanged name does. So a changed name never collides with that of
another image, and no path leads out of the folder.
"""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections import Counter
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pyarrow as pa

_LONGEST = 64
_DIGEST_DIGITS = 16

_UNSAFE = re.compile(r"[^A-Za-z0-9._-]")
_SUFFIX = re.compile(r"\.[A-Za-z]{3,4}$")
_DEVICE = re.compile(r"^(con|prn|aux|nul|com[0-9]|lpt[0-9])(?![^.])", re.IGNORECASE)
"""Names that Windows reserves, with any suffix."""

_SPLIT_WORD = re.compile(
    r"(?<![^-._ 0-9])(train|training|validation|valid|dev|val|test|testing|eval|evaluation)"
    r"(?![^-._ 0-9])",
    re.IGNORECASE,
)
"""Words that `datasets` takes for the name of a split in any folder of a path."""


def picture_paths(table: pa.Table, folders: Sequence[str]) -> list[str]:
    """Return a path for the picture of every sample, with `/`; unique also if case is ignored.

    Args:
        table: Columns of the view `samples`.
        folders: Columns that name the folders, outermost first; `kind` stands for the defect type, or
            the label where there is none.
    """
    rows = table.select(["image_id", "filename"]).to_pylist()
    parents = _parents(table, folders)
    stems = [_SUFFIX.sub("", row["filename"]) for row in rows]
    if "recipe" in table.column_names and "/tile=" in table["recipe"][0].as_py():
        tiles = table["tile"].to_pylist()
        stems = [f"{stem}_tile{tile:04}" for stem, tile in zip(stems, tiles, strict=True)]
        for row, tile in zip(rows, tiles, strict=True):
            row["image_id"] += f" {tile}"
    plain = [f"{parent}/{_safe(stem)}.png" for parent, stem in zip(parents, stems, strict=True)]
    uses = Counter(path.casefold() for path in plain)
    paths = [
        path
        if uses[path.casefold()] == 1 and _safe(stem) == stem
        else _marked(path, row["image_id"])
        for path, stem, row in zip(plain, stems, rows, strict=True)
    ]
    if len({path.casefold() for path in paths}) != len(paths):
        raise AssertionError("two digests are equal")
    return paths


def _parents(table: pa.Table, folders: Sequence[str]) -> list[str]:
    kinds = [
        row["defect_type"] or row["label"]
        for row in table.select(["defect_type", "label"]).to_pylist()
    ]
    columns = [kinds if name == "kind" else table[name].to_pylist() for name in folders]
    cleaned = [
        {text: text if name == "split" else _safe_folder(text) for text in set(column)}
        for name, column in zip(folders, columns, strict=True)
    ]
    return [
        "/".join(names[text] for names, text in zip(cleaned, row, strict=True))
        for row in zip(*columns, strict=True)
    ]


def _safe_folder(text: str) -> str:
    """Return a safe folder name; its digest is that of `text`, so that a category has one folder."""
    name = _SPLIT_WORD.sub(r"\1~", _safe(text))
    return name if name == text else f"{name}~{digest(text)}"


def _safe(text: str) -> str:
    """Return a safe name; it equals `text` if and only if `text` is safe."""
    spelled = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode()
    name = _UNSAFE.sub("_", spelled).lstrip("._-")[:_LONGEST].rstrip(".") or "unnamed"
    return _DEVICE.sub(r"\1~", name)


def _marked(path: str, image_id: str) -> str:
    return f"{path.removesuffix('.png')}~{digest(image_id)}.png"


def digest(text: str) -> str:
    """Return the digest that distinguishes two long or changed names."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:_DIGEST_DIGITS]


def in_folders(
    paths: Sequence[str], mask_from_file: npt.NDArray[np.bool_]
) -> tuple[list[str], list[str | None]]:
    """Return the path of every sample below `images` and below `masks`; None without a mask."""
    images = [f"images/{path}" for path in paths]
    masks = [
        f"masks/{path}" if has_mask else None
        for path, has_mask in zip(paths, mask_from_file, strict=True)
    ]
    return images, masks
