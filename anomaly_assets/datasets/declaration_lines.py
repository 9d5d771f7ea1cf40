"""Find the lines of keys in the text of a TOML file, which Python's parser does not return."""

from __future__ import annotations

import re
from bisect import bisect_right

_TOKEN = re.compile(
    r'"""(?:\\.|[^\\])*?"""|\'\'\'.*?\'\'\''  # strings over several lines
    r'|"(?:\\.|[^"\\\n])*"|\'[^\'\n]*\''
    r"|#[^\n]*|\n|[\[\]{}=.]|[^\s\[\]{}=.\"'#]+|.",
    re.DOTALL,
)


class Lines:
    """Lines of the keys of a TOML file.

    Args:
        text: Content of the file; text that is not TOML gives fewer lines and no error.
    """

    def __init__(self, text: str) -> None:
        self._lines = text.split("\n")
        self._line_of: dict[tuple[str, ...], int] = {}
        header: tuple[str, ...] = ()
        for line, keys, is_header in _statements(text):
            if is_header:
                header = keys
                self._line_of.setdefault(header, line)
            else:
                for count in range(1, len(keys) + 1):
                    self._line_of.setdefault((*header, *keys[:count]), line)
        self._starts = sorted(set(self._line_of.values()))

    def of(self, *keys: str, needle: str | None = None) -> int | None:
        """Return the line (from 1) of a key, or of the longest part of it that has one.

        Args:
            keys: Names of the table and of the keys in it.
            needle: Text of the value; its line is returned if it is found below the key.
        """
        while keys and keys not in self._line_of:
            keys = keys[:-1]
        if not keys:
            return None
        start = self._line_of[keys]
        if needle:
            after = bisect_right(self._starts, start)
            stop = self._starts[after] - 1 if after < len(self._starts) else len(self._lines)
            # Search for the quoted text first: "{name}" alone is also part of "{site}/{name}".
            for sought in (f'"{needle}"', f"'{needle}'", needle):
                for number in range(start, stop + 1):
                    if sought in self._lines[number - 1]:
                        return number
        return start


def _statements(text: str) -> list[tuple[int, tuple[str, ...], bool]]:
    """Return line, keys and whether it is a header, of each header and each key outside of values."""
    found: list[tuple[int, tuple[str, ...], bool]] = []
    line, depth = 1, 0
    keys: list[str] = []
    state = "start"  # then "header", or "key" until its "=", then "value" until the line ends
    for token in _TOKEN.findall(text):
        if token == "\n":
            if depth == 0 or state == "header":
                if state == "header" and keys:
                    found.append((line, tuple(keys), True))
                state, keys, depth = "start", [], 0
            line += 1
            continue
        if state == "value":
            depth += (token in "[{") - (token in "]}")
        elif state == "start" and token == "[":
            state = "header"
        elif token == "=" and keys:
            found.append((line, tuple(keys), False))
            state = "value"
        elif not token.isspace() and token not in "[]." and not token.startswith("#"):
            keys.append(token.strip("\"'"))
            state = "key" if state == "start" else state
        line += token.count("\n")
    if state == "header" and keys:
        found.append((line, tuple(keys), True))
    return found
