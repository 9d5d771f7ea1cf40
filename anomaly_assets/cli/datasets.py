"""List the source datasets that this installation can load."""

from __future__ import annotations

from pathlib import Path

import click

from anomaly_assets.cli.running import examples, warn_of_unknown_variables
from anomaly_assets.datasets import SOURCE_DATASETS
from anomaly_assets.locations import is_file
from anomaly_assets.roots.open import shown_root
from anomaly_assets.settings import Settings


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
