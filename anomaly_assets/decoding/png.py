"""Decode PNG files: with Pillow, a faster inflate and, if installed, the Wuffs decoder.

A third of Pillow's time for a PNG is inflating. ISA-L inflates plain files (8-bit grey or RGB, as in MVTec
AD and DAGM 2007) and writes the same filtered rows into a *stored* PNG, which is not compressed. Pillow
decodes that, or Wuffs (extra `fast`, package `pywuffs`), which undoes the filters faster; pip needs a C++
compiler to install it.

Pillow decodes all other files, and all unusual ones, from the original bytes. So the choice of decoder
never decides what is loaded or rejected.
"""

from __future__ import annotations

import struct
import threading
import zlib
from collections.abc import Iterator
from functools import cache
from typing import Any

from isal import igzip_lib
from PIL import Image

_CHUNK_HEADER = struct.Struct(">I4s")
_HEADER_END = 33
"""Number of bytes of the signature and the IHDR chunk, with which every PNG begins."""

_MOST_COMMENT_BYTES = 64 * 1024
_ZLIB_HEADERS = (b"\x78\x01", b"\x78\x5e", b"\x78\x9c", b"\x78\xda")
"""Headers with a window of 32 kB and no dictionary, as in usual PNG files."""

_BLOCK_BYTES = 65535
"""Maximum size of a stored block of zlib."""

_BLOCK_HEADER = struct.Struct("<BHH")
_MOST_KEPT_BYTES = 16 * 1024 * 1024
_NO_CHECKSUM = bytes(4)
_END = b"\0\0\0\0IEND\xaeB`\x82"
_METADATA = (b"tEXt", b"zTXt", b"iTXt", b"iCCP")
_this_thread = threading.local()


@cache
def wuffs() -> Any:
    """Return the `pywuffs` package; None if it is not installed."""
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
        OSError: The pixels are damaged or incomplete; raised by Pillow.
    """
    stored = stored_pixels(image, content) if _is_plain(image) else None
    if stored is not None:
        by = _by_pillow if wuffs() is None else _by_wuffs
        decoded = by(image, content, stored)
        if decoded is not None:
            return decoded
    image.load()
    return image


def chunks(content: bytes) -> Iterator[tuple[bytes, memoryview]]:
    """Yield kind and data of the chunks of a PNG, up to the first that is incomplete."""
    view, position = memoryview(content), 8
    while position + 12 <= len(content):
        length, kind = _CHUNK_HEADER.unpack_from(content, position)
        if position + 12 + length > len(content):
            return
        yield kind, view[position + 8 : position + 8 + length]
        position += 12 + length


def without_metadata(content: bytes) -> bytes:
    """Return a PNG without its texts and colour profile, none of which is inflated."""
    parts, position = [content[:8]], 8
    for kind, chunk in chunks(content):
        end = position + 12 + len(chunk)
        if kind not in _METADATA:
            parts.append(content[position:end])
        position = end
    return b"".join((*parts, content[position:]))


def _by_pillow(image: Image.Image, _content: bytes, stored: memoryview) -> Image.Image | None:
    try:
        return Image.frombytes(image.mode, image.size, stored, "zip", image.mode)
    except ValueError:  # a filter that does not exist, for instance
        return None


def _by_wuffs(image: Image.Image, content: bytes, stored: memoryview) -> Image.Image | None:
    header = content[:_HEADER_END] + _CHUNK_HEADER.pack(len(stored), b"IDAT")
    decoded = _decoder(image.mode).decode(b"".join((header, stored, _NO_CHECKSUM + _END)))
    if decoded.error_message or decoded.pixbuf.shape[:2] != image.size[::-1]:
        return None
    # The array owns its memory; frombuffer keeps it alive without a copy.
    return Image.frombuffer(image.mode, image.size, decoded.pixbuf, "raw", image.mode, 0, 1)


def stored_pixels(image: Image.Image, content: bytes) -> memoryview | None:
    """Inflate the pixels of a plain PNG, and write them into blocks that are not compressed.

    Memory is limited by the size in the header, whatever the file inflates to.

    Args:
        image: The file, opened by Pillow.
        content: The bytes of the file.

    Returns:
        A zlib stream in a buffer that is valid until the next call in this thread; None for a file
        that is unusual in any way.
    """
    compressed = _compressed_pixels(content)
    if compressed is None or compressed[:2] not in _ZLIB_HEADERS:
        return None
    width, height = image.size
    left = height * (1 + width * len(image.getbands()))
    length = 2 + left + 5 * -(-left // _BLOCK_BYTES) + 4
    stored = _buffer(length)
    stored[:2], at = compressed[:2], 2
    decompressor = igzip_lib.IgzipDecompressor(igzip_lib.DECOMP_ZLIB)
    try:
        rows = decompressor.decompress(compressed, min(_BLOCK_BYTES, left))
        while rows:
            left -= len(rows)
            stored[at : at + 5] = _BLOCK_HEADER.pack(left == 0, len(rows), len(rows) ^ 0xFFFF)
            stored[at + 5 : at + 5 + len(rows)] = rows
            at += 5 + len(rows)
            if left == 0 or decompressor.eof or len(rows) < _BLOCK_BYTES:
                break
            rows = decompressor.decompress(b"", min(_BLOCK_BYTES, left))
        # The checksum may not have been read yet. If there is one more byte, the data is too long.
        too_long = b"" if decompressor.eof else decompressor.decompress(b"", 1)
    except igzip_lib.IsalError:  # type: ignore[misc]  # missing in its types
        return None
    if left or too_long or not decompressor.eof or decompressor.unused_data:
        return None
    stored[at : at + 4] = compressed[
        -4:
    ]  # Adler-32 of the inflated bytes, which ISA-L has verified
    return stored[: at + 4]


def _buffer(length: int) -> memoryview:
    """Return the buffer of this thread: new memory for every image would cost as much as ISA-L saves."""
    if length > _MOST_KEPT_BYTES:
        return memoryview(bytearray(length))
    kept = _this_thread.__dict__.get("buffer")
    if kept is None or len(kept) < length:
        kept = _this_thread.buffer = bytearray(length)
    return memoryview(kept)


def _is_plain(image: Image.Image) -> bool:
    """Return whether the file is a PNG of 8-bit grey or RGB, not transparent, interlaced or animated.

    The first frame of an animation may cover only a part of the image (`bbox`), which decoders treat
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


def _compressed_pixels(content: bytes) -> bytes | None:
    """Return the zlib stream of a file that ends cleanly; None for others.

    Pillow reads past the pixels and may find damage there. A few intact comments may follow the pixels:
    MVTec AD's files have them.
    """
    view = memoryview(content)
    parts: list[memoryview] = []
    position, pixels_end = 8, 0
    while position + 12 <= len(content):
        length, kind = _CHUNK_HEADER.unpack_from(content, position)
        end = position + 12 + length
        if kind == b"IDAT":
            if parts and position != pixels_end:
                return None
            parts.append(view[position + 8 : end - 4])
            pixels_end = end
        elif kind == b"IEND" and parts:
            clean = end == len(content) and end - pixels_end <= _MOST_COMMENT_BYTES
            return b"".join(parts) if clean else None
        elif parts and not _is_comment(kind, content[position + 4 : end]):
            return None
        position = end
    return None


def _is_comment(kind: bytes, chunk: bytes) -> bool:
    """Return whether a chunk (kind, data, checksum) is an intact, uncompressed text."""
    data, checksum = chunk[4:-4], chunk[-4:]
    if zlib.crc32(chunk[:-4]).to_bytes(4, "big") != checksum:
        return False
    return kind == b"tEXt" or (kind == b"iTXt" and data.partition(b"\0")[2][:2] == b"\0\0")


def _decoder(mode: str) -> Any:
    """Return this thread's decoder for a mode; decoders are not thread-safe."""
    decoders = _this_thread.__dict__.setdefault("decoders", {})
    if mode not in decoders:
        package = wuffs()
        config = package.aux.ImageDecoderConfig()
        config.enabled_decoders = [package.ImageDecoderType.PNG]
        formats = {"L": package.PixelFormat.Y, "RGB": package.PixelFormat.RGB}
        config.pixel_format = formats[mode]
        # ISA-L has already verified the checksum of the data, and the stored chunk has none.
        config.quirks = {package.ImageDecoderQuirks.IGNORE_CHECKSUM: 1}
        decoders[mode] = package.aux.ImageDecoder(config)
    return decoders[mode]
