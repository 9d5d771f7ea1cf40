"""Read declarations from TOML files; find all errors at once, each with its file and line.

A file with an error does not prevent the declarations of others from being read, and a table with an
error not those of the other tables.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from difflib import get_close_matches
from functools import cache
from importlib import resources
from pathlib import Path, PurePath
from typing import Any

from anomaly_assets.datasets.declaration import Declaration
from anomaly_assets.datasets.declaration_entries import Entries
from anomaly_assets.datasets.declaration_lines import Lines
from anomaly_assets.datasets.declaration_table import Problem, Table
from anomaly_assets.datasets.licences import (
    COMMERCIAL_USES,
    UNKNOWN_LICENCE,
    commercial_use_of,
)
from anomaly_assets.datasets.source_dataset import name_fault, taken_names
from anomaly_assets.datasets.text import decode_text

if sys.version_info >= (3, 11):
    import tomllib
else:  # pragma: no cover
    import tomli as tomllib

BUILT_IN = (
    *("mvtec_ad", "dagm_2007", "visa", "btad", "mpdd", "kolektor_sdd", "kolektor_sdd2"),
    *("mvtec_loco_ad", "mvtec_ad_2", "real_iad"),
)
"""Names of the built-in declarations; each is a TOML file of this package."""

KEYS = (
    *(
        "title",
        "licence",
        "citation",
        "commercial_use",
        "root",
        "like",
        "category",
        "split",
        "label",
    ),
    *("images", "masks", "tables", "strays", "formats", "unmasked", "words", "depth", "size"),
    *("links", "folders_around", "training_is_good", "counts"),
)

MISPLACED_KEYS: Mapping[str, str] = {
    "attributes": "`attributes` belongs into an entry of `tables`, beside `columns`."
}
"""Keys of other places, each with its problem."""

_OF_THE_DATA = frozenset({"title", "licence", "citation", "commercial_use", "root", "counts"})
"""Keys that describe the data and not the layout: `like` adds them only under the same name."""

_PLACE = re.compile(r"\s*\(at (?:line (\d+), column \d+|end of document)\)")

_TABLE_OF_PROJECT = "a table of this project"


@dataclass(frozen=True, slots=True)
class Found:
    """Result of reading declaration files.

    Attributes:
        declarations: Declarations without an error, in the order of the files.
        problems: Everything that is wrong, in the order of files and lines.
    """

    declarations: tuple[Declaration, ...]
    problems: tuple[Problem, ...]


def read(files: Iterable[str | PurePath]) -> Found:
    """Read the declarations of some TOML files; a file that cannot be read is a problem."""
    texts: dict[str, bytes] = {}
    problems: list[Problem] = []
    for file in files:
        try:
            texts[str(file)] = Path(file).read_bytes()
        except OSError as error:
            reason = error.strerror or str(error)
            problems.append(
                Problem(str(file), None, f"the file cannot be read ({reason}). Correct its path.")
            )
    found = declared(texts)
    return Found(found.declarations, (*problems, *found.problems))


def declared(
    texts: Mapping[str, bytes], built_in: Mapping[str, Mapping[str, Any]] | None = None
) -> Found:
    """Return the declarations in the contents of some TOML files.

    Args:
        texts: Content of each file, by its name for messages; a relative root starts at its folder.
        built_in: Keys of the declarations that `like` can name; those of this package by default.
    """
    known = built_in_keys() if built_in is None else built_in
    declarations: list[Declaration] = []
    problems: list[Problem] = []
    first: dict[str, str] = {}
    for file, content in texts.items():
        lines, tables = _tables(file, content, problems)
        for name, keys in tables.items():
            line = lines.of(name)
            if not isinstance(keys, dict):
                message = (
                    f"`{name}` is outside of a table. Write [name], a name of your own, above it."
                )
                problems.append(Problem(file, line, message))
                continue
            table = Table(name, keys, file, lines)
            place = file if line is None else f"{file}:{line}"
            if (other := first.setdefault(name, place)) != place:
                table.problem(f"[{name}] is declared in {other} as well. Rename one of them.")
            declaration = _declaration(table, known)
            problems += sorted(table.problems, key=lambda problem: problem.line or 0)
            if not table.problems:
                declarations.append(declaration)
    return Found(tuple(declarations), tuple(problems))


@cache
def built_in_keys() -> Mapping[str, Mapping[str, Any]]:
    """Return the keys of the built-in declarations by name."""
    found: dict[str, Mapping[str, Any]] = {}
    for name in BUILT_IN:
        text = resources.files(__package__).joinpath(f"built_in/{name}.toml").read_text("utf-8")
        keys = tomllib.loads(text)[name]
        like = keys.pop("like", None)  # an earlier one
        found[name] = _with_layout(found[like], keys) if like else keys
    return found


def built_in_declaration(name: str) -> Declaration:
    """Return a built-in declaration."""
    keys = built_in_keys()[name]
    return replace(_built(Table(name, keys, f"built_in/{name}.toml", Lines(""))), is_built_in=True)


def _tables(file: str, content: bytes, problems: list[Problem]) -> tuple[Lines, Mapping[str, Any]]:
    """Return the lines and the tables of a file; without a table if it is not TOML."""
    decoded = decode_text(content)
    text = decoded.text.replace("\r\n", "\n")
    if not decoded.is_clean:
        problems.append(Problem(file, None, "the file is not text. Save it as UTF-8."))
        return Lines(""), {}
    try:
        tables = tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        reason = str(error) or "it is nested too deeply"
        at = _PLACE.search(reason)
        line = None if at is None else int(at[1] or text.count("\n") + 1)
        reason = _PLACE.sub("", reason)
        problems.append(Problem(file, line, f"the file is not TOML: {reason}."))
        return Lines(""), {}
    if not tables:
        message = (
            "the file declares nothing. Write a table: [name], a name of your own, and its keys."
        )
        problems.append(Problem(file, None, message))
    return Lines(text), tables


def _declaration(table: Table, built_in: Mapping[str, Mapping[str, Any]]) -> Declaration:
    """Return the declaration of a table with the keys of `like`; what is wrong goes to the table."""
    own = table.keys
    table.unknown_keys(own, KEYS, misplaced=MISPLACED_KEYS)
    _check_name(table, built_in)
    like = own.get("like")
    if like is not None:
        if isinstance(like, str) and like in built_in:
            base = built_in[like]
            table.keys = {**base, **own} if like == table.name else _with_layout(base, own)
        else:
            similar = get_close_matches(str(like), built_in, 1)
            meant = (
                f"Did you mean {similar[0]}?" if similar else f"There are {', '.join(built_in)}."
            )
            table.problem(f'like: "{like}" is not a built-in declaration. {meant}', "like")
            return _built(Table(table.name, table.keys, table.file, table.lines))
    return _built(table)


def _with_layout(base: Mapping[str, Any], own: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return some keys with those of another declaration that describe its layout."""
    return {key: value for key, value in base.items() if key not in _OF_THE_DATA} | dict(own)


def _check_name(table: Table, built_in: Mapping[str, Mapping[str, Any]]) -> None:
    name = table.name
    if name in built_in:
        if table.keys.get("like") != name:
            table.problem(
                f'[{name}] is a built-in dataset. Write like = "{name}" below it to replace some of its '
                "keys, or choose another name."
            )
        return
    if (meaning := taken_names().get(name)) is not None:
        stem = PurePath(table.file).stem
        if "project" not in meaning or name_fault(f"{name}_{stem}"):
            stem = "1"
        what = f"{meaning} and cannot name a schema"
        if meaning == _TABLE_OF_PROJECT:
            what = "the name of an asset of this project"
        table.problem(f"[{name}] is {what}. Call it {name}_{stem}, for example.")
    elif fault := name_fault(name):
        table.problem(f"[{name[:80]}] cannot be the name of a source dataset: {fault}")


def _built(table: Table) -> Declaration:
    """Return the declaration of a table; values with an error are replaced by the default."""
    words = table.words()
    entries = Entries(table, words)
    folder = PurePath(table.file).parent.as_posix()
    category = table.text("category", table.name) or table.name
    licence = table.text("licence", UNKNOWN_LICENCE) or UNKNOWN_LICENCE
    return Declaration(
        name=table.name,
        file=table.file,
        line=table.lines.of(table.name),
        canonical_json=canonical_json(table.keys),
        title=table.text("title", table.name) or table.name,
        licence=licence,
        citation=table.text("citation"),
        commercial_use=table.choice("commercial_use", COMMERCIAL_USES, commercial_use_of(licence)),
        root=table.root("" if folder == "." else folder),
        like=table.text("like"),
        # With placeholders, the key is a value of each pattern of images, and no default is needed.
        category=table.name if "{" in category else category,
        split=table.split(words),
        label=table.label(words),
        images=entries.images,
        masks=entries.masks,
        tables=entries.tables,
        strays=entries.strays,
        formats=table.formats(),
        unmasked=table.choice("unmasked", ("good", "unknown"), "unknown"),
        words=words,
        depth=table.depth(),
        size=table.size(),
        links=table.choice("links", ("inside", "follow"), "inside"),
        folders_around=table.choice("folders_around", (0, 1, 2), 0),
        training_is_good=table.choice("training_is_good", (True, False), False),
        counts=table.counts(),
    )


def canonical_json(keys: Mapping[str, Any]) -> str:
    """Return the keys of a declaration as JSON that is the same for the same keys.

    `root` is not part of it, because a copy elsewhere has the same meaning; `like` is not, because the
    keys that it adds are.
    """
    kept = {key: value for key, value in keys.items() if key not in ("root", "like")}
    return json.dumps(kept, sort_keys=True, ensure_ascii=False, separators=(",", ":"), default=str)
