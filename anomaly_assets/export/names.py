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
from collections.abc import Iterator, Mapping, Sequence
from typing import cast

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

_LONGEST = 64
_ROWS_AT_ONCE = 10_000
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


def picture_paths(table: pa.Table, folders: Sequence[str]) -> pa.ChunkedArray:
    """Return a path for the picture of every sample, with `/`; unique even if case is ignored.

    Only some samples at a time are Python objects, to save memory.

    Args:
        table: Columns of the view `samples`.
        folders: Columns that name the folders, outermost first; `kind` stands for the defect type, or
            the label if there is none.
    """
    table = _named_by_tile(table)
    kinds = pc.if_else(pc.equal(table["defect_type"], ""), None, table["defect_type"])
    table = table.append_column("kind", pc.coalesce(kinds, table["label"]))
    names = [
        {text: text if name == "split" else safe_folder(text) for text in _distinct(table[name])}
        for name in folders
    ]
    plain = pa.chunked_array(
        [_plain_paths(part, folders, names) for part in parts_of(table)], pa.string()
    )
    uses = pc.value_counts(pc.ascii_lower(plain))
    repeated = uses.field("values").filter(pc.greater(uses.field("counts"), 1))
    unique = pc.invert(pc.is_in(pc.ascii_lower(plain), value_set=repeated))
    with_paths = table.select(["image_id", "filename"])
    with_paths = with_paths.append_column("path", plain).append_column("unique", unique)
    paths = pa.chunked_array([_final_paths(part) for part in parts_of(with_paths)], pa.string())
    if pc.count_distinct(pc.ascii_lower(paths)).as_py() != len(paths):
        raise AssertionError("two digests are equal")
    return paths


def parts_of(table: pa.Table) -> Iterator[pa.Table]:
    """Yield slices of a table, each small enough for Python objects."""
    for start in range(0, table.num_rows, _ROWS_AT_ONCE):
        yield table.slice(start, _ROWS_AT_ONCE)


def _distinct(column: pa.ChunkedArray) -> list[str]:
    return cast("list[str]", column.unique().to_pylist())


def _named_by_tile(table: pa.Table) -> pa.Table:
    """Return a table of tiles with the number of the tile in filename and id; any other table as it is."""
    if "recipe" not in table.column_names or "/tile=" not in table["recipe"][0].as_py():
        return table
    tile = table["tile"].cast(pa.string())
    stem = pc.replace_substring_regex(table["filename"], _SUFFIX.pattern, "")
    number = pc.utf8_lpad(tile, 4, "0")
    named = {
        "filename": pc.binary_join_element_wise(stem, "_tile", number, ".png", ""),
        "image_id": pc.binary_join_element_wise(table["image_id"], tile, " "),
    }
    for name, values in named.items():
        table = table.set_column(table.column_names.index(name), name, values)
    return table


def _plain_paths(
    table: pa.Table, folders: Sequence[str], names: Sequence[Mapping[str, str]]
) -> pa.Array:
    """Return a path for each row, which may not be unique; `names` are the folders of each column."""
    columns = [
        [known[text] for text in table[name].to_pylist()]
        for name, known in zip(folders, names, strict=True)
    ]
    stems = [_safe(_stem(filename)) for filename in table["filename"].to_pylist()]
    rows = zip(*columns, stems, strict=True)
    return pa.array([f"{'/'.join(row)}.png" for row in rows], pa.string())


def _final_paths(table: pa.Table) -> pa.Array:
    """Return the paths, with a digest if a path is not unique or the name of the file was changed."""
    columns = (table[name].to_pylist() for name in ("path", "unique", "filename", "image_id"))
    return pa.array(
        [
            path if unique and _safe(stem := _stem(filename)) == stem else _marked(path, image_id)
            for path, unique, filename, image_id in zip(*columns, strict=True)
        ],
        pa.string(),
    )


def _stem(filename: str) -> str:
    return _SUFFIX.sub("", filename)


def safe_folder(text: str) -> str:
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
    paths: pa.ChunkedArray, mask_from_file: npt.NDArray[np.bool_]
) -> tuple[pa.ChunkedArray, pa.ChunkedArray]:
    """Return the path of every sample below `images` and below `masks`; null without a mask."""
    images = pc.binary_join_element_wise("images", paths, "/")
    masks = pc.binary_join_element_wise("masks", paths, "/")
    return images, pc.if_else(pa.array(mask_from_file), masks, None)
