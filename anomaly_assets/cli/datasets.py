"""List the source datasets that this installation can load."""

from __future__ import annotations

import click

from anomaly_assets.cli.running import examples
from anomaly_assets.datasets import SOURCE_DATASETS
from anomaly_assets.roots.open import shown_root
from anomaly_assets.settings import Settings


@click.group()
def command() -> None:
    """Show the source datasets."""


@command.command("list", epilog=examples("anomaly-assets datasets list"))
def list_datasets() -> None:
    """List source datasets: name, title, licence, and the root that would be loaded."""
    settings = Settings.from_environment()
    for name, dataset in SOURCE_DATASETS.items():
        root = settings.roots.get(name)
        if root is None:
            place = f"not refreshed ({dataset.root_variable} is empty or not set)"
        elif settings.sample_roots:
            place = f"{shown_root(root)} (samples of the repository; set {dataset.root_variable})"
        else:
            place = f"{shown_root(root)} ({dataset.root_variable})"
        print(f"{name}: {dataset.title}, {dataset.licence}, {place}")
