"""Test commands in messages: each can be pasted where the message appears."""

from __future__ import annotations

import ast
import re
import shlex
import sys
from pathlib import Path

import pytest

from anomaly_assets import errors
from anomaly_assets.errors import install_extra

PROJECT = Path(__file__).parents[1]


def test_the_tree_has_every_error_with_its_built_in_base() -> None:
    bases: dict[str, list[str]] = {}
    for path in (PROJECT / "anomaly_assets").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_bytes())):
            if isinstance(node, ast.ClassDef):
                bases[node.name] = [ast.unparse(base) for base in node.bases]
    defined = {"AnomalyAssetsError": "", "WarehouseError": "RuntimeError"}
    for _ in range(3):  # the tree has three levels
        for name, of in bases.items():
            if defined.keys() & {*of}:
                defined[name] = next((base for base in of if base not in defined), "")
    drawn = re.findall(r"── (\w+)(?: \(([\w.]+)\))?", errors.__doc__ or "")
    assert dict(drawn) == {name: of for name, of in defined.items() if name != "AnomalyAssetsError"}


def test_in_a_checkout_an_extra_is_installed_from_its_folder_by_the_python_that_runs() -> None:
    assert shlex.split(install_extra("torch")) == [
        *(sys.executable, "-m", "pip", "install", "-e", f"{PROJECT}[torch]")
    ]


@pytest.mark.parametrize("beside", [None, '[project]\nname = "other"\n'])
def test_an_installed_package_is_named_because_pip_finds_it_installed(
    beside: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(errors, "__file__", str(tmp_path / "anomaly_assets" / "errors.py"))
    if beside is not None:
        (tmp_path / "pyproject.toml").write_text(beside)
    assert install_extra("s3") == "pip install 'anomaly_assets[s3]'"


def test_the_paths_of_a_command_are_quoted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    project = tmp_path / "it's here"
    project.mkdir()
    (project / "pyproject.toml").write_text('[project]\nname = "anomaly_assets"\n')
    monkeypatch.setattr(errors, "__file__", str(project / "anomaly_assets" / "errors.py"))
    monkeypatch.setattr(sys, "executable", "/opt/my python/bin/python")
    assert shlex.split(install_extra("lake")) == [
        *("/opt/my python/bin/python", "-m", "pip", "install", "-e", f"{project}[lake]")
    ]
