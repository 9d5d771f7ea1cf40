"""Set up the scenes that provoke the messages of the troubleshooting page."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from anomaly_assets.catalogue.reconcile import reconcile
from anomaly_assets.datasets import SOURCE_DATASETS
from anomaly_assets_tests.documents.checkout import Checkout
from anomaly_assets_tests.warehouse.project import SPEC, Project

PROJECT = Path(__file__).parents[2]


@dataclass
class Scene:
    """The environment in which a message is provoked.

    Attributes:
        folder: An empty folder.
        project: Nine images, loaded and decoded.
        checkout: A copy of the project.
        patch: Changes the environment for one test.
    """

    folder: Path
    project: Project
    checkout: Checkout
    patch: pytest.MonkeyPatch

    @property
    def published(self) -> Path:
        path = self.folder / "anomaly.duckdb"
        if not path.exists():
            self.project.warehouse.publish(path, SPEC)
        return path

    def reconcile(self, root: object, categories: Sequence[str] = ()) -> object:
        """Compare the warehouse with another root of MVTec AD."""
        dataset = SOURCE_DATASETS["mvtec_ad"]
        return reconcile(dataset, str(root), self.project.warehouse, categories=categories)

    def other_process(self, script: str) -> subprocess.Popen[str]:
        """Start Python, and wait for its first line."""
        process = subprocess.Popen(
            [sys.executable, "-c", script], cwd=PROJECT, stdout=subprocess.PIPE, text=True
        )
        assert process.stdout is not None
        assert process.stdout.readline()
        return process


Provoke = Callable[[Scene], object]
PROVOKED: dict[str, Provoke] = {}
"""The beginning of what is quoted, to what provokes it: what is returned or raised is the message."""


def saying(beginning: str) -> Callable[[Provoke], Provoke]:
    """Register a function that provokes the message with this beginning."""

    def register(provoke: Provoke) -> Provoke:
        assert beginning not in PROVOKED
        PROVOKED[beginning] = provoke
        return provoke

    return register


class Ended:
    """A process that is stopped at the end of the block."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    def __enter__(self) -> None:
        pass

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.wait()
        assert self._process.stdout is not None
        self._process.stdout.close()
