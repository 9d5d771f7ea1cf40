"""List the source datasets that this installation can load."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import click

from anomaly_assets.cli.running import (
    CommandError,
    UsageError,
    begin_work,
    examples,
    not_empty,
    warn_of_unknown_variables,
)
from anomaly_assets.datasets import DECLARATIONS, SOURCE_DATASETS, Known, SourceDataset
from anomaly_assets.datasets.known import VARIABLE, read_known
from anomaly_assets.locations import is_file
from anomaly_assets.roots.open import open_root, shown_root
from anomaly_assets.settings import Settings, depth_of, follows_links, root_of


@click.group()
def command() -> None:
    """Show the source datasets."""


@command.command("list", epilog=examples("anomaly-assets datasets list"))
def list_datasets() -> None:
    """List source datasets: name, title, licence, and what a run would do with its root."""
    from anomaly_assets.tables.source_datasets import why_kept

    settings = Settings.from_environment()
    warn_of_unknown_variables()
    named = _from_named_roots(settings) if settings.sample_roots else {}
    for name, dataset in SOURCE_DATASETS.items():
        root = shown_root(settings.roots.get(name) or "")
        reason = why_kept(dataset, settings, named or {})
        if reason is not None:
            place = f"not refreshed ({reason})"
        elif not settings.sample_roots:
            place = f"{root} ({dataset.root_variable})"
        elif named is None:
            place = (
                f"{root} (samples of the repository), unless the warehouse, which cannot be read now, "
                f"holds data from named roots; set {dataset.root_variable}"
            )
        else:
            place = f"{root} (samples of the repository; set {dataset.root_variable})"
        print(f"{name}: {dataset.title}, {dataset.licence}, {place}")


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
    """List what every file of a root becomes, without loading it.

    Reads the TOML files FILE, or those that ANOMALY_DATASETS names. Masks decide about labels, so up to 200
    of them are read.
    """
    from anomaly_assets.inspection.check import inspect
    from anomaly_assets.inspection.report import report

    begin_work()
    known = _known(files)
    wanted = _chosen(known, files, names)
    for problem in known.problems:
        print(problem, file=sys.stderr)
    failed = bool(known.problems)
    for number, dataset in enumerate(wanted):
        location = root or root_of(dataset)
        if not location:
            raise UsageError(
                f"{dataset.name} has no root: name one with --root, or set {dataset.root_variable}."
            )
        print("\n" * bool(number), end="")
        found = inspect(
            dataset,
            open_root(location, follow_links=follows_links(dataset)),
            depth=depth_of(dataset),
        )
        print(report(found))
        failed |= not found.images or found.catalog.other is not None
    if failed:
        raise click.exceptions.Exit(2 if known.problems else 1)


@command.command(
    "suggest", epilog=examples("anomaly-assets datasets suggest /data/line4 > line4.toml")
)
@click.argument("root", callback=not_empty)
@click.option(
    "--name", callback=not_empty, help="Name of the dataset; by default that of the folder."
)
def suggest_declaration(root: str, name: str | None) -> None:
    """Write a declaration for ROOT: a folder, a zip archive or an address. Guesses are comments."""
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
        print(
            "The root is left out, because it holds a password: set its variable.", file=sys.stderr
        )


def _whole(root: str) -> str:
    """Return a root as it can be written into a TOML file anywhere: a path becomes absolute."""
    return root if "://" in root else str(Path(root).expanduser().absolute())


def _name_of(root: str) -> str:
    """Return the name of a folder or an archive."""
    name = (
        root.rstrip("/").rpartition("/")[2] if "://" in root else Path(_whole(root)).resolve().name
    )
    return name.removesuffix(".zip")


def _known(files: tuple[str, ...]) -> Known:
    """Return the source datasets of some files, or those of the environment."""
    return read_known({VARIABLE: os.pathsep.join(files)}) if files else DECLARATIONS


def _chosen(known: Known, files: tuple[str, ...], names: tuple[str, ...]) -> list[SourceDataset]:
    """Return the source datasets to check: those that are named, or all of the files.

    Raises:
        UsageError: There is none, or one is not declared.
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
