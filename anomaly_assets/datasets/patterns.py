"""Match paths with patterns, in a time that grows linearly with the length of the path.

No regular expression is built from the text of a user, and no search goes back over a path. A pattern has
a fixed number of parts before and after its `**`, so each part of the path is matched by one part of the
pattern. Within a part:

- A part that is one placeholder takes the whole part.
- Else the earlier placeholder takes the shortest text with which the part matches. `_ends` computes from
  right to left, once per part, where each placeholder can end; then the first end is taken from left to
  right.
- A placeholder that already has a text in another part must have the same text. Whole parts decide first,
  then the other parts from left to right; what one part has decided, no later part changes.

Letters of file names and words of labels are compared without their case; folders with it, unless the
listing is repeated ignoring case.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

from anomaly_assets.datasets.pattern_text import Pattern, Token, Wild

Texts = dict[str, str]
"""Text of each placeholder."""


def folded(text: str) -> str:
    """Return a text in lower case, of the same length: a few letters have two in lower case."""
    lower = text.lower()
    if len(lower) == len(text):
        return lower
    return "".join(sign.lower() if len(sign.lower()) == 1 else sign for sign in text)


@dataclass(frozen=True)
class Vocabulary:
    """Words that a placeholder may have, by its name; the words of labels are folded.

    Attributes:
        exact: Words that must have this case, such as those of `{split}`.
        folded: Words in lower case that may have any case, such as those of `{label}`.
    """

    exact: Mapping[str, Collection[str]] = field(default_factory=dict)
    folded: Mapping[str, Collection[str]] = field(default_factory=dict)


class Matcher:
    """A compiled pattern; `folders` are the folders that it names, each with its place.

    Args:
        pattern: Parsed pattern.
        vocabulary: Words of placeholders that cannot have any text.
        ignore_case: Whether folders and words of splits match in any case.
    """

    def __init__(
        self, pattern: Pattern, vocabulary: Vocabulary | None = None, *, ignore_case: bool = False
    ) -> None:
        vocabulary = vocabulary or Vocabulary()
        self.pattern = pattern
        self._ignore_case = ignore_case
        self._exact = {} if ignore_case else dict(vocabulary.exact)
        self._folded = dict(vocabulary.folded)
        if ignore_case:
            self._folded |= {
                name: frozenset(map(folded, words)) for name, words in vocabulary.exact.items()
            }
        parts = pattern.parts
        self.is_open = None in parts
        self.fewest = len(parts) - self.is_open
        self._literals: list[tuple[int, str, bool]] = []
        self.folders: list[tuple[int, str]] = []
        self._wholes: list[tuple[int, str]] = []
        self._others: list[tuple[int, tuple[Token, ...], bool]] = []
        after = False
        for number, part in enumerate(parts):
            if part is None:
                after = True
                continue
            place = number - len(parts) if after else number
            loose = ignore_case or number == len(parts) - 1
            if len(part) == 1 and isinstance(part[0], str):
                self._literals.append((place, folded(part[0]) if loose else part[0], loose))
                if number < len(parts) - 1:
                    self.folders.append((place, part[0]))
            elif len(part) == 1 and isinstance(part[0], Wild) and part[0].name:
                self._wholes.append((place, part[0].name))
            elif len(part) != 1:
                tokens = tuple(
                    folded(token) if loose and isinstance(token, str) else token for token in part
                )
                self._others.append((place, tokens, loose))
        self._limited = self._exact.keys() | self._folded.keys()

    def match(self, parts: Sequence[str]) -> Texts | None:
        """Match the parts of a path; the last one is the file name without its suffix.

        The number of parts is not checked: see `fits`.

        Returns:
            The text of each placeholder, or None if the path does not match.
        """
        for place, text, loose in self._literals:
            if (folded(parts[place]) if loose else parts[place]) != text:
                return None
        texts: Texts = {}
        limited = self._limited
        for place, name in self._wholes:
            text = parts[place]
            if not text or (name in limited and not self._is_word(name, text)):
                return None
            if name in texts and not self._same(texts[name], text):
                return None
            texts.setdefault(name, text)
        for place, tokens, loose in self._others:
            if not self._match_part(parts[place], tokens, loose, texts):
                return None
        return texts

    def respelled(self, parts: Sequence[str]) -> list[str]:
        """Return the parts of a matching path, with folders as the pattern spells them."""
        spelled = list(parts)
        for place, text in self.folders:
            spelled[place] = text
        return spelled

    def fits(self, count: int) -> bool:
        """Return whether a path with this number of parts can match."""
        return count >= self.fewest if self.is_open else count == self.fewest

    def _is_word(self, name: str, text: str) -> bool:
        words = self._exact.get(name)
        return text in words if words is not None else folded(text) in self._folded[name]

    def _same(self, one: str, other: str) -> bool:
        return one == other or (self._ignore_case and folded(one) == folded(other))

    def _match_part(self, part: str, tokens: tuple[Token, ...], loose: bool, texts: Texts) -> bool:
        """Match one part that has text and placeholders, and add the texts of the placeholders."""
        low = folded(part)
        sought = low if loose else part
        start, end = 0, len(part)
        limited = self._limited | texts.keys()
        if isinstance(tokens[0], str):
            if not sought.startswith(tokens[0]):
                return False
            start, tokens = len(tokens[0]), tokens[1:]
        if isinstance(tokens[-1], str):
            if not sought.endswith(tokens[-1]):
                return False
            end, tokens = end - len(tokens[-1]), tokens[:-1]
        if len(tokens) == 1 and isinstance(only := tokens[0], Wild) and only.name not in limited:
            if start + bool(only.name) > end:
                return False
            if only.name:
                texts[only.name] = part[start:end]
            return True
        wilds = [token for token in tokens if isinstance(token, Wild)]
        between = [token for token in tokens if isinstance(token, str)]
        words = [self._words(wild.name, texts) for wild in wilds]
        possible = _ends(sought, part, low, end, between, wilds, words)
        for number, wild in enumerate(wilds):
            stop = _first_end(possible[number], start, part, low, wild, words[number])
            if stop is None:
                return False
            if wild.name:
                texts.setdefault(wild.name, part[start:stop])
            start = stop + (len(between[number]) if number < len(between) else 0)
        return True

    def _words(self, name: str, texts: Texts) -> tuple[Collection[str], bool] | None:
        """Return the texts that a placeholder can have and whether they are folded; None for any text."""
        if name in texts:
            text = texts[name]
            return ((folded(text),), True) if self._ignore_case else ((text,), False)
        if name in self._exact:
            return self._exact[name], False
        return (self._folded[name], True) if name in self._folded else None


_Words = tuple[Collection[str], bool] | None


def _ends(
    sought: str,
    part: str,
    low: str,
    end: int,
    between: Sequence[str],
    wilds: Sequence[Wild],
    words: Sequence[_Words],
) -> list[list[int]]:
    """Return for each placeholder the ends after which the rest of the part matches, ascending.

    Args:
        sought: The part as texts are compared with it.
        part: The part as written.
        low: The part in lower case.
        end: Where the last placeholder must end.
        between: Texts between the placeholders.
        wilds: Placeholders.
        words: Allowed texts of each placeholder.
    """
    possible = [[end]]
    for number in range(len(wilds) - 1, 0, -1):
        text = between[number - 1]
        after = possible[0]
        here = []
        # `rfind` below the limit finds occurrences from right to left, overlapping ones too.
        at = sought.rfind(text, 0, end)
        while at >= 0:
            start = at + len(text)
            if _first_end(after, start, part, low, wilds[number], words[number]) is not None:
                here.append(at)
            at = sought.rfind(text, 0, at + len(text) - 1)
        possible.insert(0, here[::-1])
    return possible


def _first_end(
    ends: Sequence[int], start: int, part: str, low: str, wild: Wild, words: _Words
) -> int | None:
    """Return the first of some ascending ends at which a placeholder that starts here can end."""
    if words is None:
        place = bisect_left(ends, start + 1 if wild.name else start)
        return ends[place] if place < len(ends) else None
    allowed, is_folded = words
    text = low if is_folded else part
    found = [
        start + len(word)
        for word in allowed
        if text.startswith(word, start) and _has(ends, start + len(word))
    ]
    return min(found, default=None)


def _has(ends: Sequence[int], end: int) -> bool:
    place = bisect_left(ends, end)
    return place < len(ends) and ends[place] == end
