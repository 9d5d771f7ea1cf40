"""Read blobs of one size directly from the blocks of a DuckDB file (docs/decisions/0012).

DuckDB stores blobs uncompressed, and splits large ones only at the end of a block:

    file     three headers of 4 kB, then blocks
    block    checksum (8 bytes), content, number of the block in which a large blob continues (8 bytes)
    segment  of a column: size and end of its dictionary (4 bytes each), one offset for each row (4 bytes
             each), counted back from that end. It points to the blob itself or, if it is negative, to the
             block (8 bytes) and the offset in its content (4 bytes) of a large blob
    large    size (4 bytes), blob

DuckDB's `pragma_storage_info` returns the positions of segments and their blocks. Everything else is
verified: the checksum of each block, and the size and the continuation of each blob. If one is wrong,
DuckDB reads the blobs.
"""

from __future__ import annotations

import mmap
import os
from dataclasses import dataclass

import duckdb
import numpy as np

from anomaly_assets.reader.batch import BoolArray, IntArray, UInt8Array

_HEADERS = 3 * 4096
_CHECKSUM = 8
_LINK = 8
_SIZE = 4
_PLACE = 12
_MOST_PIECES = 1000
"""Limit for one call of `preadv`; Linux allows 1,024."""


class UnexpectedLayoutError(Exception):
    """Unexpected bytes in a file: it is damaged, or was written by another version of DuckDB."""


@dataclass
class StoredBlobs:
    """Positions of the blobs of a column; may be used by several threads.

    Attributes:
        size: Size of each blob in bytes.
        block_size: Size of a block in bytes.
        blocks: For each row, the block in which its blob begins; -1 without a blob of that size.
        starts: For each row, the offset of its blob in the content of that block.
        large: For each row, True if it is stored as a large blob.
        next_block: For each block, the block in which its blob continues.
        intact: For each block, True once its checksum was verified.
    """

    size: int
    block_size: int
    blocks: IntArray
    starts: IntArray
    large: BoolArray
    next_block: IntArray
    intact: BoolArray

    def have(self, rows: IntArray) -> bool:
        """Return True if each of these rows has a blob."""
        return bool((rows < len(self.blocks)).all() and (self.blocks[rows] >= 0).all())

    def read(self, descriptor: int, rows: IntArray, arrays: UInt8Array, places: IntArray) -> None:
        """Copy blobs into arrays.

        Args:
            descriptor: The file.
            rows: Row ids of the blobs, in any order.
            arrays: C-contiguous, `size` bytes each.
            places: For each blob, the index of its array.

        Raises:
            UnexpectedLayoutError: The file is damaged, or was written to.
        """
        if not len(rows):
            return
        pieces = _Pieces(descriptor)
        room_in_block = self.block_size - _CHECKSUM - _LINK
        sizes = np.full(len(rows), self.size, np.uint32)
        links = np.empty(len(rows) * (2 + self.size // room_in_block), np.int64)
        target, of_sizes, of_links = (array.data.cast("B") for array in (arrays, sizes, links))
        skipped = memoryview(bytearray(_CHECKSUM))
        expected: list[int] = []
        of_rows = (column[rows].tolist() for column in (self.blocks, self.starts, self.large))
        for number, (block, start, large, place) in enumerate(
            zip(*of_rows, places.tolist(), strict=True)
        ):
            at, room = self._content(block) + start, self.size
            parts = []
            if large:
                parts.append(of_sizes[number * _SIZE : (number + 1) * _SIZE])
                room = room_in_block - start - _SIZE
            filled = place * self.size
            end = filled + self.size
            while end - filled > room:
                parts.append(target[filled : filled + room])
                parts.append(of_links[len(expected) * _LINK : (len(expected) + 1) * _LINK])
                pieces.add(at, parts)
                filled += room
                block = int(self.next_block[block])
                expected.append(block)
                at, room, parts = self._content(block) - _CHECKSUM, room_in_block, [skipped]
            parts.append(target[filled:end])
            pieces.add(at, parts)
        self._verify(descriptor, {*self.blocks[rows].tolist(), *expected})
        pieces.read()
        if (sizes != self.size).any() or (links[: len(expected)] != expected).any():
            raise UnexpectedLayoutError("A blob has another size, or continues elsewhere.")

    def _content(self, block: int) -> int:
        return _HEADERS + block * self.block_size + _CHECKSUM

    def _verify(self, descriptor: int, blocks: set[int]) -> None:
        """Verify the checksums of the blocks that were not read before."""
        if -1 in blocks:
            raise UnexpectedLayoutError("A blob continues in a block that does not exist.")
        for block in sorted(block for block in blocks if not self.intact[block]):
            _content_of(descriptor, block, self.block_size)
            self.intact[block] = True


def find_blobs(
    cursor: duckdb.DuckDBPyConnection,
    descriptor: int,
    column: str,
    size: int,
    table: str = "image_tensors",
) -> StoredBlobs:
    """Find the blobs of a column.

    Args:
        cursor: Connection to the database.
        descriptor: Descriptor of the same file.
        column: Name of the column.
        size: Size of each blob in bytes.
        table: Table of the column, which may also hold blobs of other sizes.

    Raises:
        UnexpectedLayoutError: The file is damaged, or was written by another version of DuckDB.
    """
    [(block_size, blocks)] = cursor.execute(_BLOCKS).fetchall()
    next_block = np.full(blocks, -1, np.int64)
    segments = [np.empty((3, 0), np.int64)]
    for plain, count, block, start, further in cursor.execute(
        _SEGMENTS, [table, column]
    ).fetchall():
        if plain:
            content = _content_of(descriptor, block, block_size)
            segments.append(_places(content, block, start, count, size))
            next_block[further[:-1]] = further[1:]
        else:
            segments.append(np.full((3, count), -1))
    found, starts, large = np.concatenate(segments, axis=1)
    if ((found >= blocks) | (starts >= block_size)).any():
        raise UnexpectedLayoutError("A blob begins in a block that does not exist.")
    # Shared with forks: a block that one worker has verified is not verified again by others.
    intact = np.frombuffer(mmap.mmap(-1, max(1, blocks)), np.bool_, blocks)
    return StoredBlobs(size, block_size, found, starts, large == 1, next_block, intact)


def _places(content: UInt8Array, block: int, start: int, count: int, size: int) -> IntArray:
    """Return block, offset in its content, and 1 if large, for each blob of a segment; -1 for none."""
    segment = content[start:]
    end = int(segment[4:8].view(np.uint32)[0])
    offsets = segment[8 : 8 + 4 * count].view(np.int32).astype(np.int64)
    at = end - np.abs(offsets)
    if len(offsets) < count or end > len(segment) or (at < 0).any():
        raise UnexpectedLayoutError("A dictionary does not fit into its block.")
    lengths = np.diff(np.abs(offsets), prepend=0)  # a null has length 0
    places = np.full((3, count), -1)
    small = (offsets > 0) & (lengths == size)
    places[:, small] = np.stack(np.broadcast_arrays(block, start + at[small], 0))
    large = (offsets < 0) & (lengths == _PLACE)
    entries = segment[at[large][:, None] + np.arange(_PLACE)]
    places[0, large] = np.ascontiguousarray(entries[:, :8]).view(np.int64)[:, 0]
    places[1, large] = np.ascontiguousarray(entries[:, 8:]).view(np.int32)[:, 0]
    places[2, large] = 1
    return places


def _content_of(descriptor: int, block: int, block_size: int) -> UInt8Array:
    """Return the content of a block after verifying its checksum."""
    content = np.empty(block_size, np.uint8)
    if os.preadv(descriptor, [content.data], _HEADERS + block * block_size) != block_size:
        raise UnexpectedLayoutError("The file ends before its last block.")
    words = content.view(np.uint64)
    if np.bitwise_xor.reduce(words[1:] * _FACTOR) ^ _SEED != words[0]:
        raise UnexpectedLayoutError(f"Block {block} has another checksum.")
    return content[_CHECKSUM:]


class _Pieces:
    """List of pieces of a file and their targets; adjacent pieces are read with one call."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._calls: list[tuple[int, list[memoryview]]] = []
        self._end = -1

    def add(self, start: int, targets: list[memoryview]) -> None:
        """Add a piece that begins at `start` and fills some targets, one after the other."""
        if start != self._end or len(self._calls[-1][1]) + len(targets) > _MOST_PIECES:
            self._calls.append((start, targets))
        else:
            self._calls[-1][1].extend(targets)
        self._end = start + sum(map(len, targets))

    def read(self) -> None:
        """Read all requested byte ranges from the file.

        Raises:
            UnexpectedLayoutError: The file ends before a requested range does.
        """
        for start, targets in self._calls:
            if os.preadv(self._descriptor, targets, start) != sum(map(len, targets)):
                raise UnexpectedLayoutError("The file ends before one of its blobs.")


_FACTOR = np.uint64(0xBF58476D1CE4E5B9)
_SEED = np.uint64(5381)
_BLOCKS = """
SELECT block_size, total_blocks FROM pragma_database_size() WHERE database_name = current_catalog()
"""
_SEGMENTS = """
SELECT
    compression = 'Uncompressed' AND persistent AND NOT has_updates,
    count,
    block_id,
    block_offset,
    additional_block_ids
FROM pragma_storage_info(?)
WHERE column_name = ? AND segment_type = 'BLOB'
ORDER BY row_group_id, segment_id
"""
