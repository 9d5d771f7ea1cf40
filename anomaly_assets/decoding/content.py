"""Name bytes that are not a usable image: a pointer, a web page, a text, another format, a cut file.

All functions but `webp_size` take the content of a file that Pillow refused, so sound files cost nothing.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence

_SIGNATURES = {
    "PNG": b"\x89PNG\r\n\x1a\n",
    "JPEG": b"\xff\xd8\xff",
    "BMP": b"BM",
    "TIFF": b"II*\0",
    "WEBP": b"RIFF",
}
"""First bytes of the formats that can be decoded, by Pillow's names."""

_OTHER_FORMATS = (
    (0, b"\x89PNG\r\n\x1a\n", "PNG"),
    (0, b"\xff\xd8\xff", "JPEG"),
    (0, b"II*\0", "TIFF"),
    (0, b"MM\0*", "TIFF"),
    (0, b"II+\0", "BigTIFF"),
    (0, b"MM\0+", "BigTIFF"),
    (8, b"WEBP", "WebP"),
    (0, b"GIF8", "GIF"),
    (0, b"\0\0\0\x0cjP  ", "JPEG 2000"),
    (0, b"\xff\x4f\xff\x51", "JPEG 2000"),
    (0, b"\xff\x0a", "JPEG XL"),
    (0, b"\0\0\0\x0cJXL ", "JPEG XL"),
    (4, b"ftypavif", "AVIF"),
    (4, b"ftypheic", "HEIC"),
    (4, b"ftypmif1", "HEIC"),
    (4, b"ftyp", "MP4 video"),
    (128, b"DICM", "DICOM"),
    (0, b"v/1\x01", "OpenEXR"),
    (0, b"8BPS", "Photoshop"),
    (0, b"%!PS", "PostScript"),
    (0, b"%PDF", "PDF"),
    (0, b"\x93NUMPY", "NumPy"),
    (0, b"\x89HDF", "HDF5"),
    (0, b"PK\x03\x04", "zip"),
    (0, b"\x1f\x8b", "gzip"),
    (0, b"7z\xbc\xaf\x27\x1c", "7z"),
    (0, b"Rar!", "RAR"),
    (0, b"\0\0\1\0", "icon"),
    (0, b"BM", "BMP"),
)
"""Position, bytes and name of formats that people find under the name of an image."""

_SHOWN_CHARACTERS = 40
_BITS_PER_SAMPLE = (258, 3)
"""Number of the TIFF tag, and of its type: a short number."""

_MOST_SAMPLES = 64
_CHUNK = struct.Struct(">I4s")


def named(content: bytes, formats: Sequence[str]) -> tuple[str, str]:
    """Return a keyword for bytes that are none of the formats, and a sentence with the remedy."""
    again = "Copy or download the file again."
    start = content[:1024].lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if content.startswith((b"version https://git-lfs", b"version https://hawser")):
        return "git_lfs_pointer", (
            "The file is a Git LFS pointer, not the image. Run `git lfs pull` in the checkout."
        )
    if b"/annex/objects/" in content[:512]:
        return "git_annex_pointer", (
            "The file is a git-annex pointer, not the image. Run `git annex get`, then run again."
        )
    if start.startswith(b"<") and (b"<html" in start or b"<!doctype html" in start):
        return "html_page", (
            "The file is a web page (HTML), such as an error or a login page, not the image. Download the "
            "image again."
        )
    if not content.strip(b"\0"):
        return "only_zero_bytes", f"All {len(content)} bytes are zero. {again}"
    if _begins_a_signature(content):
        return "truncated_image", f"The file ends after {len(content)} bytes. {again}"
    if content.startswith(b"\x89PNG"):
        return "damaged_image", (
            f"The signature of the PNG is damaged, as by a transfer in text mode. {again}"
        )
    for position, signature, name in _OTHER_FORMATS:
        if content[position : position + len(signature)] == signature:
            return "unsupported_format", (
                f"The file is a {name} file. Save it as {_under_the_same_name(formats)}"
            )
    if (text := _text(content)) is not None:
        return "text_file", (
            f"The file is a text that begins with {text!r}. Replace it with the image."
        )
    return "not_an_image", (
        f"The file does not start as a {listed(formats)} does: {content[:8].hex(' ')}. {again}"
    )


def listed(formats: Sequence[str]) -> str:
    """Return names of formats as a text, such as `PNG, JPEG or BMP`."""
    *first, last = formats
    return f"{', '.join(first)} or {last}" if first else last


def _under_the_same_name(formats: Sequence[str]) -> str:
    """Return the formats to save a file as; another suffix would make it a stray file."""
    first, *others = formats
    more = f" {listed(others)} under the same name load too: the suffix stays." if others else ""
    return f"{first} under the same name.{more}"


def _begins_a_signature(content: bytes) -> bool:
    """Return whether a file of a few bytes ended within the signature of an image."""
    long_enough = len(content) > 2 or content[:1] > b"\x7f"
    return long_enough and any(signature.startswith(content) for signature in _SIGNATURES.values())


def _text(content: bytes) -> str | None:
    """Return the first characters of a text; None for bytes that are not text."""
    encoding = "utf-16" if content[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig"
    head = content[:512]
    for end in range(len(head), max(0, len(head) - 4), -1):  # a character may be cut at the end
        try:
            text = " ".join(head[:end].decode(encoding).split())
        except UnicodeDecodeError:
            continue
        return text[:_SHOWN_CHARACTERS] if text.isprintable() else None
    return None


def is_cut_off(content: bytes, message: str) -> bool:
    """Return whether a damaged file ends before its image does.

    Args:
        content: The bytes, which start as an image does.
        message: Pillow's message about them; used for TIFF only.
    """
    if content.startswith(_SIGNATURES["PNG"]):
        return _png_is_cut_off(content)
    if content.startswith(_SIGNATURES["JPEG"]):
        return b"\xff\xd9" not in content[-1024:]
    if content.startswith(_SIGNATURES["WEBP"]):
        return int.from_bytes(content[4:8], "little") + 8 > len(content)
    if content.startswith(_SIGNATURES["BMP"]):
        return int.from_bytes(content[2:6], "little") > len(content)
    return len(content) < 16 or "truncated" in message.lower()


def _png_is_cut_off(content: bytes) -> bool:
    position = len(_SIGNATURES["PNG"])
    while position + 12 <= len(content):
        length, kind = _CHUNK.unpack_from(content, position)
        if kind == b"IEND":
            return False
        position += 12 + length
    return True


def tiff_bits(content: bytes) -> int:
    """Return the most bits per value that the header of a TIFF gives; 0 for other and damaged files."""
    order = {b"II*\0": "<", b"MM\0*": ">"}.get(content[:4])
    if order is None:
        return 0
    try:
        (start,) = struct.unpack_from(f"{order}I", content, 4)
        (entries,) = struct.unpack_from(f"{order}H", content, start)
        for position in range(start + 2, start + 2 + 12 * entries, 12):
            tag, kind, count = struct.unpack_from(f"{order}HHI", content, position)
            if (tag, kind) == _BITS_PER_SAMPLE and 0 < count <= _MOST_SAMPLES:
                inside = count <= 2  # two short numbers fit into the entry itself
                offset = struct.unpack_from(f"{order}I", content, position + 8)[0]
                where = position + 8 if inside else offset
                return max(struct.unpack_from(f"{order}{count}H", content, where))
    except struct.error:
        pass
    return 0


def webp_size(content: bytes) -> tuple[int, int] | None:
    """Return width and height by the header of a WebP; None for other files and incomplete headers."""
    if content[8:12] != b"WEBP" or len(content) < 30:
        return None
    kind = content[12:16]
    if kind == b"VP8X":
        return _number(content[24:27]) + 1, _number(content[27:30]) + 1
    if kind == b"VP8L":
        sides = _number(content[21:25])
        return 1 + (sides & 0x3FFF), 1 + (sides >> 14 & 0x3FFF)
    return _number(content[26:28]) & 0x3FFF, _number(content[28:30]) & 0x3FFF


def _number(content: bytes) -> int:
    return int.from_bytes(content, "little")
