"""Make a project whose source datasets a test declares."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from anomaly_assets.datasets import SOURCE_DATASETS, SourceDataset
from anomaly_assets.datasets.declaration_files import declared
from anomaly_assets_tests.warehouse.project import Project, mask, noise


@dataclass
class Declared:
    """A project with declared source datasets; their roots are folders of their names."""

    project: Project
    monkeypatch: pytest.MonkeyPatch
    pictures: int = 0

    def declare(self, text: str) -> None:
        found = declared({"own.toml": text.encode()})
        assert [str(problem) for problem in found.problems] == []
        for each in found.declarations:
            self.monkeypatch.setitem(SOURCE_DATASETS, each.name, SourceDataset(each))

    def image(self, *paths: str, **options: Any) -> None:
        for path in paths:
            self.pictures += 1
            noise(self.pictures).save(self.project.path(path), **options)

    def mask(self, path: str, *boxes: tuple[int, int, int, int], value: int = 255) -> None:
        picture = mask(*boxes)
        picture.point([0] + [value] * 255).save(self.project.path(path))

    def text(self, path: str, text: str, encoding: str = "utf-8") -> None:
        self.project.path(path).write_bytes(text.encode(encoding))

    def json(self, path: str, value: object) -> None:
        self.text(path, json.dumps(value))

    def load(self) -> None:
        self.project.list_files()
        self.project.build()
        self.project.refresh_all()

    def loaded(self) -> dict[str, tuple[Any, ...]]:
        """Return category, split, label, evidence, and the number of defective pixels by path."""
        self.load()
        rows = self.project.rows(
            """
            SELECT relative_path, category, split, label, label_source, defect_type,
                round(f.mask_area_fraction * f.mask_width * f.mask_height)::INTEGER
            FROM images LEFT JOIN facts AS f USING (image_id) ORDER BY ALL
            """
        )
        return {path: tuple(values) for path, *values in rows}

    def strays(self, name: str) -> dict[str, str]:
        rows = self.project.rows(
            f"SELECT relative_path, reason FROM {name}.stray_files ORDER BY ALL"
        )
        return dict(rows)


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Declared:
    return Declared(Project.at(tmp_path), monkeypatch)


Own = Callable[[str], Declared]
