"""What the pictures of an export are called.

    <source_dataset>/<category>/<split>/<good, or the defect type>/<stem of the file>.png

Any text can be a category or a file name in a store. Here it becomes a name that every file system and
every reader takes as it is: letters and digits of ASCII, dot, hyphen and underscore, at most 64 of them
and the mark of a change, `~` and a digest, which no unchanged name has. So a name that was changed can
never be that of another image, and nothing leads out of the folder.
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
"""Names that Windows keeps for itself, with any suffix."""

_SPLIT_WORD = re.compile(
    r"(?<![^-._ 0-9])(train|training|validation|valid|dev|val|test|testing|eval|evaluation)"
    r"(?![^-._ 0-9])",
    re.IGNORECASE,
)
"""What `datasets` takes for the name of a split, wherever in a path a folder has it."""


def picture_paths(table: pa.Table, folders: Sequence[str]) -> list[str]:
    """A path for the picture of every sample, with `/` in it, unique also where case does not count.

    Args:
        table: Columns of the view `samples`.
        folders: Columns that name the folders, outermost first; `kind` stands for the defect type, or
            the label where there is none.
    """
    rows = table.select(["image_id", "filename"]).to_pylist()
    parents = _parents(table, folders)
    stems = [_SUFFIX.sub("", row["filename"]) for row in rows]
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
    """A folder of this name; the digest is that of the text, so that a category has one folder."""
    name = _SPLIT_WORD.sub(r"\1~", _safe(text))
    return name if name == text else f"{name}~{digest(text)}"


def _safe(text: str) -> str:
    """The nearest name that is safe; equal to the text if and only if the text is safe."""
    spelled = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode()
    name = _UNSAFE.sub("_", spelled).lstrip("._-")[:_LONGEST].rstrip(".") or "unnamed"
    return _DEVICE.sub(r"\1~", name)


def _marked(path: str, image_id: str) -> str:
    return f"{path.removesuffix('.png')}~{digest(image_id)}.png"


def digest(text: str) -> str:
    """What tells two long or changed names apart."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:_DIGEST_DIGITS]


def in_folders(
    paths: Sequence[str], mask_from_file: npt.NDArray[np.bool_]
) -> tuple[list[str], list[str | None]]:
    """The same path below `images` and below `masks` for every sample; None where there is no mask."""
    images = [f"images/{path}" for path in paths]
    masks = [
        f"masks/{path}" if has_mask else None
        for path, has_mask in zip(paths, mask_from_file, strict=True)
    ]
    return images, masks
