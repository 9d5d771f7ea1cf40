"""Dagster homes in a test's own folder, with the configuration of the project."""

import shutil
from pathlib import Path

import dagster as dg

PROJECT = Path(__file__).parents[2]


def new_home(folder: Path) -> Path:
    """Make an empty home."""
    folder.mkdir(parents=True)
    shutil.copy(PROJECT / "dagster.yaml", folder)
    return folder


def opened(home: Path) -> dg.DagsterInstance:
    """Open a home as commands do that have it in DAGSTER_HOME."""
    return dg.DagsterInstance.from_config(str(home))


def size(home: Path) -> int:
    """Bytes of all files in a home."""
    return sum(path.stat().st_size for path in home.rglob("*") if path.is_file())
