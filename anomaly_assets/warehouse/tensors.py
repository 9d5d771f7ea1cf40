"""Call a function with stored tensors, in threads and in bounded memory.

DuckDB holds the whole result of a query before it returns the first row, however that is fetched (1.5.5).
So each query reads a few tensors. On a lake, a query reads whole files: there, each reads as many tensors
as a file has.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeVar

import duckdb
import numpy as np
import numpy.typing as npt

from anomaly_assets.warehouse.buffers import drop_cached

AT_ONCE_BYTES = 16 * 1024 * 1024
"""Pixels that one query reads."""

OF_A_FILE = 512
"""Tensors of a file of a lake; see `TRANSACTION_ROWS` of its warehouse."""

Result = TypeVar("Result")


@dataclass(frozen=True)
class Tensor:
    """Row of `image_tensors`.

    Attributes:
        image_id: Id of the image.
        content_sha256: Digest of its file.
        transform: The transform that made it.
        pixels: uint8, height x width x channels.
    """

    image_id: str
    content_sha256: str
    transform: str
    pixels: npt.NDArray[np.uint8]


def map_tensors(
    connection: duckdb.DuckDBPyConnection,
    image_ids: Sequence[str],
    function: Callable[[Tensor], Result],
    workers: int = 1,
) -> Iterator[list[Result]]:
    """Yield the results of the function, in lists, one per query.

    Args:
        connection: The warehouse, without an open transaction.
        image_ids: Sorted ids; those without a tensor are skipped.
        function: Called in threads.
        workers: Number of threads.
    """
    if not image_ids:
        return
    [(kind,)] = connection.execute(_KIND).fetchall()
    [(largest,)] = connection.execute(_LARGEST).fetchall()
    size = OF_A_FILE if kind == "ducklake" else max(1, AT_ONCE_BYTES // max(1, largest or 0))
    with ThreadPoolExecutor(max(1, workers), thread_name_prefix="tensors") as pool:
        for start in range(0, len(image_ids), size):
            tensors = _read(connection, image_ids[start : start + size])
            yield list(pool.map(function, tensors))
            drop_cached(connection)


def _read(connection: duckdb.DuckDBPyConnection, ids: Sequence[str]) -> Iterator[Tensor]:
    parameters = {"first": ids[0], "last": ids[-1], "ids": list(ids)}
    table = connection.execute(_TENSORS, parameters).to_arrow_table()
    tensors = table["image_tensor"].combine_chunks()
    rows = table.drop_columns("image_tensor").to_pylist()
    for row, pixels in zip(rows, tensors, strict=True):
        shape = row["height"], row["width"], row["channels"]
        yield Tensor(
            row["image_id"],
            row["content_sha256"],
            row["transform"],
            np.frombuffer(pixels.as_buffer(), np.uint8).reshape(shape),
        )


_KIND = "SELECT type FROM duckdb_databases() WHERE database_name = current_database()"

_LARGEST = "SELECT max(height * width * channels) FROM image_tensors"

# The range is compared with the smallest and largest id of each row group; others are not read.
_TENSORS = """
SELECT image_id, content_sha256, transform, height, width, channels, image_tensor
FROM image_tensors
WHERE image_id BETWEEN $first AND $last AND list_contains($ids, image_id)
"""
