"""Make contents of files that are not plain pictures."""

from __future__ import annotations

import io
import struct
import zlib

import numpy as np
from PIL import Image

from anomaly_assets.decoding.transform import UInt8Array
from anomaly_assets_tests.decoding.pictures import chunk, header, png

END = chunk(b"IEND", b"")
ANIMATION = chunk(b"acTL", struct.pack(">II", 2, 0))


def encoded(image: Image.Image, file_format: str) -> bytes:
    """Return the picture in another format."""
    file = io.BytesIO()
    image.save(file, file_format)
    return file.getvalue()


def pixels(grey: UInt8Array) -> bytes:
    """Return compressed rows of a grey picture."""
    return zlib.compress(b"".join(b"\0" + row.tobytes() for row in grey))


def frame(number: int, width: int, height: int, left: int = 0, top: int = 0) -> bytes:
    """Return the control chunk of a frame of an animation."""
    fields = (number, width, height, left, top, 1, 1, 0, 0)
    return chunk(b"fcTL", struct.pack(">IIIIIHHBB", *fields))


def animated(canvas: tuple[int, int], first: UInt8Array, place: tuple[int, int, int, int]) -> bytes:
    """Return an APNG of two frames; the first holds `first` and is placed at `place`.

    Args:
        canvas: Width and height of the file.
        first: Pixels of the first frame, grey.
        place: Width, height, left and top that its control chunk gives.
    """
    second = np.zeros(canvas[::-1], np.uint8)
    return (
        header(*canvas)
        + ANIMATION
        + frame(0, *place)
        + chunk(b"IDAT", pixels(first))
        + frame(1, *canvas)
        + chunk(b"fdAT", struct.pack(">I", 2) + pixels(second))
        + END
    )


def mask_png(values: UInt8Array) -> bytes:
    """Return a PNG of these values: H x W is grey, H x W x 3 is RGB."""
    return png(Image.fromarray(values))
