"""Open the file of a table as a stream of text, in any Unicode encoding, with a limit on its bytes."""

from __future__ import annotations

import io
from typing import BinaryIO

from anomaly_assets.datasets.text import DecodedText, decode_text

_HEAD = 64 * 1024
"""Number of bytes from which the encoding is found; a multiple of four, as UTF-32 needs."""

_HEADERS = (256, 64)
"""Bytes that are taken for the start of a header."""


class TooLargeError(Exception):
    """A file has more bytes than its limit."""


class _Limited(io.RawIOBase):
    """A stream without its first `skipped` bytes, of which `head` is already read."""

    def __init__(self, head: bytes, rest: BinaryIO, skipped: int, most: int) -> None:
        self._head = memoryview(head)[skipped:]
        self._rest = rest
        self._left = most - len(head)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: bytearray) -> int:  # type: ignore[override]  # any writable buffer
        if self._head:
            part: bytes | memoryview = self._head[: len(buffer)]
            self._head = self._head[len(part) :]
        else:
            part = self._rest.read(len(buffer))
            self._left -= len(part)
        if self._left < 0:
            raise TooLargeError
        buffer[: len(part)] = part
        return len(part)


def open_text(content: BinaryIO | bytes, most: int) -> tuple[io.TextIOWrapper, str]:
    """Open bytes as text without a byte order mark; bytes that the encoding cannot decode are U+FFFD.

    Args:
        content: The file, or its content.
        most: Limit of its size. Reading more raises `TooLargeError`.

    Returns:
        The text, with line ends as they are in the file, and the name of the encoding.
    """
    stream = io.BytesIO(content) if isinstance(content, bytes) else content
    head = _read(stream, _HEAD)
    decoded = _decoded_head(head)
    raw = _Limited(head, stream, len(decoded.mark), most)
    buffered = io.BufferedReader(raw, _HEAD)  # type: ignore[type-var]  # its readinto has any buffer
    text = io.TextIOWrapper(buffered, decoded.encoding, errors="replace", newline="")
    return text, decoded.encoding


def _decoded_head(head: bytes) -> DecodedText:
    """Decode the first bytes of a file, to find its encoding.

    The bytes can end between the two halves of a UTF-16 character. If that, or names that are not ASCII,
    leave the encoding open, the header alone decides.
    """
    decoded = decode_text(head)
    if not decoded.mark and decoded.encoding == "utf-8" and b"\0" in head:
        for size in (len(head) - 4, *_HEADERS):
            if (shorter := decode_text(head[:size])).encoding != "utf-8":
                return shorter
    return decoded


def _read(stream: BinaryIO, count: int) -> bytes:
    """Read this number of bytes, or all up to the end: a store can return fewer at a time."""
    parts = []
    while count > 0 and (part := stream.read(count)):
        parts.append(part)
        count -= len(part)
    return b"".join(parts)
