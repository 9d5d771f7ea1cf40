"""Convert file names below a root to their forms for ids and pairs, tables, and messages.

A file is always opened by its original name, which none of these functions replaces.
"""

from __future__ import annotations

import re
import unicodedata
from contextlib import suppress

_ABSOLUTE = re.compile(r"\\|[A-Za-z]:\\")

HIDDEN = re.compile(
    "[\x00-\x1f\x7f-\x9f"  # ESC begins a command of the terminal, a newline a log line of its own
    "\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069"  # turn the direction of what follows
    "\u2028\u2029\ufeff]"
)
"""Characters that control a terminal or a log and are not visible themselves."""


def canonical_path(path: str) -> str:
    r"""Return the spelling of a path that is the same in every copy: NFC, with `/` between folders.

    macOS decomposes accented letters (NFD); other systems keep them as typed. Some Windows tools write
    `\` between folders. A backslash is replaced only in a path without any `/`, because on Linux it can be
    part of a name. It is never replaced in an absolute path, because no copy of a dataset has one.

    Args:
        path: Relative path; bytes that are not UTF-8 are surrogates.
    """
    if "\\" in path and "/" not in path and not _ABSOLUTE.match(path):
        path = path.replace("\\", "/")
    return normalized(path)


def normalized(name: str) -> str:
    """Return a name with composed accented letters (NFC)."""
    return name if name.isascii() else unicodedata.normalize("NFC", name)


def normalized_forms_of(name: str) -> set[str]:
    """Return the names that a path or category from a table of the first release can have now.

    The first release kept every spelling, and decoded the bytes of zip members without the UTF-8 flag
    as cp437, although most programs write UTF-8.
    """
    forms = {normalized(name)}
    with suppress(UnicodeError):
        forms.add(normalized(name.encode("cp437").decode("utf-8")))
    return forms


def as_text(path: str) -> str:
    """Return a path as valid Unicode, for tables: bytes that are not UTF-8 become hexadecimal."""
    if path.isascii():  # nearly always true, and constant time
        return path
    return path.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


def shown(name: object) -> str:
    r"""Return a name that is safe in a message, a log or a terminal.

    Control characters, line breaks and characters that change the text direction become `\x1b` or
    `\u202e`; bytes that are not UTF-8 become hexadecimal, as in tables.
    """
    return HIDDEN.sub(_escaped, as_text(str(name)))


def counted(count: int, noun: str) -> str:
    """Return a number with its noun, such as `1 image` or `2 images`."""
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"


def spelled(name: str) -> str:
    r"""Return a name in ASCII, so that similar names differ visibly: `\u00e9` is not `e\u0301`."""
    return "".join(
        letter if letter.isascii() else f"\\u{ord(letter):04x}" for letter in shown(name)
    )


def _escaped(found: re.Match[str]) -> str:
    code = ord(found[0])
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"
