"""List source datasets, check what a declaration makes of a root, and suggest a declaration."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import unquote, urlsplit

import click

from anomaly_assets.cli.running import (
    FAILED,
    USAGE,
    CommandError,
    UsageError,
    begin_work,
    examples,
    not_empty,
    warn_of_unknown_variables,
)
from anomaly_assets.datasets import DECLARATIONS, SOURCE_DATASETS, Known, SourceDataset
from anomaly_assets.datasets.declaration_files import tomllib
from anomaly_assets.datasets.known import VARIABLE, read_known
from anomaly_assets.datasets.names import shown
from anomaly_assets.locations import is_file
from anomaly_assets.roots.base import RootError
from anomaly_assets.roots.open import open_root, shown_root
from anomaly_assets.settings import Settings, depth_of, follows_links, root_of


@click.group()
def command() -> None:
    """List, check and suggest source datasets."""


@command.command("list", epilog=examples("anomaly-assets datasets list"))
def list_datasets() -> None:
    """List the source datasets with their roots.

    Each line has the name, title, licence and root, or why a run does not refresh the dataset. Built-in
    datasets without a root come last, each with the variable that names one. Errors in TOML files are
    printed with their lines, and the exit code is 2.
    """
    from anomaly_assets.tables.source_datasets import why_kept

    settings = Settings.from_environment()
    warn_of_unknown_variables()
    named = _from_named_roots(settings) if settings.sample_roots else {}
    off = []
    for name, dataset in SOURCE_DATASETS.items():
        reason = why_kept(dataset, settings, named or {})
        is_used = not dataset.declaration.is_built_in or name in settings.empty_roots
        if settings.roots[name] is None and not is_used:
            off.append(dataset)
            continue
        place = _place(dataset, settings, named) if reason is None else f"not refreshed ({reason})"
        print(f"{name}: {_described(dataset)}, {place}")
    if off:
        print("\nBuilt in, and off until their variable names a root:")
        width = max(len(dataset.root_variable) for dataset in off)
        for dataset in off:
            print(f"  {dataset.root_variable.ljust(width)}  {_described(dataset)}")
    if DECLARATIONS.problems:
        sys.stdout.flush()
        for problem in DECLARATIONS.problems:
            print(problem, file=sys.stderr)
        raise click.exceptions.Exit(USAGE)


def _described(dataset: SourceDataset) -> str:
    """Return the title and the licence of a dataset."""
    licence = "licence unknown" if dataset.licence == "unknown" else shown(dataset.licence)
    return f"{shown(dataset.title)}, {licence}"


def _place(
    dataset: SourceDataset, settings: Settings, named: Mapping[str, str | None] | None
) -> str:
    """Return the root that a run lists, and what names it."""
    root, variable = shown_root(settings.roots[dataset.name] or ""), dataset.root_variable
    if not settings.sample_roots:
        return (
            f"{root} ({variable if variable in os.environ else shown(dataset.declaration.place)})"
        )
    if named is None:
        return (
            f"{root} (samples of the repository), unless the warehouse, which cannot be read now, "
            f"holds data from named roots; set {variable}"
        )
    return f"{root} (samples of the repository; set {variable})"


@command.command(
    "check",
    epilog=examples(
        "anomaly-assets datasets check line4.toml",
        "anomaly-assets datasets check line4.toml --name line4 --root /data/line4",
    ),
)
@click.argument("files", nargs=-1, metavar="[FILE]...")
@click.option("--name", "names", multiple=True, help="Only this source dataset; may be repeated.")
@click.option("--root", callback=not_empty, help="Root to use instead of the declared one.")
def check(files: tuple[str, ...], names: tuple[str, ...], root: str | None) -> None:
    """Report what every file of a root becomes, without loading it.

    Reads the TOML files FILE, or those that ANOMALY_DATASETS names. Built-in datasets need --name. The
    content of masks decides about some labels, so up to 200 masks are read, and some images of each suffix.

    The exit code is 1 if a root cannot be listed, or the first run would refuse it or find no usable image,
    and 2 for an error in a TOML file.
    """
    begin_work()
    known = _known(files)
    wanted = _chosen(known, files, names)
    if root is not None and len(wanted) > 1:
        declared = ", ".join(dataset.name for dataset in wanted)
        raise UsageError(f"--root is the root of one dataset: add --name, one of {declared}.")
    for problem in known.problems:
        print(problem, file=sys.stderr)
    failed = False
    for number, dataset in enumerate(wanted):
        print("\n" * bool(number), end="")
        failed |= not _checked(dataset, root or root_of(dataset), is_only=len(wanted) == 1)
    if known.problems or failed:
        raise click.exceptions.Exit(USAGE if known.problems else FAILED)


def _checked(dataset: SourceDataset, location: str | None, *, is_only: bool) -> bool:
    """Print what a declaration makes of a root; returns whether a run would load it."""
    from anomaly_assets.inspection.check import inspect
    from anomaly_assets.inspection.report import report

    if not location:
        sentence = (
            f"{dataset.name} has no root: name one with --root, or set {dataset.root_variable}."
        )
        if is_only:
            raise UsageError(sentence)
        print(sentence)
        return True
    try:
        opened = open_root(location, follow_links=follows_links(dataset))
        found = inspect(dataset, opened, depth=depth_of(dataset))
    except RootError as error:
        if is_only:
            raise
        sys.stdout.flush()
        print(f"error: {dataset.name}: {error}", file=sys.stderr)
        return False
    print(report(found))
    return found.would_load


@command.command(
    "suggest", epilog=examples("anomaly-assets datasets suggest /data/line4 > line4.toml")
)
@click.argument("root", callback=not_empty)
@click.option(
    "--name", callback=not_empty, help="Name of the dataset; by default that of the folder."
)
def suggest_declaration(root: str, name: str | None) -> None:
    """Write a declaration for a folder that has none.

    ROOT is a folder, a zip archive or a URL such as s3://bucket/line4. The declaration goes to
    standard output, with a comment wherever something was guessed. Read these, then run `datasets check`.
    """
    from anomaly_assets.datasets.declaration_table import holds_password
    from anomaly_assets.roots.base import FileUnreadableError
    from anomaly_assets.suggesting.suggest import suggest

    begin_work()
    opened = open_root(root)
    files = {file.canonical_path: file for file in opened.files() if not file.problem}

    def read(path: str) -> bytes:
        file = files[path]
        try:
            return opened.read(file.path, file.version)
        except FileUnreadableError as error:
            raise OSError(str(error)) from error

    listed = [(path, file.size_bytes) for path, file in files.items()]
    address = None if holds_password(root) else _whole(root)
    found = suggest(name or _name_of(root), listed, read, root=address)
    if found.cannot is not None:
        raise CommandError(found.cannot)
    print(found.toml, end="")
    if address is None:
        named = re.search(r"^\[(\w+)\]", found.toml, re.MULTILINE)
        variable = f"{named[1].upper()}_ROOT" if named else "its variable"
        print(
            f"The root is left out, because it holds a password: set {variable}.", file=sys.stderr
        )


def _whole(root: str) -> str:
    """Return a root as it can be written into a TOML file anywhere: a path becomes absolute.

    `..` is removed, unless that names another folder, because the one before it is a symbolic link.
    """
    if "://" in root:
        return root
    path = Path(root).expanduser().absolute()
    short = Path(os.path.normpath(path))
    return str(short if path.resolve() == short.resolve() else path)


def _name_of(root: str) -> str:
    """Return the last name of a path or a URL, without parts of a URL that may be secret."""
    if "://" in root:
        address = urlsplit(root)
        name = unquote(address.path.rstrip("/").rpartition("/")[2]) or address.hostname or ""
    else:
        name = Path(_whole(root)).resolve().name
    return name.removesuffix(".zip")


def _known(files: tuple[str, ...]) -> Known:
    """Return the source datasets of some files, or those of the environment.

    Raises:
        UsageError: One of the files is a folder, or declares nothing.
    """
    if folders := [file for file in files if Path(file).is_dir()]:
        raise UsageError(
            f"{shown(folders[0])} is a folder: name a TOML file. `anomaly-assets datasets suggest "
            f"{shown(folders[0])}` writes one."
        )
    if without := [file for file in files if _has_no_table(Path(file))]:
        raise UsageError(
            f"{shown(without[0])} has no table, which begins with a line such as [line4]. If "
            "`anomaly-assets datasets suggest` failed, it wrote nothing: run it again and read its message."
        )
    return read_known({VARIABLE: os.pathsep.join(files)}) if files else DECLARATIONS


def _has_no_table(file: Path) -> bool:
    """Return whether a file can be read and declares nothing; `read_known` reports other faults."""
    try:
        return not tomllib.loads(file.read_text("utf-8-sig"))
    except (OSError, ValueError):
        return False


def _chosen(known: Known, files: tuple[str, ...], names: tuple[str, ...]) -> list[SourceDataset]:
    """Return the source datasets to check: those that are named, or all of the files.

    Raises:
        UsageError: No dataset is declared, or a named dataset is not.
    """
    own = [each for each in known.source_datasets.values() if not each.declaration.is_built_in]
    if names:
        unknown = [
            name for name in names if name not in known.source_datasets and name not in known.broken
        ]
        if unknown:
            declared = ", ".join(known.source_datasets)
            raise UsageError(f"{unknown[0]} is not declared. There are {declared}.")
        return [known.source_datasets[name] for name in names if name in known.source_datasets]
    if not own and not known.problems:
        raise UsageError(
            "Name a TOML file, or set ANOMALY_DATASETS. `anomaly-assets datasets suggest ROOT` writes one."
        )
    return own


def _from_named_roots(settings: Settings) -> dict[str, str | None] | None:
    """Return what `from_named_roots` does; None if the warehouse cannot be read.

    Only a file is read, and read-only: this command must not create a warehouse, and must not wait for a
    run or a server.
    """
    import duckdb

    from anomaly_assets.tables.source_datasets import from_named_roots

    if not is_file(settings.warehouse):
        return None
    path = Path(settings.warehouse)
    if not path.exists():
        return {}
    try:
        with duckdb.connect(str(path), read_only=True) as connection:
            return from_named_roots(connection)
    except duckdb.Error:
        return None
