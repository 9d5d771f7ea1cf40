"""Join newcomers to assigned units, and to each other, along ties; the closest tie is followed first."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise

from anomaly_assets.splitting.contents import (
    GROUP,
    LEFT_OUT,
    NEAR_DUPLICATE,
    SAME_FILE,
    SOURCE,
    Image,
    Line,
    NearDuplicate,
)

_CLOSEST_FIRST = (GROUP, NEAR_DUPLICATE, SAME_FILE)


@dataclass(frozen=True, order=True)
class _Tie:
    rank: int
    distance: float
    content: str
    other: str

    @property
    def reason(self) -> str:
        return _CLOSEST_FIRST[self.rank]


def closest_first(
    of_content: Mapping[str, list[Image]], ties: Ties, near_duplicates: Iterable[NearDuplicate]
) -> list[_Tie]:
    """Return the ties of newcomers, in the order in which they are followed."""
    found = [
        *_ties_of(GROUP, ties, _members(of_content, ties, "group")),
        *_ties_of(SAME_FILE, ties, _members(of_content, ties, "image_id")),
    ]
    for pair in near_duplicates:
        first, second = sorted((pair.content, pair.other))
        known = first in ties and second in ties
        if known and first != second and not (ties.is_frozen(first) and ties.is_frozen(second)):
            found.append(_Tie(_CLOSEST_FIRST.index(NEAR_DUPLICATE), pair.distance, first, second))
    return sorted(found)


def _members(
    of_content: Mapping[str, list[Image]], ties: Ties, column: str
) -> Mapping[str, set[str]]:
    """Return the contents of each group, or of each name of a file, of lines and of existing images."""
    members: dict[str, set[str]] = defaultdict(set)
    for content, line in ties.frozen.items():
        members[getattr(line, column)].add(content)
    for content, images in of_content.items():
        for image in images:
            members[getattr(image, column)].add(content)
    members.pop("", None)
    return members


def _ties_of(reason: str, ties: Ties, members: Mapping[str, set[str]]) -> Iterator[_Tie]:
    """Yield ties of the newcomers of each set to each other, and to each assigned unit of the set."""
    rank = _CLOSEST_FIRST.index(reason)
    for contents in members.values():
        newcomers = sorted(content for content in contents if not ties.is_frozen(content))
        if not newcomers:
            continue
        for first, second in pairwise(newcomers):
            yield _Tie(rank, 0.0, first, second)
        frozen: dict[str, str] = {}  # one content of each unit
        for content in sorted(contents - {*newcomers}):
            frozen.setdefault(ties.node(content), content)
        for content in frozen.values():
            yield _Tie(rank, 0.0, newcomers[0], content)


class Ties:
    """Disjoint sets of newcomers, each with at most one assigned unit.

    Args:
        frozen: Lines of assigned contents.
        newcomers: Contents without a line.
    """

    def __init__(self, frozen: Mapping[str, Line], newcomers: Iterable[str]) -> None:
        self.frozen = frozen
        self._parents = {content: content for content in sorted(newcomers)}
        self._joined: dict[str, tuple[Line, str]] = {}

    def __contains__(self, content: str) -> bool:
        return content in self._parents or content in self.frozen

    def is_frozen(self, content: str) -> bool:
        """Return True if a content has a line."""
        return content in self.frozen

    def node(self, content: str) -> str:
        """Return what is the same for contents of one unit and fold."""
        line = self.frozen[content]
        return f"{line.fold} {line.unit}"

    def follow(self, ties: Iterable[_Tie]) -> None:
        """Join sets along ties; one that would join two folds is not followed."""
        for tie in ties:
            self._follow(tie)

    def _follow(self, tie: _Tie) -> None:
        pair = tie.content, tie.other
        newcomer, other = pair if not self.is_frozen(tie.content) else pair[::-1]
        root = self._root(newcomer)
        if self.is_frozen(other):
            line = self.frozen[other]
            if line.decided_by != SOURCE and line.fold != LEFT_OUT:
                self._joined.setdefault(root, (line, tie.reason))
            return
        second = self._root(other)
        if root == second:
            return
        ours, theirs = self._joined.get(root), self._joined.get(second)
        if ours and theirs:
            return
        kept, merged = sorted((root, second))
        self._parents[merged] = kept
        if held := ours or theirs:
            self._joined[kept] = held

    def joined(self, content: str) -> tuple[Line | None, str]:
        """Return the line whose unit a newcomer joins, and the reason; None if it joins none."""
        return self._joined.get(self._root(content), (None, ""))

    def units(self) -> list[list[str]]:
        """Return the sets of newcomers; each is sorted."""
        found: dict[str, list[str]] = defaultdict(list)
        for content in self._parents:
            found[self._root(content)].append(content)
        return [*found.values()]

    def _root(self, content: str) -> str:
        root = content
        while (parent := self._parents[root]) != root:
            self._parents[root] = self._parents[parent]
            root = parent
        return root
