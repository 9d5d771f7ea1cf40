"""Check the order of packages: imports lead down, and `docs/architecture.md` lists every module.

Every import statement counts, inside functions and under `TYPE_CHECKING` too.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path

import pytest

PACKAGE = "anomaly_assets"
PROJECT = Path(__file__).parents[1]

FLOORS = (
    {"errors"},
    {
        "buffers",
        "full_disk",
        "garbage",
        "linux",
        "lock_file",
        "signals",
        "streams",
        "version",
        "arguments",
        "notify",
    },
    {"atomic", "drawing", "locations", "polygons", "recipes"},
    {"datasets"},
    {"settings"},
    {"roots", "suggesting"},
    {"tables"},
    {"warehouse"},
    {"catalogue", "curation", "decoding", "splitting"},
    {"reader", "inspection", "near_duplicates"},
    {"evaluation"},
    {"export", "gallery", "previews"},
    {"assets"},
    {"cli"},
    {"definitions"},
)
"""Packages and modules directly below `anomaly_assets`, lowest first; equals do not import each other."""

DOORS = {"excerpt", "forget", "ingest", "reference", "samples"}
"""Packages that keep an old name of `python -m`; nothing imports them, so they may import anything."""

TYPING_ONLY = {
    f"anomaly_assets.reader.{name}" for name in ("samples", "torch", "loader", "workers")
}
"""The only import cycle: `to_torch` and `to_loader` return objects whose argument is typed as `Samples`."""

Imports = Mapping[str, Mapping[str, int]]
"""Module to the modules of the package that it imports, each with the line of the import."""


@cache
def modules() -> Mapping[str, Path]:
    found = {}
    for path in sorted((PROJECT / PACKAGE).rglob("*.py")):
        parts = path.relative_to(PROJECT).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


@cache
def imports() -> Imports:
    return {module: dict(imported_by(module, path)) for module, path in modules().items()}


def imported_by(module: str, path: Path) -> Iterator[tuple[str, int]]:
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield from ((name, node.lineno) for name in [alias.name] if is_ours(name))
        elif isinstance(node, ast.ImportFrom):
            source = _source(module, path, node)
            if is_ours(source):
                for alias in node.names:
                    submodule = f"{source}.{alias.name}"
                    yield (submodule if submodule in modules() else source), node.lineno


def _source(module: str, path: Path, node: ast.ImportFrom) -> str:
    if not node.level:
        return node.module or ""
    above = module.split(".")
    above = above[: len(above) - node.level + (path.name == "__init__.py")]
    return ".".join([*above, *filter(None, [node.module])])


def is_ours(module: str) -> bool:
    return module.partition(".")[0] == PACKAGE


def top(module: str) -> str:
    """Name the package or module directly below `anomaly_assets`; empty for that itself."""
    return f"{module}.".split(".")[1]


def is_door(module: str) -> bool:
    return module == PACKAGE or module.endswith(".__main__") or top(module) in DOORS


def floor(module: str) -> int:
    [found] = [number for number, names in enumerate(FLOORS) if top(module) in names]
    return found


def arrows_up(imports: Imports) -> list[str]:
    return [
        f"{module}, line {line}, imports {other}"
        for module, others in imports.items()
        for other, line in others.items()
        if not is_door(module) and top(module) != top(other)
        if is_door(other) or floor(other) >= floor(module)
    ]


def circles(imports: Imports) -> list[set[str]]:
    """List the sets of modules that can all be reached from each other, by Tarjan's algorithm."""
    number: dict[str, int] = {}
    lowest: dict[str, int] = {}
    stack: list[str] = []
    found: list[set[str]] = []

    def visit(module: str) -> None:
        number[module] = lowest[module] = len(number)
        stack.append(module)
        for other in imports.get(module, {}):
            if other not in number:
                visit(other)
            if other in stack:
                lowest[module] = min(lowest[module], lowest[other])
        if lowest[module] == number[module]:
            circle: set[str] = set()
            while not circle or module not in circle:
                circle.add(stack.pop())
            if len(circle) > 1:
                found.append(circle)

    for module in imports:
        if module not in number:
            visit(module)
    return found


def test_every_package_and_module_is_on_one_floor_or_a_door() -> None:
    found = {top(module) for module in modules()} - {"", "__main__"}
    named = [name for names in FLOORS for name in names]
    assert len(named) == len(set(named))
    assert found - DOORS <= set(named)


@pytest.mark.slow
def test_imports_lead_to_lower_floors_only() -> None:
    assert len(imports()) > 100
    assert arrows_up(imports()) == []


def test_no_modules_import_each_other_but_three_for_the_sake_of_types() -> None:
    assert circles(imports()) == [TYPING_ONLY]


@pytest.mark.parametrize(
    ("module", "other"),
    [
        ("anomaly_assets.settings", "anomaly_assets.warehouse.base"),
        ("anomaly_assets.decoding.build", "anomaly_assets.catalogue.listing"),
        ("anomaly_assets.reader.open", "anomaly_assets"),
        ("anomaly_assets.tables.ddl", "anomaly_assets.export.__main__"),
    ],
)
def test_an_import_of_a_higher_or_equal_floor_or_of_a_door_is_found(
    module: str, other: str
) -> None:
    assert arrows_up({module: {other: 7}}) == [f"{module}, line 7, imports {other}"]


def test_imports_inside_functions_and_for_types_and_relative_ones_are_found(
    tmp_path: Path,
) -> None:
    source = tmp_path / "query.py"
    source.write_text(
        "from typing import TYPE_CHECKING\n"
        "if TYPE_CHECKING:\n"
        "    from anomaly_assets.export import parquet\n"
        "def read():\n"
        "    import anomaly_assets.assets.checks as checks\n"
        "    from .. import samples\n"
        "    from ..batch import Batch\n"
        "    import os\n"
    )
    assert sorted(imported_by("anomaly_assets.reader.pixels.query", source)) == [
        ("anomaly_assets.assets.checks", 5),
        ("anomaly_assets.export.parquet", 3),
        ("anomaly_assets.reader.batch", 7),
        ("anomaly_assets.reader.samples", 6),
    ]


def test_circles_are_found() -> None:
    assert circles({"a": {"b": 1}, "b": {"c": 1}, "c": {"b": 1}, "d": {"a": 1}}) == [{"b", "c"}]


def test_the_page_on_architecture_lists_every_package_and_module_in_the_order_of_floors() -> None:
    rows = _rows_of_the_page()
    existing = {
        f"{name}/" if modules()[f"{PACKAGE}.{name}"].name == "__init__.py" else f"{name}.py"
        for name in {top(module) for module in modules()} - {"", "__main__", *DOORS}
    }
    listed = [name for row in rows for name in row]
    assert sorted(listed) == sorted(existing)
    on_page = [{name.removesuffix("/").removesuffix(".py") for name in row} for row in rows]
    stems = {name.removesuffix("/").removesuffix(".py") for name in existing}
    assert on_page == [names & stems for names in FLOORS if names & stems]


def test_every_file_to_change_exists() -> None:
    files = {name for row in _rows_of_the_page("| to change |", 2) for name in row}
    assert len(files) > 20
    package = PROJECT / PACKAGE
    assert not [name for name in files if not any(package.glob(name.replace("<name>", "*")))]


def test_the_page_for_contributors_lists_the_same_floors() -> None:
    text = (PROJECT / "CONTRIBUTING.md").read_text("utf-8")
    lines = re.findall(r"^\d+\. ([^:\n]*)", text, re.M)
    named = [re.findall(r"`([^`]+)`", line) for line in lines]
    stems = [[re.sub(r"/$|\.py$", "", name) for name in row] for row in _rows_of_the_page()]
    assert named == stems


def test_the_drawing_names_packages_that_exist() -> None:
    drawing = (PROJECT / "docs/architecture.svg").read_text("utf-8")
    labels = re.findall(r'class="package"[^>]*>([^<]*)<', drawing)
    named = {name for label in labels for name in re.findall(r"(\w+)/", label)}
    assert len(named) > 8
    assert all((PROJECT / PACKAGE / name / "__init__.py").is_file() for name in named)


def _rows_of_the_page(header: str = "| package or module |", column: int = 1) -> list[list[str]]:
    """Return the names in backticks of one column of a table."""
    text = (PROJECT / "docs/architecture.md").read_text("utf-8")
    _, _, table = text.partition(header)
    rows = table.partition("\n\n")[0].splitlines()[2:]
    return [re.findall(r"`([^`]+)`", row.split("|")[column]) for row in rows]
