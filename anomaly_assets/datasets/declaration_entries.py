"""Read the lists of patterns of a declared table, and collect what is wrong with them."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

from anomaly_assets.datasets.attributes import NAME, TYPES, Attribute
from anomaly_assets.datasets.declaration import (
    ImageEntry,
    MaskEntry,
    StrayEntry,
    TableEntry,
    Words,
)
from anomaly_assets.datasets.declaration_table import Table
from anomaly_assets.datasets.names import normalized
from anomaly_assets.datasets.pattern_text import (
    PLACEHOLDERS,
    Pattern,
    Template,
    parsed,
    template,
    used_once,
)
from anomaly_assets.datasets.patterns import folded

_VALUES = ("category", "split", "label", "defect_type")
_OPTIONS = {
    "images": (),
    "masks": ("defect", "read", "shapes"),
    "tables": ("read", "columns", "match", "rows", "attributes"),
    "strays": ("reason",),
}
COLUMNS = ("image", "category", "split", "label", "defect_type", "mask")
_READS = ("csv", "json", "coco", "dagm_labels")
_COLOUR = re.compile(r"#[0-9a-f]{6}", re.IGNORECASE)
REASON = re.compile(r"[a-z][a-z0-9_]*")


class Entries:
    """Patterns of a table by kind; problems go to the table.

    Attributes:
        images: Patterns of images. All four lists have the order in which they are written.
        masks: Patterns of masks.
        tables: Patterns of tables.
        strays: Patterns of known files that are not read.
    """

    def __init__(self, table: Table, words: Words) -> None:
        self._table = table
        self._words = words
        self._used: Counter[str] = Counter()
        self._patterns: list[tuple[str, Pattern]] = []
        self._is_complete = True
        self._category = self._category_of_table()
        self.images = tuple(ImageEntry(**values) for _, values in self._read("images"))
        self.masks = tuple(
            MaskEntry(**values, **self._mask_options(entry, values["pattern"]))
            for entry, values in self._read("masks")
        )
        self.tables = tuple(
            TableEntry(**values, **self._table_options(entry, values["pattern"]))
            for entry, values in self._read("tables")
        )
        self.strays = tuple(
            StrayEntry(**values, reason=self._reason(entry, values["pattern"]))
            for entry, values in self._read("strays")
        )
        if not table.keys.get("images"):
            table.problem(
                "images is missing: write at least one pattern, such as "
                'images = ["{category}/{split}/{label}/{name}"].',
                "images",
            )
        if self._is_complete:  # else a placeholder of a pattern with an error is missing
            self._check_free_placeholders()

    def _category_of_table(self) -> Template | None:
        """Return the key `category` if it has placeholders, which the pattern of each image must have."""
        value = self._table.keys.get("category")
        if not isinstance(value, str) or not set(value) & set("{}"):
            return None
        return self._template(value, "category", value)

    def _read(self, kind: str) -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
        """Yield the keys of each entry, and the values that all kinds of entries have."""
        listed = self._table.keys.get(kind, [])
        if not isinstance(listed, list):
            self._table.problem(f'{kind}: expected a list of patterns, such as ["{{name}}"].', kind)
            listed = []
        for entry in listed:
            keys = {"path": entry} if isinstance(entry, str) else entry
            if not isinstance(keys, dict) or not isinstance(keys.get("path"), str):
                self._table.problem(
                    f'{kind}: expected a pattern, or {{ path = "a pattern", .. }}.', kind
                )
                self._is_complete = False
                continue
            self._table.unknown_keys(keys, ("path", *_VALUES, *_OPTIONS[kind]), kind)
            pattern, errors = parsed(keys["path"])
            for error in errors:
                about = f"{kind}: {error}" if error.startswith("path ") else error
                self._problem(about, kind, keys["path"])
            if pattern is None:
                self._is_complete = False
                continue
            self._patterns.append((kind, pattern))
            self._used.update(pattern.occurrences)
            yield keys, {"pattern": pattern, **self._values(kind, keys, pattern)}

    def _values(self, kind: str, keys: dict[str, Any], pattern: Pattern) -> dict[str, Any]:
        """Return category, split, label and defect type of an entry, as far as it gives them."""
        values: dict[str, Any] = {}
        for key in _VALUES:
            if key not in keys:
                continue
            text = keys[key]
            if not isinstance(text, str) or not text.strip():
                self._problem(f"{kind}: {key} must be text.", kind, pattern.text)
            elif key in pattern.fields:
                self._problem(
                    f"{kind}: {key} is given by {{{key}}} and by a value. Remove one of them.",
                    kind,
                    pattern.text,
                )
            elif key in ("category", "defect_type"):
                values[key] = self._template(text, kind, pattern.text, pattern)
            elif key == "split":
                values[key] = self._word(self._words.split_of, text, text, kind, key, pattern)
            else:
                values[key] = self._word(
                    self._words.label_of, folded(text), text, kind, key, pattern
                )
        if values.get("label") == "good" and "defect_type" in values:
            self._problem(f"{kind}: an image that is good has no defect_type.", kind, pattern.text)
        if self._category and not {"category"} & {*values, *pattern.fields}:
            missing = set(self._category.fields) - set(pattern.fields)
            if not missing:
                values["category"] = self._category
            elif kind == "images":
                self._problem(
                    f'category: {{{min(missing)}}} is not in the pattern "{pattern.text}".',
                    kind,
                    pattern.text,
                )
        return values

    def _template(
        self, text: str, kind: str, needle: str, pattern: Pattern | None = None
    ) -> Template | None:
        value = template(text)
        if value is None:
            self._problem(f'"{text}": a brace belongs to no placeholder.', kind, needle)
            return None
        for name in value.fields:
            if pattern and name not in pattern.fields:
                self._problem(f'"{text}": {{{name}}} is not in "{pattern.text}".', kind, needle)
        self._used.update(value.fields)
        return value

    def _word(
        self, meaning: Any, word: str, text: str, kind: str, key: str, pattern: Pattern
    ) -> object:
        found = meaning.get(normalized(word))
        if found is None:
            known = ", ".join(sorted(set(meaning)))
            self._problem(
                f'{kind}: "{text}" is no word for a {key}. Words are {known}; more can be added in words.',
                kind,
                pattern.text,
            )
        return found

    def _mask_options(self, keys: dict[str, Any], pattern: Pattern) -> dict[str, Any]:
        options: dict[str, Any] = {"read": keys.get("read", "picture")}
        self._one_of(options, "read", ("picture", "labelme"), "masks", pattern)
        defect = keys.get("defect", "nonzero")
        if defect not in ("nonzero", "zero") and not _are_values(defect):
            self._problem(
                'masks: defect is "nonzero", "zero", numbers such as [1, 3], or colours such as '
                '["#ff0000"].',
                "masks",
                pattern.text,
            )
            defect = "nonzero"
        options["defect"] = tuple(defect) if isinstance(defect, list) else defect
        shapes = keys.get("shapes", [])
        if not isinstance(shapes, list) or not all(isinstance(each, str) for each in shapes):
            self._problem("masks: shapes is a list of labels.", "masks", pattern.text)
            shapes = []
        if shapes and options["read"] != "labelme":
            self._problem('masks: shapes needs read = "labelme".', "masks", pattern.text)
        options["shapes"] = tuple(map(normalized, shapes))
        return options

    def _table_options(self, keys: dict[str, Any], pattern: Pattern) -> dict[str, Any]:
        default = "json" if pattern.suffix == ".json" else "csv"
        options: dict[str, Any] = {
            "read": keys.get("read", default),
            "match": keys.get("match", "path"),
            "rows": keys.get("rows", "list"),
        }
        self._one_of(options, "read", _READS, "tables", pattern)
        self._one_of(options, "match", ("path", "name"), "tables", pattern)
        self._one_of(options, "rows", ("list", "split"), "tables", pattern)
        columns = keys.get("columns", {})
        if not isinstance(columns, dict) or not all(
            isinstance(each, str) and each for each in columns.values()
        ):
            self._problem(
                'tables: columns is { image = "name of a column", .. }.', "tables", pattern.text
            )
            columns = {}
        elif options["read"] in ("csv", "json") and "image" not in columns:
            self._problem(
                "tables: columns needs image, the column with the path of the image, such as "
                'columns = { image = "file" }.',
                "tables",
                pattern.text,
            )
        self._table.unknown_keys(columns, COLUMNS, "tables")
        options["columns"] = {key: columns[key] for key in COLUMNS if key in columns}
        options["attributes"] = self._attributes(keys, options["read"], pattern)
        return options

    def _attributes(
        self, keys: dict[str, Any], read: str, pattern: Pattern
    ) -> dict[str, Attribute]:
        """Return the attributes that a table gives, by name."""
        declared = keys.get("attributes", {})
        if not isinstance(declared, dict):
            self._problem(
                'tables: attributes is { name = "a column", .. }.', "tables", pattern.text
            )
            return {}
        if declared and read not in ("csv", "json"):
            self._problem(
                f'tables: attributes need read = "csv" or "json", and not "{read}".',
                "tables",
                pattern.text,
            )
        found = {}
        for name, value in declared.items():
            given = {"column": value} if isinstance(value, str) else value
            if not NAME.fullmatch(name):
                self._problem(
                    f'tables: attribute "{name}": a name has lower-case letters, digits and underscores, '
                    "such as camera.",
                    "tables",
                    pattern.text,
                )
            elif (
                not isinstance(given, dict)
                or not isinstance(given.get("column"), str)
                or given.get("type", "text") not in TYPES
                or not given.keys() <= {"column", "type"}
            ):
                self._problem(
                    f'tables: attribute {name} is a column, or {{ column = "a column", type = "text" }}; '
                    f"types are {', '.join(TYPES)}.",
                    "tables",
                    pattern.text,
                )
            else:
                found[name] = Attribute(given["column"], given.get("type", "text"))
        return found

    def _reason(self, keys: dict[str, Any], pattern: Pattern) -> str:
        reason = keys.get("reason", "not_needed")
        if not isinstance(reason, str) or not REASON.fullmatch(reason):
            self._problem(
                "strays: reason is lower-case words joined by underscores, such as not_needed.",
                "strays",
                pattern.text,
            )
            return "not_needed"
        return reason

    def _one_of(
        self,
        options: dict[str, Any],
        key: str,
        choices: Sequence[str],
        kind: str,
        pattern: Pattern,
    ) -> None:
        if options[key] not in choices:
            self._problem(f"{kind}: {key} is one of {', '.join(choices)}.", kind, pattern.text)
            options[key] = choices[0]

    def _check_free_placeholders(self) -> None:
        for kind, pattern in self._patterns:
            for name in pattern.fields:
                if name not in PLACEHOLDERS and self._used[name] < 2:
                    self._problem(
                        f"[{self._table.name}] {kind}: {used_once(name)}", kind, pattern.text
                    )

    def _problem(self, message: str, kind: str, needle: str) -> None:
        self._table.problem(message, kind, needle=needle)


def _are_values(value: object) -> bool:
    if not isinstance(value, list) or not value:
        return False
    numbers = all(type(each) is int and 0 <= each <= 65535 for each in value)
    return numbers or all(isinstance(each, str) and _COLOUR.fullmatch(each) for each in value)
