"""Parse the text of a path pattern into parts, and find everything that is wrong with it.

A pattern is matched against a path part by part. In a part, text stands for itself, `*` is any text, and
`{word}` is a placeholder. A part `**` is any number of whole parts.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cached_property
from typing import TypeAlias

from anomaly_assets.datasets.names import normalized

PLACEHOLDERS = ("name", "category", "split", "label", "defect_type")
"""Placeholders with a meaning; all others are free."""

MANY_PARTS = "**"

ANY_SUFFIX = ".*"

ANY = "*"

_TOKEN = re.compile(r"\{[^{}]*\}|\*+|[{}]|[^{}*]+")
_FIELD = re.compile(r"\{([a-z_][a-z0-9_]*)\}")
_ABSOLUTE = re.compile(r"[A-Za-z]:[/\\]|[/\\]|[A-Za-z][A-Za-z0-9+.-]+://")


@dataclass(frozen=True, slots=True)
class Wild:
    """Any text within a part: that of a placeholder, or of `*` if `name` is empty."""

    name: str = ""


Token: TypeAlias = str | Wild
"""Text of a pattern, or what matches any text; two texts or two wild tokens never follow each other."""


@dataclass(frozen=True)
class Pattern:
    """A parsed pattern.

    Attributes:
        text: The pattern as written.
        parts: Tokens of each part; None for the part `**`. The last part is without `suffix`.
        suffix: Suffix of the file in lower case with its dot, if the pattern names one; `.*` is any suffix.
    """

    text: str
    parts: tuple[tuple[Token, ...] | None, ...]
    suffix: str | None

    @cached_property
    def fields(self) -> tuple[str, ...]:
        """Return the names of the placeholders, each once, in the order of the pattern."""
        return tuple(dict.fromkeys(self.occurrences))

    @cached_property
    def occurrences(self) -> tuple[str, ...]:
        """Return the names of all placeholders, in the order of the pattern."""
        return tuple(
            token.name
            for part in self.parts
            for token in part or ()
            if isinstance(token, Wild) and token.name
        )

    @cached_property
    def has_star(self) -> bool:
        """Return whether a part matches text that no placeholder names."""
        return any(
            isinstance(token, Wild) and not token.name
            for part in self.parts
            for token in part or ()
        )


def parsed(text: str) -> tuple[Pattern | None, list[str]]:
    """Parse a pattern.

    Returns:
        The pattern, or None if it has errors; and the error messages.
    """
    text = normalized(text)
    if _ABSOLUTE.match(text) or ".." in text.split("/"):
        return None, [f'path "{text}" leaves the root.']
    errors: list[str] = []
    *folders, name = text.split("/")
    suffix = None
    stem, _, ending = name.rpartition(".")
    # A name that begins with its only dot has no suffix: such a file is hidden, and junk.
    if stem and ending and (ending == ANY or not set(ending) & set("{}*")):
        name, suffix = stem, f".{ending.lower()}"
    parts = tuple(_tokens(part, text, errors) for part in (*folders, name))
    if sum(part is None for part in parts) > 1:
        errors.append(f'"{text}": ** may be used once in a pattern.')
    return (None, errors) if errors else (Pattern(text, parts, suffix), [])


def _tokens(part: str, pattern: str, errors: list[str]) -> tuple[Token, ...] | None:
    """Return the tokens of a part, and append what is wrong with it."""
    if part == MANY_PARTS:
        return None
    if part in ("", "."):
        errors.append(
            f'"{pattern}": a part is empty. Write folders and the file name with one / between.'
        )
    tokens: list[Token] = []
    for found in _TOKEN.findall(part):
        field = _FIELD.fullmatch(found)
        if found[0] in "{}" and not field:
            errors.append(
                f'"{pattern}": {found} is not a placeholder. Its name has lower-case letters, digits and '
                "underscores, between { and }."
            )
        elif field or found == ANY:
            if tokens and isinstance(tokens[-1], Wild):
                errors.append(f'"{pattern}": two placeholders need text between them.')
            tokens.append(Wild(field[1] if field else ""))
        elif found[0] == ANY:
            errors.append(f'"{pattern}": ** is a part of its own, such as {{label}}/**/{{name}}.')
        else:
            tokens.append(found)
    named = [token.name for token in tokens if isinstance(token, Wild) and token.name]
    for name in dict.fromkeys(name for name in named if named.count(name) > 1):
        errors.append(
            f'"{pattern}": {{{name}}} occurs twice in one part. Use it once in each part.'
        )
    return tuple(tokens)


def used_once(name: str) -> str:
    """Return the error about a free placeholder that is used once."""
    similar = get_close_matches(name, PLACEHOLDERS, 1)
    if similar:
        return (
            f"unknown placeholder {{{name}}}. Did you mean {{{similar[0]}}}? "
            "A free one must be used twice."
        )
    return (
        f"placeholder {{{name}}} is used once. A free one must be used again, in another pattern or in a "
        "value. Write * for text without a meaning."
    )


@dataclass(frozen=True)
class Template:
    """A value with placeholders, such as `{site}/{product}`: an even index is text, an odd one a name."""

    pieces: tuple[str, ...]

    @property
    def fields(self) -> tuple[str, ...]:
        """Return the names of the placeholders."""
        return self.pieces[1::2]

    @property
    def text(self) -> str:
        """Return the value as written."""
        return "".join(
            f"{{{piece}}}" if number % 2 else piece for number, piece in enumerate(self.pieces)
        )

    def filled(self, texts: dict[str, str]) -> str:
        """Return the value with the texts of its placeholders."""
        return "".join(
            texts[piece] if number % 2 else piece for number, piece in enumerate(self.pieces)
        )


def template(text: str) -> Template | None:
    """Return a value with placeholders; None if it contains a brace that belongs to no placeholder."""
    found = Template(tuple(_FIELD.split(normalized(text))))
    return None if any(set(piece) & set("{}") for piece in found.pieces[::2]) else found
