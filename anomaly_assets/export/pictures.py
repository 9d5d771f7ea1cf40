"""Write PNG files of images and masks, encoded in parallel.

PNG is lossless: a reader decodes the values of the tensors. Masks are written as 0 and 255, because every
viewer and every loader of masks expects these values.
"""

from __future__ import annotations

import io
import os
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from PIL import Image

from anomaly_assets.export.selection import Source

COMPRESS_LEVEL = 1
"""Level of zlib. Higher levels cost more time than they save, as measured in docs/exporting.md."""

Advance = Callable[[int], object]
"""Callback with the number of samples written since the last call."""


def write_pictures(
    source: Source,
    folder: Path,
    image_paths: pa.ChunkedArray,
    mask_paths: pa.ChunkedArray,
    advance: Advance,
) -> None:
    """Write every image and every mask that has a path.

    At most three parts of the source are in memory, besides the buffers of its reader.

    Args:
        source: The samples.
        folder: The paths are relative to this folder.
        image_paths: A path for every sample, or null for a sample that is not written.
        mask_paths: A path for every sample, or null.
        advance: Called with the number of samples written since the last call.

    Raises:
        OSError: A file cannot be written, for instance because the disk is full.
    """
    # First all folders: creating files took half as long as if folders were created between them.
    for parent in _parents(image_paths) | _parents(mask_paths):
        (folder / parent).mkdir(parents=True, exist_ok=True)
    pending: deque[Future[None]] = deque()
    pool = ThreadPoolExecutor(os.cpu_count() or 1, thread_name_prefix="encode")

    def wait_for(most: int) -> None:
        while len(pending) > most:
            pending.popleft().result()
            advance(1)

    try:
        for part in source.parts():
            images, masks = (
                paths.slice(part.start, len(part)).to_pylist()
                for paths in (image_paths, mask_paths)
            )
            for place in range(len(part)):
                written = [
                    (folder / path, pixels)
                    for path, pixels in (
                        (images[place], part.images[place]),
                        (masks[place], part.masks[place] * np.uint8(255)),
                    )
                    if path is not None
                ]
                pending.append(pool.submit(_write_sample, written))
            wait_for(2 * len(part))
        wait_for(0)
    finally:
        pool.shutdown(cancel_futures=True)


def _parents(paths: pa.ChunkedArray) -> set[str]:
    """Return the folders of these paths."""
    return {*pc.replace_substring_regex(paths.drop_null(), "/[^/]*$", "").unique().to_pylist()}


def write_png(path: Path, pixels: npt.NDArray[np.uint8]) -> None:
    """Write one picture.

    Args:
        path: File in a folder that exists.
        pixels: uint8, height x width, or height x width x 1 or 3.
    """
    # Not `Image.save(path)`: on a full disk Pillow reports "encoder error", and this call reports ENOSPC.
    path.write_bytes(encoded(pixels, "PNG"))


def encoded(pixels: npt.NDArray[np.uint8], file_format: str) -> bytes:
    """Return one picture as a file of a lossless format, such as `PNG` or `PPM`.

    Args:
        pixels: uint8, height x width, or height x width x 1 or 3.
        file_format: Name of the format in Pillow.
    """
    grey = pixels[:, :, 0] if pixels.ndim == 3 and pixels.shape[2] == 1 else pixels
    content = io.BytesIO()
    picture = Image.fromarray(np.ascontiguousarray(grey))
    picture.save(content, file_format, compress_level=COMPRESS_LEVEL)
    return content.getvalue()


def _write_sample(pictures: Sequence[tuple[Path, npt.NDArray[np.uint8]]]) -> None:
    for path, pixels in pictures:
        write_png(path, pixels)
