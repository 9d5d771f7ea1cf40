"""Read the keys of one declared table, and collect what is wrong with them."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import Any

from anomaly_assets.datasets.declaration import (
    ALL_SPLITS,
    DEFAULT_WORDS,
    SPLITS,
    SUFFIXES,
    UNASSIGNED,
    Counts,
    SplitCounts,
    Words,
)
from anomaly_assets.datasets.declaration_lines import Lines
from anomaly_assets.datasets.names import normalized, shown
from anomaly_assets.datasets.patterns import folded
from anomaly_assets.datasets.words import Label, Split
from anomaly_assets.recipes import Recipe, parse_recipe

_LABELS: tuple[Label, ...] = ("good", "anomalous")

COUNTS = ("total", "category", "images")
"""Keys of `counts`, of which one is given."""

_PASSWORD = re.compile(
    r"://[^/?#]*:[^/?#]*@"  # user:password@host
    r"|://[^/?#@]*:[^/@]*/[^/@]+@"  # the same with a slash in the password
    r"|^(?:[^/\\:@\s]{2,}:(?!//)|[^/\\:@\s]:(?![/\\]))[^@]*@"  # the same without ://, not C:\a@b
    r"|[?&;](?:[\w.-]*(?:pass|pwd|secret|token|signature|credential)[\w.-]*|sig|\w*[_-]?key)=",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class Problem:
    """Something wrong in a declaration.

    Attributes:
        file: The TOML file, as it was given.
        line: Line of the key; None if the line is unknown.
        message: What is wrong and what to do.
        name: Name of the table, if the problem is in one.
    """

    file: str
    line: int | None
    message: str
    name: str | None = None

    def __str__(self) -> str:
        place = shown(self.file) if self.line is None else f"{shown(self.file)}:{self.line}"
        return f"{place}: {shown(self.message)}"


@dataclass
class Table:
    """Keys of a declared table, with those that `like` adds.

    Attributes:
        name: Name of the table.
        keys: Key to value, as the TOML parser returns it.
        file: The TOML file.
        lines: Lines of the file.
        problems: What is wrong; the methods append to it.
    """

    name: str
    keys: Mapping[str, Any]
    file: str
    lines: Lines
    problems: list[Problem] = field(default_factory=list)

    def problem(self, message: str, *keys: str, needle: str | None = None) -> None:
        """Record what is wrong with a key."""
        line = self.lines.of(self.name, *keys, needle=needle)
        self.problems.append(Problem(self.file, line, message, self.name))

    def unknown_keys(
        self,
        found: Iterable[str],
        known: Collection[str],
        *place: str,
        misplaced: Mapping[str, str] | None = None,
    ) -> None:
        """Record keys that do not exist, with the one that was probably meant."""
        misplaced = misplaced or {}
        for key in found:
            if key in misplaced:
                self.problem(misplaced[key], *place, key)
            elif key not in known:
                similar = get_close_matches(key, [*known, *misplaced], 1)
                meant = f" Did you mean `{similar[0]}`?" if similar else ""
                self.problem(f"unknown key `{key}`.{meant}", *place, key, needle=key)

    def text(self, key: str, default: str | None = None) -> str | None:
        """Return a text that is not empty."""
        value = self.keys.get(key)
        if value is None:
            return default
        if not isinstance(value, str) or not value.strip():
            self._expected(key, 'text in quotation marks, such as "a"')
            return default
        return normalized(value)

    def choice(self, key: str, choices: Collection[Any], default: Any) -> Any:
        """Return the value of a key; record a problem if it is not one of `choices`."""
        value = self.keys.get(key, default)
        # True equals 1 in Python, and not in TOML.
        if any(value == each and type(value) is type(each) for each in choices):
            return value
        if value != default:
            self._expected(key, _either(choices))
        return default

    def root(self, folder: str) -> str | None:
        """Return the root; a relative path starts at `folder`, that of the TOML file."""
        root = self.keys.get("root")
        if root is None:
            return None
        if not isinstance(root, str) or not root.strip():
            self._expected("root", 'a folder, an archive or a URL, such as "/data/line4"')
            return None
        if holds_password(root):
            self.problem(
                f"root holds a password. Take it out, and set {self.name.upper()}_ROOT or the store's own "
                "variables instead.",
                "root",
            )
            return None
        is_whole = "://" in root or re.match(r"[~/\\]|[A-Za-z]:[\\/]", root)
        return root if is_whole or not folder else f"{folder.rstrip('/')}/{root}"

    def formats(self) -> tuple[str, ...]:
        """Return the formats that images may have."""
        value = self.keys.get("formats", list(SUFFIXES))
        if (
            not isinstance(value, list)
            or not value
            or not all(name in tuple(SUFFIXES) for name in value)
        ):
            self._expected("formats", f"a list of {', '.join(SUFFIXES)}")
            return tuple(SUFFIXES)
        return tuple(value)

    def depth(self) -> int | None:
        """Return the bits that a 16-bit file uses; None for `file`."""
        value = self.keys.get("depth", "file")
        if value != "file" and (type(value) is not int or not 9 <= value <= 16):
            self._expected("depth", 'a number from 9 to 16, or "file"')
        return value if type(value) is int else None

    def size(self) -> tuple[Recipe, ...]:
        """Return the further recipes of the tensors."""
        value = self.keys.get("size", [])
        texts = [str(each) for each in (value if isinstance(value, list) else [value])]
        if isinstance(value, (bool, dict, float)) or not _are_texts(texts):
            self._expected("size", 'a recipe, such as "512x512x1", or a list of them')
            return ()
        found = []
        for text in texts:
            try:
                found.append(parse_recipe(text))
            except ValueError as error:
                self.problem(f"size: {error}", "size", needle=text)
        return tuple(dict.fromkeys(found))

    def words(self) -> Words:
        """Return the default words with those of the table; a word in two lists is a problem."""
        listed = {kind: set(words) for kind, words in DEFAULT_WORDS.items()}
        value = self.keys.get("words", {})
        if not isinstance(value, dict):
            self._expected("words", "{ good = [..], anomalous = [..], train = [..], .. }")
            value = {}
        self.unknown_keys(value, listed, "words")
        for kind in listed.keys() & value.keys():
            words = value[kind]
            if not _are_texts(words):
                self.problem(f"words.{kind}: expected a list of words.", "words", kind)
                continue
            listed[kind] |= {normalized(word) for word in words}
        label_of: dict[str, Label] = {}
        split_of: dict[str, Split] = {}
        kind_of: dict[str, str] = {}
        for kind, words in listed.items():
            for word in sorted(words):
                other = kind_of.setdefault(folded(word), kind)
                if other != kind:
                    self.problem(
                        f'words: "{word}" means {other} and {kind}. Write it into one list.',
                        "words",
                        needle=word,
                    )
        for label in _LABELS:
            label_of |= dict.fromkeys(map(folded, listed[label]), label)
        for split in SPLITS:
            split_of |= dict.fromkeys(listed[split], split)
        return Words(label_of, split_of)

    def split(self, words: Words) -> Split:
        """Return the default split: for images whose split nothing else defines."""
        value = self.text("split", UNASSIGNED) or UNASSIGNED
        if value == UNASSIGNED:
            return UNASSIGNED
        if value not in words.split_of:
            self._expected("split", f"{UNASSIGNED} or a word for a split, such as train")
        return words.split_of.get(value, UNASSIGNED)

    def label(self, words: Words) -> Label | None:
        """Return the default label: for images whose label nothing else defines; None if there is none."""
        value = self.text("label")
        if value is not None and folded(value) not in words.label_of:
            self._expected("label", "a word for a label, such as good")
        return None if value is None else words.label_of.get(folded(value))

    def counts(self) -> Counts | None:
        """Return the published numbers of images."""
        value = self.keys.get("counts")
        if value is None:
            return None
        if not isinstance(value, dict) or not value or len(value.keys() & set(COUNTS)) > 1:
            self._expected("counts", "one of counts.total, counts.category.NAME and counts.images")
            return None
        self.unknown_keys(value, COUNTS, "counts")
        total, images = value.get("total"), value.get("images")
        by_category = value.get("category", {})
        if not isinstance(by_category, dict):
            by_category = {"": None}
        if images is not None and not _is_count(images):
            self.problem(
                "counts.images: expected a number of images, such as 1200.", "counts", "images"
            )
            images = None
        return Counts(
            None if total is None else self._split_counts(total, "total"),
            {
                normalized(name): self._split_counts(counts, "category", name)
                for name, counts in by_category.items()
            },
            images,
        )

    def _split_counts(self, value: Any, *keys: str) -> SplitCounts:
        is_by_split = isinstance(value, dict) and (
            value.keys() == {ALL_SPLITS} or (value and value.keys() <= {*SPLITS, UNASSIGNED})
        )
        if is_by_split and all(_are_two_counts(pair) for pair in value.values()):
            return {split: (pair[0], pair[1]) for split, pair in value.items()}
        self.problem(
            f"counts.{'.'.join(keys)}: expected numbers of good and of anomalous images by split, such as "
            "{ train = [100, 0], test = [20, 30] }, or of all splits together, { all = [120, 30] }.",
            "counts",
            *keys,
        )
        return {}

    def _expected(self, key: str, what: str) -> None:
        self.problem(f"{key}: expected {what}.", key)


def holds_password(root: str) -> bool:
    """Return whether a URL holds a password or a key."""
    return bool(_PASSWORD.search(root))


def _are_texts(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(each, str) and each.strip() for each in value)


def _are_two_counts(value: object) -> bool:
    return isinstance(value, list) and len(value) == 2 and all(map(_is_count, value))


def _is_count(value: object) -> bool:
    return type(value) is int and value >= 0


def _either(choices: Collection[Any]) -> str:
    return " or ".join(
        str(each).lower() if isinstance(each, (bool, int)) else f'"{each}"' for each in choices
    )
