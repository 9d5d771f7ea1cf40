"""Decode the bytes of a labels file: any Unicode encoding, with or without a byte order mark."""

from __future__ import annotations

import codecs
from dataclasses import dataclass

_MARKS = (  # UTF-32 first: its byte order mark (BOM) begins with that of UTF-16
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
_WITHOUT_MARK = ("utf-32-le", "utf-32-be", "utf-16-le", "utf-16-be")


@dataclass(frozen=True, slots=True)
class DecodedText:
    """Text of a file.

    Attributes:
        text: The text; bytes that the encoding cannot decode are U+FFFD.
        encoding: Encoding that was used, such as `utf-16-le`.
        mark: Byte order mark (BOM) before the text; empty without a BOM.
        tried: All encodings that were tried.
    """

    text: str
    encoding: str
    mark: bytes
    tried: tuple[str, ...]

    @property
    def is_clean(self) -> bool:
        """Return True if every byte was decoded, to no character that texts do not have."""
        return "\ufffd" not in self.text and "\0" not in self.text


def decode_text(content: bytes) -> DecodedText:
    """Decode the content of a text file, whose lines use ASCII separators.

    A byte order mark (BOM) gives the encoding. Without a BOM, a file with zero bytes is UTF-32 or UTF-16:
    the one that gives valid text without a zero character, mostly of ASCII. All others are UTF-8.

    Args:
        content: The bytes of the file.
    """
    for mark, encoding in _MARKS:
        if content.startswith(mark):
            text = content[len(mark) :].decode(encoding, "replace")
            return DecodedText(text, encoding, mark, (encoding,))
    tried: list[str] = []
    if b"\0" in content:
        found: list[tuple[float, str, str]] = []
        for encoding in _WITHOUT_MARK:
            tried.append(encoding)
            valid = _valid(content, encoding)
            if valid is not None:
                share = sum(sign.isascii() for sign in valid) / len(valid)
                found.append((share, encoding, valid))
        if found and max(found)[0] > 0.5:  # else it is another text with a few zero bytes
            _, encoding, text = max(found)
            return DecodedText(text, encoding, b"", tuple(tried))
    tried.append("utf-8")
    return DecodedText(content.decode("utf-8", "replace"), "utf-8", b"", tuple(tried))


def _valid(content: bytes, encoding: str) -> str | None:
    """Return the text, or None if these bytes are not text in this encoding."""
    try:
        text = content.decode(encoding)
    except UnicodeDecodeError:
        return None
    return None if "\0" in text else text
