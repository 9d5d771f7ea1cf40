"""PNG to pixels: Pillow, or the faster Wuffs decoder where it is installed and exact.

Wuffs (extra `fast`, package `pywuffs`) takes the plain 8-bit grey and RGB files of which these datasets
consist. Everything else, and everything that it does not accept, is decoded by Pillow, so that the choice
of decoder never decides what is loaded or rejected.
"""

from __future__ import annotations

import struct
import threading
import zlib
from functools import cache
from typing import Any

from PIL import Image

_CHUNK_HEADER = struct.Struct(">I4s")
_MOST_COMMENT_BYTES = 64 * 1024
_this_thread = threading.local()


@cache
def wuffs() -> Any:
    """The `pywuffs` package; None where it is not installed."""
    try:
        import pywuffs
        import pywuffs.aux
    except ImportError:
        return None
    return pywuffs


def load(image: Image.Image, content: bytes) -> Image.Image:
    """Decode all pixels of an opened file.

    Args:
        image: The file, opened by Pillow, which has read its header.
        content: The bytes of the file.

    Returns:
        An image of the same mode and size, decoded.

    Raises:
        OSError: The pixels are damaged or incomplete, as Pillow says it.
    """
    if wuffs() is not None and _is_plain(image) and _ends_cleanly(content):
        decoded = _decoder(image.mode).decode(content)
        if not decoded.error_message and decoded.pixbuf.shape[:2] == image.size[::-1]:
            # The array owns its memory; frombuffer keeps it alive without a copy.
            return Image.frombuffer(image.mode, image.size, decoded.pixbuf, "raw", image.mode, 0, 1)
    image.load()
    return image


def _is_plain(image: Image.Image) -> bool:
    """Whether the file is a PNG of 8-bit grey or RGB as it is: not transparent, interlaced or animated.

    The first frame of an animation may cover a part of the picture (`bbox`), which decoders treat
    differently.
    """
    tiles = getattr(image, "tile", [])
    return (
        image.format == "PNG"
        and image.mode in ("L", "RGB")
        and len(tiles) == 1
        and tiles[0].args == image.mode
        and not {"transparency", "interlace", "bbox"} & image.info.keys()
    )


def _ends_cleanly(content: bytes) -> bool:
    """Whether nothing follows the pixels in which Pillow, which reads on there, could find damage.

    A few intact comments may: MVTec AD's files have them.
    """
    position, pixels_end = 8, 0
    while position + 12 <= len(content):
        length, kind = _CHUNK_HEADER.unpack_from(content, position)
        end = position + 12 + length
        if kind == b"IDAT":
            pixels_end = end
        elif kind == b"IEND" and pixels_end:
            return end == len(content) and end - pixels_end <= _MOST_COMMENT_BYTES
        elif pixels_end and not _is_comment(kind, content[position + 4 : end]):
            return False
        position = end
    return False


def _is_comment(kind: bytes, chunk: bytes) -> bool:
    """Whether a chunk (kind, data, checksum) is an intact, uncompressed text."""
    data, checksum = chunk[4:-4], chunk[-4:]
    if zlib.crc32(chunk[:-4]).to_bytes(4, "big") != checksum:
        return False
    return kind == b"tEXt" or (kind == b"iTXt" and data.partition(b"\0")[2][:2] == b"\0\0")


def _decoder(mode: str) -> Any:
    """A decoder for this mode; decoders are not safe to share, so each thread has its own."""
    decoders = _this_thread.__dict__.setdefault("decoders", {})
    if mode not in decoders:
        package = wuffs()
        config = package.aux.ImageDecoderConfig()
        config.enabled_decoders = [package.ImageDecoderType.PNG]
        formats = {"L": package.PixelFormat.Y, "RGB": package.PixelFormat.RGB}
        config.pixel_format = formats[mode]
        config.quirks = {package.ImageDecoderQuirks.IGNORE_CHECKSUM: 0}
        decoders[mode] = package.aux.ImageDecoder(config)
    return decoders[mode]
