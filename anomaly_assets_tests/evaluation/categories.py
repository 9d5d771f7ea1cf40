"""Publish two categories whose defects a fake network finds, tiny enough for the fast tests."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from anomaly_assets.decoding import open as compute
from anomaly_assets.decoding.build import build_tensors
from anomaly_assets.evaluation.run import Evaluated, evaluate
from anomaly_assets.recipes import Recipe, Recipes
from anomaly_assets.tables.ddl import ensure_tables
from anomaly_assets.warehouse.base import Warehouse
from anomaly_assets_tests.warehouse.project import SIZE, SPEC, Project, mask

FINE = Recipe(12, 12, 1)
GOOD, TESTED = 15, 10
BOX = (4, 2, 14, 12)


def picture(seed: int, *, defect: bool = False) -> Image.Image:
    """Return a grey picture with a little noise, and a bright box if it has a defect."""
    pixels = np.random.default_rng(seed).integers(100, 130, SIZE[::-1], np.uint8)
    if defect:
        pixels[BOX[1] : BOX[3], BOX[0] : BOX[2]] = 250
    return Image.fromarray(pixels)


def pictures(category: str, first: int) -> dict[str, Image.Image]:
    """Return 15 good training images, and 10 good and 10 anomalous test images with their masks."""
    folder = f"mvtec_ad/{category}"
    return {
        **{f"{folder}/train/good/{n:03}.png": picture(first + n) for n in range(GOOD)},
        **{f"{folder}/test/good/{n:03}.png": picture(first + 20 + n) for n in range(TESTED)},
        **{
            f"{folder}/test/box/{n:03}.png": picture(first + 40 + n, defect=True)
            for n in range(TESTED)
        },
        **{f"{folder}/ground_truth/box/{n:03}_mask.png": mask(BOX) for n in range(TESTED)},
    }


@dataclass
class FakeBackbone:
    """Network whose features are the mean and the maximum of blocks of at least 2 x 2 pixels.

    Attributes:
        digest: Digest of its weights.
        seen: Number of images of each call.
        on_call: Called before each computation.
    """

    digest: str = "fake"
    name: str = "fake"
    seen: list[int] = field(default_factory=list)
    on_call: Callable[[], None] = lambda: None

    def features(self, images: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
        self.on_call()
        self.seen.append(len(images))
        count, height, width, channels = images.shape
        side = max(2, height // 8)
        blocks = images.reshape(count, height // side, side, width // side, side, channels)
        both = [blocks.mean((2, 4)), blocks.max((2, 4))]
        return np.asarray(np.concatenate(both, -1) / 255, np.float32)

    def place(self, array: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        return array


@dataclass(frozen=True)
class Evaluating:
    """A project, its published database, and evaluations of it."""

    project: Project

    @classmethod
    def at(cls, folder: Path) -> Evaluating:
        """Publish two categories, `bolt` and `woven`."""
        made = cls(Project.at(folder))
        made.project.save({**pictures("bolt", 0), **pictures("woven", 100)})
        made.publish()
        return made

    @property
    def database(self) -> Path:
        return self.project.folder / "anomaly.duckdb"

    def publish(
        self, common: Recipe = SPEC, further: Sequence[Recipe] = (FINE,), **options: Any
    ) -> None:
        """Load and decode what changed, at two recipes or these, and publish it."""
        project = self.project
        project.list_files()
        project.refresh_all()
        recipes, roots = Recipes(common, {"mvtec_ad": tuple(further)}), project.roots()
        build_tensors(
            project.warehouse,
            roots,
            recipes,
            compute=lambda: compute.open_compute("threads", roots, common, workers=1),
        )
        with project.warehouse.connect() as connection:
            ensure_tables(connection)
            connection.execute("DELETE FROM recipes")
            for recipe in recipes.of("mvtec_ad"):
                values = [recipe.name, "mvtec_ad", recipe.transform, recipe == common]
                connection.execute("INSERT INTO recipes VALUES (?, ?, ?, ?, 'declaration')", values)
        project.refresh_all()
        project.warehouse.publish(self.database, common, **options)

    def evaluate(
        self,
        backbone: FakeBackbone,
        warehouse: Callable[[], Warehouse] | None = None,
        **options: Any,
    ) -> Evaluated:
        return evaluate(
            warehouse or (lambda: self.project.warehouse),
            options.pop("location", str(self.database)),
            backbone,
            log=options.pop("log", lambda _: None),
            **options,
        )

    def publish_results(self) -> None:
        self.project.warehouse.publish(self.database, SPEC, only_results=True)
