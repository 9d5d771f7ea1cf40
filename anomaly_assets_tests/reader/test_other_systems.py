"""Test reading, and building the asset graph, without functions that only Linux or POSIX systems have."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

READ = """
import numpy as np
from anomaly_assets.reader import open_cache, open_samples
with open_samples({database!r}, category="bottle") as samples:
    batch = next(samples.batches(4))
    assert batch.images.shape[0] == 4 and batch.images.dtype == np.uint8
    cached = samples.cache({folder!r})
    assert (next(cached.batches(4)).images == batch.images).all()
    print(int(batch.images.sum()), int(batch.masks.sum()), *batch.label_indices)
"""
EXPORT = """
from anomaly_assets.export import to_parquet
print(to_parquet({folder!r}, {database!r}, category="bottle").samples)
"""
GRAPH = """
from anomaly_assets.definitions import defs
print(len(defs.resolve_asset_graph().get_all_asset_keys()))
"""
MODULES = """
import importlib, pkgutil
import anomaly_assets
imported = 0
for found in pkgutil.walk_packages(anomaly_assets.__path__, "anomaly_assets."):
    if not found.name.endswith((".__main__", ".torch", ".loader", ".workers", ".marked")):
        importlib.import_module(found.name)
        imported += 1
print(imported)
"""


def run(code: str, *, hidden: bool) -> str:
    """Run code in a fresh process; returns what it prints."""
    before = "from anomaly_assets_tests.reader.no_posix import hide\nhide()\n" if hidden else ""
    command = [sys.executable, "-c", before + code]
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, env={**os.environ, "TZ": "UTC"}
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_samples_are_read_and_cached_without_what_only_posix_has(
    database: Path, tmp_path: Path
) -> None:
    printed = {
        run(READ.format(database=str(database), folder=str(tmp_path / name)), hidden=hidden)
        for name, hidden in (("posix", False), ("other", True))
    }
    assert len(printed) == 1


def test_samples_are_exported_without_what_only_posix_has(database: Path, tmp_path: Path) -> None:
    code = EXPORT.format(database=str(database), folder=str(tmp_path / "export"))
    assert int(run(code, hidden=True)) > 0


def test_the_asset_graph_is_built_without_what_only_posix_has() -> None:
    assert run(GRAPH, hidden=True) == run(GRAPH, hidden=False)


def test_every_module_is_imported_without_what_only_posix_has() -> None:
    assert int(run(MODULES, hidden=True)) > 100
