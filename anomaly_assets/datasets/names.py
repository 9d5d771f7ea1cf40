"""Forms of the name of a file below a root: one for ids and pairs, one for tables, one for messages.

A file is always read by its own spelling, which none of these functions replaces.
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
"""Characters that act on a terminal or a log instead of being seen."""


def canonical_path(path: str) -> str:
    r"""Spell a path below a root as every copy of the dataset does: in NFC, with `/` between folders.

    A Mac decomposes accented letters (NFD), other systems keep them as they were typed. Some Windows tools
    write `\` between folders. It counts as that only in a path without any `/`, because on Linux a
    backslash can be part of a name; and never in an absolute path, which no copy of a dataset has.

    Args:
        path: Relative path; bytes that are not UTF-8 may be in it as surrogates.
    """
    if "\\" in path and "/" not in path and not _ABSOLUTE.match(path):
        path = path.replace("\\", "/")
    return normalized(path)


def normalized(name: str) -> str:
    """Compose the letters of a name with their accents (NFC)."""
    return name if name.isascii() else unicodedata.normalize("NFC", name)


def normalized_forms_of(name: str) -> set[str]:
    """Return what a path or category in a table of the first release can be called now.

    The first release took every spelling for a name of its own, and the bytes of zip members without the
    UTF-8 flag for cp437, although most programs write UTF-8.
    """
    forms = {normalized(name)}
    with suppress(UnicodeError):
        forms.add(normalized(name.encode("cp437").decode("utf-8")))
    return forms


def as_text(path: str) -> str:
    """Return a path as valid Unicode, for tables: bytes that are not UTF-8 become hexadecimal."""
    if path.isascii():  # nearly always, and known without looking at the letters
        return path
    return path.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


def shown(name: object) -> str:
    r"""Return a name as it may stand in a message, a log or on a terminal.

    Control characters, line breaks and characters that turn the direction of a line become `\x1b` or
    `\u202e`; bytes that are not UTF-8 are hexadecimal, as in tables.
    """
    return HIDDEN.sub(_escaped, as_text(str(name)))


def spelled(name: str) -> str:
    r"""Return a name in ASCII, to tell apart two that look alike: `\u00e9` is not `e\u0301`."""
    return "".join(
        letter if letter.isascii() else f"\\u{ord(letter):04x}" for letter in shown(name)
    )


def _escaped(found: re.Match[str]) -> str:
    code = ord(found[0])
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"
