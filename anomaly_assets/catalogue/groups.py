"""Keep the images and masks of a root in compact columns; records are classified when they are needed."""

from __future__ import annotations

from array import array
from collections.abc import Collection, Hashable, Iterator, Sequence
from typing import Any, Generic, Protocol, TypeVar

import numpy as np
import pyarrow as pa

from anomaly_assets.catalogue.entries import PIECE, Entries
from anomaly_assets.datasets.names import as_text
from anomaly_assets.datasets.record import ImageFile, MaskFile, Placed, key_of
from anomaly_assets.roots.base import FileEntry

Fields = tuple[str, ...]

COARSE = frozenset({"category", "split", "=label", "=defect_type"})
"""Fields of which a root has few values."""

_Kind = TypeVar("_Kind", ImageFile, MaskFile)


class Source(Protocol):
    """Provide what a group needs to make its records."""

    entries: Entries

    def record(self, path: str) -> Placed:
        """Return the record of a path."""


class Group(Generic[_Kind]):
    """Files of one kind, in the order of their paths.

    Attributes:
        positions: Position of each file in the entries.
        codes: Index in `traits` for each file.
        traits: Values that many files share, such as category, split and label; each combination once.
    """

    def __init__(self, source: Source) -> None:
        self.source = source
        self.positions = array("q")
        self.codes = array("q")
        self.traits: list[Any] = []
        self._code_of: dict[Hashable, int] = {}

    def __len__(self) -> int:
        return len(self.positions)

    def __getitem__(self, number: int) -> tuple[_Kind, FileEntry]:
        path, entry = self.source.entries[self.positions[number]]
        return self._made(path), entry

    def __iter__(self) -> Iterator[tuple[_Kind, FileEntry]]:
        return self.at(range(len(self)))

    def at(self, numbers: Sequence[int]) -> Iterator[tuple[_Kind, FileEntry]]:
        """Yield the files with these numbers."""
        positions = array("q", map(self.positions.__getitem__, numbers))
        return ((self._made(path), entry) for path, entry in self.source.entries.at(positions))

    def record(self, number: int) -> _Kind:
        """Return one record."""
        return self._made(self.source.entries.path(self.positions[number]))

    def append(self, position: int, record: _Kind) -> None:
        """Add a file."""
        self.positions.append(position)
        self.codes.append(self.code_of(record))

    def code_of(self, record: _Kind) -> int:
        """Return the number of the traits of a record."""
        traits = _traits(record)
        code = self._code_of.get(traits)
        if code is None:
            code = self._code_of[traits] = len(self.traits)
            self.traits.append(traits)
        return code

    def without(self, positions: Collection[int]) -> Any:
        """Remove the files at these positions of the entries; return this object."""
        if positions:
            kept = ~np.isin(np.frombuffer(self.positions, np.int64), [*positions])
            self.positions = _filtered(self.positions, kept)
            self.codes = _filtered(self.codes, kept)
        return self

    def _made(self, path: str) -> _Kind:
        return self.source.record(path)  # type: ignore[return-value]


class Images(Group[ImageFile]):
    """Images with their canonical paths, and hashes of the keys that they share with masks.

    Args:
        source: The files of the root.
        fields: Fields of the keys.
    """

    def __init__(self, source: Source, fields: Sequence[Fields]) -> None:
        super().__init__(source)
        self.hashes = {each: array("q") for each in fields if not COARSE.issuperset(each)}
        self._names: list[pa.Array] = []
        self._pending: list[str] = []

    def append(self, position: int, record: ImageFile) -> None:
        """Add an image."""
        super().append(position, record)
        self._pending.append(as_text(record.relative_path))
        if len(self._pending) == PIECE:
            self._flush()
        for fields, hashes in self.hashes.items():
            hashes.append(hash(key_of(record, fields)))

    @property
    def names(self) -> pa.Array:
        """Return the canonical paths."""
        self._flush()
        if len(self._names) != 1:
            joined = pa.chunked_array(self._names, pa.large_string()).combine_chunks()
            self._names = [joined]
        return self._names[0]

    def names_at(self, numbers: Sequence[int]) -> list[str]:
        """Return the canonical paths of the images with these numbers."""
        return self.names.take(pa.array(numbers, pa.int64())).to_pylist()

    def without(self, positions: Collection[int]) -> Images:
        """Remove the images at these positions of the entries; return this object."""
        if positions:
            kept = ~np.isin(np.frombuffer(self.positions, np.int64), [*positions])
            self._names = [self.names.filter(pa.array(kept))]
            self.hashes = {each: _filtered(values, kept) for each, values in self.hashes.items()}
            super().without(positions)
        return self

    def _flush(self) -> None:
        if self._pending:
            self._names.append(pa.array(self._pending, pa.large_string()))
            self._pending = []


def _traits(record: ImageFile | MaskFile) -> Hashable:
    if isinstance(record, ImageFile):
        own = record.category, record.split, record.label, record.defect_type
        return (*own, tuple(record.texts))
    return record.category, record.split, record.fields


def _filtered(values: array[int], kept: Any) -> array[int]:
    return array("q", np.frombuffer(values, np.int64)[kept].tobytes())
