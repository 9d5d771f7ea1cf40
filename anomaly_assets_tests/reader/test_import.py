"""Test imports of the reader: a training script loads only the packages that it uses."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

HEAVY = {"dagster", "dagster_dlt", "dlt", "torch", "pandas", "PIL", "fsspec", "datasets", "sqlglot"}
LOADED = "print(*sorted({module.partition('.')[0] for module in sys.modules}))"


def loaded_by(code: str) -> set[str]:
    command = [sys.executable, "-c", f"import sys\n{code}\n{LOADED}"]
    found = subprocess.run(command, capture_output=True, text=True, check=True)
    return set(found.stdout.split())


@pytest.mark.slow
def test_importing_loads_nothing_heavy() -> None:
    assert loaded_by("import anomaly_assets.reader") & HEAVY == set()


@pytest.mark.slow
def test_reading_loads_nothing_heavy(database: Path) -> None:
    code = f"""
from anomaly_assets.reader import open_samples
samples = open_samples({str(database)!r}, category="bottle")
next(samples.batches(4)), samples[0], next(samples.normalised().batches(4))
"""
    # If pandas is installed, DuckDB asks it whether a parameter is one of its values.
    assert loaded_by(code) & HEAVY - {"pandas"} == set()
