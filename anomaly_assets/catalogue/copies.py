"""Compare files of one root that have the same canonical path.

Layouts cut extra folders off a path, so `siteA/bolt/train/good/000.png` and `siteB/bolt/train/good/000.png`
have the same canonical path. They may be two copies of a file, or two products of the same name. Only the
content can decide. A folder is a copy of another one if both have an image of the same canonical path, and
all files that both have are equal. Otherwise the files of the second folder keep their own paths, and the
category is `siteB/bolt`. Masks alone prove nothing, because many are equal.

Files are read only if they have the same canonical path and the same size, and no checksum.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from typing import NamedTuple

from anomaly_assets.datasets.record import ImageFile, Placed
from anomaly_assets.roots.base import FileEntry, FileUnreadableError, Root

Tree = tuple[str, str | None]
"""Folder around a category, with `/` at its end or empty, and the category, if the path names one."""


TREE = "/"
"""Field of the folder around a file, if the folders around the dataset are not copies of each other."""


class Copy(NamedTuple):
    """A file whose canonical path is taken, and the file that has it."""

    tree: Tree
    entry: FileEntry
    first: FileEntry
    is_image: bool


def folder_around(path: str, record: Placed) -> str:
    """Return the beginning of a path that the layout has cut off; it ends with `/` or is empty."""
    return path[: len(path) - len(record.relative_path)]


def in_own_category(record: Placed, around: str) -> Placed:
    """Return a record with the whole path and a category of its own, such as `siteB/bolt`."""
    record = record._replace(relative_path=f"{around}{record.relative_path}")
    if record.category is None and not isinstance(record, ImageFile):
        return record
    return record._replace(category=f"{around}{record.category or ''}".rstrip("/"))


def in_tree(record: Placed, around: str) -> Placed:
    """Return a record with its tree, which it shares with its own masks and tables only."""
    texts = {**record.texts, TREE: around or "."}
    if isinstance(record, ImageFile):
        return record._replace(texts=texts)
    return record._replace(texts=texts, fields=(*record.fields, TREE))


def trees_that_differ(root: Root, copies: Iterable[Copy]) -> set[Tree]:
    """Return the trees that are no copies of another one, although they have canonical paths in common."""
    copies = sorted(copies, key=lambda copy: copy.entry.size_bytes)
    with_images = {copy.tree for copy in copies if copy.is_image}
    differing = {copy.tree for copy in copies} - with_images
    for copy in copies:
        if copy.tree not in differing and not _equal(root, copy.entry, copy.first):
            differing.add(copy.tree)
    return differing


def _equal(root: Root, one: FileEntry, other: FileEntry) -> bool:
    if one.size_bytes != other.size_bytes:
        return False
    if one.version == other.version and one.version.startswith(("crc32-", "etag-")):
        return True
    return _same_bytes(_Files(root), one.path, one.version, other.path, other.version)


class _Files:
    """Root as a key of a cache: roots with the same URL are equal."""

    def __init__(self, root: Root) -> None:
        self.root = root

    def __hash__(self) -> int:
        return hash(self.root.uri)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Files) and other.root.uri == self.root.uri


@lru_cache(maxsize=65_536)  # a sensor lists the same root every minute, in the same process
def _same_bytes(files: _Files, one: str, version: str, other: str, other_version: str) -> bool:
    try:
        return files.root.read(one, version) == files.root.read(other, other_version)
    except FileUnreadableError:  # nothing is called a copy without a comparison
        return False
