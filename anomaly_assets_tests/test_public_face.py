"""Test the names that other projects import from `anomaly_assets` itself."""

from __future__ import annotations

import ast
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

import anomaly_assets

NOT_LOADED = {"dagster", "dlt", "duckdb", "numpy", "pyarrow", "tqdm", "hashlib"}


def loaded_by(code: str) -> set[str]:
    listing = "print(*sorted({module.partition('.')[0] for module in sys.modules}))"
    command = [sys.executable, "-c", f"import sys\n{code}\n{listing}"]
    return set(subprocess.run(command, capture_output=True, text=True, check=True).stdout.split())


def test_importing_the_package_loads_nothing_that_is_not_used() -> None:
    assert loaded_by("import anomaly_assets") & NOT_LOADED == set()
    assert loaded_by("from anomaly_assets import AnomalyAssetsError") & NOT_LOADED == set()


@pytest.mark.slow
def test_reading_needs_no_export_and_no_progress_bar() -> None:
    loaded = loaded_by("from anomaly_assets import open_samples")
    assert {"duckdb", "numpy"} <= loaded
    assert loaded & {"dagster", "dlt", "tqdm"} == set()


@pytest.mark.parametrize("name", anomaly_assets.__all__)
def test_every_public_name_is_listed_and_is_that_of_the_package_that_defines_it(name: str) -> None:
    home = import_module(f"anomaly_assets.{anomaly_assets._DEFINED_IN[name]}")
    assert getattr(anomaly_assets, name) is getattr(home, name)
    assert name in dir(anomaly_assets)
    if not name.startswith("_") and hasattr(home, "__all__"):
        assert name in home.__all__


def test_dir_lists_the_public_names_and_no_internals() -> None:
    listed = {name for name in dir(anomaly_assets) if not name.startswith("__")}
    assert listed == {name for name in anomaly_assets.__all__ if not name.startswith("__")}


def test_type_checkers_see_the_names_that_exist_at_run_time() -> None:
    tree = ast.parse(Path(anomaly_assets.__file__).read_text("utf-8"))
    seen = {
        alias.name: node.module
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and str(node.module).startswith("anomaly_assets.")
        for alias in node.names
    }
    assert seen == {
        name: f"anomaly_assets.{home}" for name, home in anomaly_assets._DEFINED_IN.items()
    }
    assert sorted(seen) == sorted(anomaly_assets.__all__)


def test_a_name_that_does_not_exist_is_an_attribute_error() -> None:
    with pytest.raises(
        AttributeError, match="module 'anomaly_assets' has no attribute 'open_sample'"
    ):
        getattr(anomaly_assets, "open_sample")  # noqa: B009


def test_the_version_is_that_of_the_distribution(project_root: Path) -> None:
    assert f'\nversion = "{anomaly_assets.__version__}"\n' in (
        project_root / "pyproject.toml"
    ).read_text("utf-8")
