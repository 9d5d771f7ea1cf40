"""Test exports in anomalib itself: counts, labels, images, masks, training, the lines of the page.

`make test-anomalib` runs this module in the environment that has anomalib.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch  # noqa: TID253 (only collected where it is installed)
from anomalib.data import ImageBatch, ImageItem, MVTecAD, Tabular
from anomalib.engine import Engine
from anomalib.models import Padim
from lightning import Callback, seed_everything
from torch.utils.data import DataLoader  # noqa: TID253

from anomaly_assets.export import to_anomalib, to_mvtec
from anomaly_assets.reader import open_samples
from anomaly_assets.recipes import Recipe
from anomaly_assets_tests.documents.markdown import PROJECT, blocks
from anomaly_assets_tests.export.published import Stored, publish_pictures, stored
from anomaly_assets_tests.export.test_anomalib import LEFT_OUT
from anomaly_assets_tests.warehouse.project import mask, noise

SIDE = 64
TRAINED = "bolt"

Data = Callable[[], dict[str, Any]]


@pytest.fixture(scope="module")
def exports(database: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("exports")
    return {
        made.format: made.folder
        for made in (to_anomalib(folder / "a", database), to_mvtec(folder / "m", database))
    }


def tabular(folder: Path) -> Any:
    return Tabular.from_file(
        name="export",
        file_path=folder / "samples.csv",
        root=folder,
        # pandas 3 gives this column a text type, and anomalib 2.7 writes paths into it.
        pd_kwargs={"dtype": {"mask_path": object}},
        num_workers=0,
        val_split_mode="same_as_test",
    )


def assert_items(data: Any, ids: dict[str, str], expected: dict[str, Stored]) -> set[str]:
    """Assert that items equal the database, and return their ids."""
    seen = set()
    for item in data:
        image_id = ids[str(Path(item.image_path).resolve())]
        seen.add(image_id)
        sample = expected[image_id]
        image = np.rint(item.image.numpy().transpose(1, 2, 0) * 255).astype(np.uint8)
        assert np.array_equal(image, sample.image)
        assert int(item.gt_label) == sample.row["label_index"]
        assert np.array_equal(item.gt_mask.numpy().astype(np.uint8), sample.known_mask)
    return seen


def ids_by_path(folder: Path) -> dict[str, str]:
    return {
        str((folder / row["image_path"]).resolve()): row["image_id"]
        for row in pq.read_table(folder / "samples.parquet").to_pylist()
    }


def test_tabular_loads_counts_labels_images_and_masks(
    exports: dict[str, Path], database: Path
) -> None:
    module = tabular(exports["anomalib"])
    module.setup()
    assert str(module.task.value) == "segmentation"
    ids, expected = ids_by_path(exports["anomalib"]), stored(database)
    for split in ("train", "test"):
        wanted = {name for name, each in expected.items() if each.row["split"] == split}
        assert (
            assert_items(getattr(module, f"{split}_data"), ids, expected)
            == wanted - LEFT_OUT.keys()
        )


@pytest.mark.parametrize("category", ["bottle", "carpet", "Class1"])
def test_mvtec_ad_loads_an_export_unchanged(
    category: str, exports: dict[str, Path], database: Path
) -> None:
    module = MVTecAD(exports["mvtec"], category, num_workers=0)
    module.prepare_data()  # downloads the dataset if it does not find the category
    module.setup()
    ids, expected = ids_by_path(exports["mvtec"]), stored(database, f"category = '{category}'")
    for split in ("train", "test"):
        wanted = {name for name, each in expected.items() if each.row["split"] == split}
        assert (
            assert_items(getattr(module, f"{split}_data"), ids, expected)
            == wanted - LEFT_OUT.keys()
        )


def test_images_and_masks_stay_together_where_their_names_are_sorted_differently(
    tmp_path: Path,
) -> None:
    pictures = {"mvtec_ad/bottle/train/good/0.png": noise(0)}
    for number, stem in enumerate(("a", "a1", "aB", "b")):
        pictures[f"mvtec_ad/bottle/test/crack/{stem}.png"] = noise(number + 1)
        defect = mask((number * 4, 0, number * 4 + 4, 8))
        pictures[f"mvtec_ad/bottle/ground_truth/crack/{stem}_mask.png"] = defect
    database = publish_pictures(tmp_path / "published", pictures)
    folder = to_mvtec(tmp_path / "export", database).folder
    module = MVTecAD(folder, "bottle", num_workers=0)
    module.setup()
    seen = assert_items(module.test_data, ids_by_path(folder), stored(database))
    assert len(seen) == 4
    assert [path.name for path in sorted((folder / "bottle/test/crack").iterdir())] == [
        "000_a.png",
        "001_a1.png",
        "002_aB.png",
        "003_b.png",
    ]


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write a category in the layout of MVTec AD, of the size of its tensors, and publish it."""
    size = (SIDE, SIDE)
    good = {f"train/good/{n:03}.png": noise(n, size=size) for n in range(8)}
    good |= {f"test/good/{n:03}.png": noise(20 + n, size=size) for n in range(4)}
    bad = {}
    for number in range(4):
        box = (8 * number, 8, 8 * number + 24, 40)
        picture = noise(40 + number, size=size)
        picture.paste((255, 0, 0), box)
        bad[f"test/scratch/{number:03}.png"] = picture
        bad[f"ground_truth/scratch/{number:03}_mask.png"] = mask(box, size=size)
    pictures = {f"mvtec_ad/{TRAINED}/{path}": it for path, it in (good | bad).items()}
    folder = tmp_path_factory.mktemp("original")
    publish_pictures(folder, pictures, Recipe(SIDE, SIDE, 3))
    return folder


def as_item(item: dict[str, Any]) -> Any:
    return ImageItem(
        image=item["image"].float() / 255,
        gt_label=torch.tensor(item["label"]),
        gt_mask=item["mask"],
        image_path=item["image_id"],
    )


def from_to_torch(database: Path) -> dict[str, Any]:
    loaders = {
        split: DataLoader(
            open_samples(database, split=split).to_torch(as_item),
            batch_size=32,
            shuffle=split == "train",
            collate_fn=ImageBatch.collate,
        )
        for split in ("train", "test")
    }
    return {
        "fit": {"train_dataloaders": loaders["train"], "val_dataloaders": loaders["test"]},
        "test": {"dataloaders": loaders["test"]},
    }


def from_module(module: Any) -> dict[str, Any]:
    return {"fit": {"datamodule": module}, "test": {"datamodule": module}}


class Counting(Callback):
    """Count the images that a model is trained and tested with."""

    def __init__(self) -> None:
        self.counts = {"train": 0, "test": 0}

    def on_train_batch_end(
        self, trainer: Any, module: Any, outputs: Any, batch: Any, n: int
    ) -> None:
        self.counts["train"] += len(batch.image)

    def on_test_batch_end(
        self, trainer: Any, module: Any, outputs: Any, batch: Any, n: int, loader: int = 0
    ) -> None:
        self.counts["test"] += len(batch.image)


def trained(data: Data, folder: Path) -> tuple[dict[str, int], dict[str, float]]:
    """Train for an epoch; return the number of images of each split, and the scores of the test."""
    seed_everything(7)
    processor = Padim.configure_pre_processor(image_size=(SIDE, SIDE))
    model = Padim(
        pre_trained=False,
        layers=["layer1"],
        n_features=16,
        pre_processor=processor,
        visualizer=False,
    )
    counting, given = Counting(), data()
    engine = Engine(
        callbacks=[counting], default_root_dir=folder, logger=False, accelerator="cpu", max_epochs=1
    )
    engine.fit(model, **given["fit"])
    (scores,) = engine.test(model, **given["test"], verbose=False)
    return counting.counts, scores


def test_original_folder_exports_and_to_torch_give_the_same_counts_and_scores(
    original: Path, tmp_path: Path
) -> None:
    database = original / "anomaly.duckdb"
    mvtec = to_mvtec(tmp_path / "mvtec", database).folder
    table = to_anomalib(tmp_path / "anomalib", database).folder
    ways: dict[str, Data] = {
        "original": lambda: from_module(MVTecAD(original / "mvtec_ad", TRAINED, num_workers=0)),
        "mvtec": lambda: from_module(MVTecAD(mvtec, TRAINED, num_workers=0)),
        "anomalib": lambda: from_module(tabular(table)),
        "to_torch": lambda: from_to_torch(database),
    }
    results = {name: trained(data, tmp_path / name) for name, data in ways.items()}
    print(results)  # shown by -s
    expected = results["original"][1]
    assert {"image_AUROC", "pixel_AUROC"} <= expected.keys()
    for counts, scores in results.values():
        assert counts == {"train": 8, "test": 8}
        assert scores == pytest.approx(expected, abs=1e-6)


def lines_of_the_page(first_line: str) -> str:
    (text,) = (
        block.text
        for block in blocks(PROJECT, "docs/exporting.md")
        if block.first_line == first_line
    )
    return text


def test_six_lines_of_the_page_train_and_test(
    original: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = lines_of_the_page("from anomalib.data import MVTecAD")
    assert len([line for line in lines.splitlines() if line]) <= 6
    folder = to_mvtec(tmp_path / "export", original / "anomaly.duckdb").folder
    # No weights are downloaded, and files of the run go into a folder of the test.
    monkeypatch.chdir(tmp_path)
    without_weights = lines.replace("Padim()", "Padim(pre_trained=False)").replace(
        "DIR", str(folder)
    )
    names: dict[str, Any] = {}
    exec(without_weights, names)
    assert len(names["data"].val_data) == len(names["data"].test_data) == 8


def test_the_table_of_the_page_evaluates_on_all_test_images_at_every_run(
    original: Path, tmp_path: Path
) -> None:
    folder = to_anomalib(tmp_path / "export", original / "anomaly.duckdb").folder
    lines = lines_of_the_page("import pandas").replace("DIR", str(folder))
    runs = []
    for _ in range(2):
        names: dict[str, Any] = {}
        exec(lines, names)
        names["data"].setup()
        runs.append([Path(path).name for path in names["data"].test_data.samples["image_path"]])
    assert len(runs[0]) == 8
    assert runs[0] == runs[1]
