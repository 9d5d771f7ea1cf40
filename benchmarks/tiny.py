"""Build trees of tiny pictures with different bytes, to measure growth with the number of images."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

SIDE = 16
"""Width and height of the pictures, in pixels."""

CATEGORIES = 15
_ANOMALOUS = 5
"""Every fifth image is anomalous and has a mask; every second good image is for training."""


def build_tiny_tree(root: Path, images: int) -> None:
    """Write grey PNG files in the layout of MVTec AD; each has its own pixels."""
    for number in range(images):
        folder, name = root / f"category_{number % CATEGORIES:02}", f"{number:07}"
        if number % _ANOMALOUS:
            split = "train" if number % 2 else "test"
            _write(folder / split / "good" / f"{name}.png", _png(number))
        else:
            _write(folder / "test" / "scratch" / f"{name}.png", _png(number))
            _write(folder / "ground_truth" / "scratch" / f"{name}_mask.png", _MASK)


def change(root: Path) -> None:
    """Replace the first image by one with other pixels."""
    path = root / "category_01" / "train" / "good" / "0000001.png"
    path.unlink()
    path.write_bytes(_png(-1))


def _write(path: Path, content: bytes) -> None:
    try:
        path.write_bytes(content)
    except FileNotFoundError:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)


def _png(number: int) -> bytes:
    """Return a picture whose first pixels are the digits of `number`; the others form a slope."""
    digits = number.to_bytes(8, "big", signed=True)
    return _encoded(digits + bytes(range(8, SIDE)) + bytes(SIDE * (SIDE - 1)))


def _encoded(pixels: bytes) -> bytes:
    rows = b"".join(b"\0" + pixels[start : start + SIDE] for start in range(0, SIDE * SIDE, SIDE))
    header = struct.pack(">2I5B", SIDE, SIDE, 8, 0, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(rows, 1)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
        for kind, body in chunks
    )


_MASK = _encoded(bytes(SIDE * SIDE // 2) + b"\xff" * (SIDE * SIDE // 2))
