"""Read a JSON file value by value, so that a long list never is in memory as a whole.

The standard parser decodes one element of a list after the other, from a buffer that grows while an element
does not end in it. A library for this (ijson) needs no less memory; it would refuse `NaN`, which pandas
writes for an empty cell, and every encoding but UTF-8.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any, NoReturn, TextIO

from anomaly_assets.datasets.names import shown

_CHUNK = 256 * 1024
LONGEST_VALUE = 16 * 1024 * 1024
"""Maximum characters of a value that is decoded at once: an element of a list, or a number or text."""

_SPACE = re.compile(r"[ \t\r\n]*")


class JsonError(ValueError):
    """The text is no JSON, or cannot be decoded within limits; the message has the line."""


class JsonStream:
    """A JSON text, and a position in it, from which each method reads on.

    Args:
        text: The text.
    """

    def __init__(self, text: TextIO) -> None:
        self._source = text
        self._text = ""
        self._at = 0
        self._lines = 1
        self._has_ended = False
        # NaN and the infinities are no values of a table.
        self._decode = json.JSONDecoder(strict=False, parse_constant=lambda _: None).raw_decode

    def next_sign(self) -> str:
        """Return the first character of what comes next; empty at the end of the text."""
        while True:
            found = _SPACE.match(self._text, self._at)
            assert found is not None  # it matches no space at all
            self._at = found.end()
            if self._at < len(self._text):
                return self._text[self._at]
            if self._has_ended:
                return ""
            self._read_more(_CHUNK)

    def value(self) -> Any:
        """Decode the value that comes next.

        Raises:
            JsonError: No value comes next, or the value is too long or too deep.
        """
        self.next_sign()
        while True:
            problem = ("Expecting value", self._at)
            try:
                value, end = self._decode(self._text, self._at)
            except json.JSONDecodeError as error:
                problem = (error.msg, error.pos)
            except RecursionError:
                self._refuse("lists or objects are nested too deeply")
            except ValueError:  # Python's limit for the digits of an integer
                self._refuse("a number has too many digits")
            else:
                # At the end of the buffer, 1 can be the start of 12 or, before e+, of 1e+2.
                if end + 2 < len(self._text) or self._has_ended:
                    self._at = end
                    return value
            if self._has_ended:
                self._at = max(self._at, min(problem[1], len(self._text)))
                self._refuse(problem[0])
            if len(self._text) - self._at > LONGEST_VALUE:
                self._refuse(
                    f"{problem[0]}, in a value of more than {LONGEST_VALUE // 2**20} million characters"
                )
            self._read_more(max(_CHUNK, len(self._text) - self._at))

    def elements(self) -> Iterator[Any]:
        """Yield the elements of the list that comes next."""
        self._expect("[")
        if self.next_sign() == "]":
            self._at += 1
            return
        while True:
            yield self.value()
            if not self._continues("]"):
                return

    def members(self) -> Iterator[str]:
        """Yield the keys of the object that comes next; the caller reads each value before the next key."""
        self._expect("{")
        if self.next_sign() == "}":
            self._at += 1
            return
        while True:
            if self.next_sign() != '"':
                self._refuse("expecting a name in double quotes")
            name = self.value()
            self._expect(":")
            yield name
            if not self._continues("}"):
                return

    def skip(self) -> None:
        """Skip the value that comes next."""
        sign = self.next_sign()
        try:
            if sign == "[":
                for _ in self.elements():
                    pass
            elif sign == "{":
                for _ in self.members():
                    self.skip()
            else:
                self.value()
        except RecursionError:
            self._refuse("lists or objects are nested too deeply")

    def end(self) -> None:
        """Refuse anything but the end of the text."""
        if self.next_sign():
            self._refuse("more follows after the end of the value; JSON Lines are not read")

    def _continues(self, last: str) -> bool:
        sign = self.next_sign()
        if sign != last and sign != ",":
            self._refuse(f"expecting , or {last}")
        self._at += 1
        return sign == ","

    def _expect(self, sign: str) -> None:
        if self.next_sign() != sign:
            self._refuse(f"expecting {sign}")
        self._at += 1

    def _read_more(self, count: int) -> None:
        more = self._source.read(count)
        self._has_ended = not more
        self._lines += self._text.count("\n", 0, self._at)
        self._text = self._text[self._at :] + more
        self._at = 0

    def _refuse(self, problem: str) -> NoReturn:
        line = self._lines + self._text.count("\n", 0, self._at)
        found = self._text[self._at : self._at + 20]
        place = f"before {shown(found)!r}" if found else "at the end of the file"
        raise JsonError(f"line {line}: {problem}, {place}")
