"""Make Dagster homes in a test's folder, with the configuration of the project."""

import shutil
from pathlib import Path

import dagster as dg

PROJECT = Path(__file__).parents[2]


def new_home(folder: Path) -> Path:
    """Create an empty home."""
    folder.mkdir(parents=True)
    shutil.copy(PROJECT / "dagster.yaml", folder)
    return folder


def opened(home: Path) -> dg.DagsterInstance:
    """Open a home like commands that have it in DAGSTER_HOME."""
    return dg.DagsterInstance.from_config(str(home))


def size(home: Path) -> int:
    """Return the bytes of all files in a home."""
    return sum(path.stat().st_size for path in home.rglob("*") if path.is_file())
