"""Make files to decode: pictures of every mode, and PNG chunks that Pillow cannot write."""

from __future__ import annotations

import io
import struct
import zlib

import numpy as np
from PIL import Image

MODES = ("1", "L", "LA", "P", "RGB", "RGBA", "I;16")
SIGNATURE = b"\x89PNG\r\n\x1a\n"

_BYTES_PER_PIXEL = {"1": 1, "L": 1, "LA": 2, "P": 1, "RGB": 3, "RGBA": 4, "I;16": 2}


def picture(mode: str, size: tuple[int, int], seed: int = 0) -> Image.Image:
    """Return noise of any mode; every value of the mode can occur, and zero often does."""
    numbers = np.random.default_rng(seed)
    count = size[0] * size[1] * _BYTES_PER_PIXEL[mode]
    content = numbers.integers(0, 256, count, np.uint8)
    content[numbers.random(count) < 0.3] = 0
    if mode == "1":
        return Image.frombytes("L", size, (content > 127).astype(np.uint8) * 255).convert(
            "1", dither=Image.Dither.NONE
        )
    made = Image.frombytes(mode, size, content.tobytes())
    if mode == "P":
        made.putpalette(numbers.integers(0, 256, 768, np.uint8).tobytes())
    return made


def png(image: Image.Image, **options: object) -> bytes:
    file = io.BytesIO()
    image.save(file, "PNG", **options)
    return file.getvalue()


def chunk(kind: bytes, content: bytes) -> bytes:
    checksum = zlib.crc32(kind + content)
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", checksum)


def header(width: int, height: int, depth: int = 8, colour: int = 0, interlace: int = 0) -> bytes:
    fields = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, interlace)
    return SIGNATURE + chunk(b"IHDR", fields)


def interlaced(grey: np.ndarray) -> bytes:
    """Return the grey picture as an Adam7 PNG."""
    height, width = grey.shape
    rows = b""
    for left, top, step_x, step_y in (
        (0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2),
    ):  # fmt: skip
        for row in grey[top::step_y, left::step_x]:
            rows += b"\0" + row.tobytes() if row.size else b""
    return (
        header(width, height, interlace=1)
        + chunk(b"IDAT", zlib.compress(rows))
        + chunk(b"IEND", b"")
    )


def sixteen_bit_colour(values: np.ndarray) -> bytes:
    """Return a PNG of 16 bits per channel from an H x W x 3 array; Pillow reads it but cannot write it."""
    return sixteen_bits(values, colour=2)


def sixteen_bits(values: np.ndarray, colour: int) -> bytes:
    """Return a PNG of 16 bits per channel, of a colour type of the standard: 4 is LA, 6 is RGBA."""
    height, width = values.shape[:2]
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in values)
    return (
        header(width, height, depth=16, colour=colour)
        + chunk(b"IDAT", zlib.compress(rows))
        + chunk(b"IEND", b"")
    )


def raw_tiff(
    size: tuple[int, int], bits: int, pixels: bytes, samples: int = 1, **tags: int
) -> bytes:
    """Return an uncompressed little-endian TIFF, also one that Pillow cannot write.

    Args:
        size: Width and height.
        bits: Bits per value.
        pixels: The values as they are stored, in one strip or a strip per plane.
        samples: Values per pixel.
        tags: `photometric` (0 for white at zero), `planar` (2 for separate planes), `extra` (1 for
            premultiplied alpha, 2 for alpha).
    """
    planar = tags.get("planar", 1)
    strips = samples if planar == 2 else 1
    fields: dict[int, tuple[int, list[int]]] = {
        256: (4, [size[0]]),
        257: (4, [size[1]]),
        258: (3, [bits] * samples),
        259: (3, [1]),
        262: (3, [tags.get("photometric", 2 if samples > 2 else 1)]),
        273: (4, [8 + len(pixels) // strips * strip for strip in range(strips)]),
        277: (3, [samples]),
        278: (4, [size[1]]),
        279: (4, [len(pixels) // strips] * strips),
        284: (3, [planar]),
    }
    if "extra" in tags:
        fields[338] = (3, [tags["extra"]])
    start = 8 + len(pixels) + len(pixels) % 2
    beside = start + 2 + 12 * len(fields) + 4
    entries, data = b"", b""
    for tag, (kind, values) in sorted(fields.items()):
        packed = struct.pack(f"<{len(values)}{'H' if kind == 3 else 'I'}", *values)
        entries += struct.pack("<HHI", tag, kind, len(values))
        if len(packed) > 4:
            entries += struct.pack("<I", beside + len(data))
            data += packed
        else:
            entries += packed.ljust(4, b"\0")
    head = struct.pack("<2sHI", b"II", 42, start) + pixels.ljust(start - 8, b"\0")
    return head + struct.pack("<H", len(fields)) + entries + bytes(4) + data
