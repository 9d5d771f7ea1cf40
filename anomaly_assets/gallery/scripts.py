"""Write data as classic scripts, which a page opened from the disk can load.

A page from `file://` can neither fetch a file nor import a module. A script element works there: each data
file calls one function of the page with its data.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator
from typing import Any


def digest_of(value: Any) -> str:
    """Return the first 16 hexadecimal digits of the SHA-256 of a value of JSON."""
    return hashlib.sha256(as_json(value).encode()).hexdigest()[:16]


def as_json(value: Any) -> str:
    """Return compact JSON in ASCII: the character set of a file on the disk is not declared.

    Raises:
        ValueError: A number is not finite, which JSON cannot hold.
    """
    return json.dumps(value, separators=(",", ":"), allow_nan=False)


def call(function: str, *arguments: Any) -> bytes:
    """Return a script that calls a function of the page, such as `gallery.tiles`, with values of JSON."""
    return f"gallery.{function}({','.join(map(as_json, arguments))});\n".encode("ascii")


def call_with_text(function: str, name: str, text: Iterable[str]) -> Iterator[bytes]:
    """Yield a script that calls a function of the page with a name and a long JSON text, which has pieces.

    A browser parses JSON in a string several times as fast as a literal object. The quotes are single ones,
    because most characters to escape would be double ones.
    """
    yield f"gallery.{function}({as_json(name)},'".encode("ascii")
    for piece in text:
        yield piece.replace("\\", "\\\\").replace("'", "\\'").encode("ascii")
    yield b"');\n"
