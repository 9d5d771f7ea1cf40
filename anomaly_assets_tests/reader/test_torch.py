"""Test samples as a PyTorch dataset, with workers of both kinds."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from anomaly_assets.errors import install_extra
from anomaly_assets.reader import Samples, open_samples
from anomaly_assets_tests.reader import vision
from anomaly_assets_tests.reader.published import IMAGE_IDS, SHAPE
from anomaly_assets_tests.reader.test_connect import replace_published
from anomaly_assets_tests.warehouse.project import Project

torch = pytest.importorskip("torch")
vision.make_importable()

HEIGHT, WIDTH, CHANNELS = SHAPE
WORKERS = [
    pytest.param({"num_workers": 0}, id="no worker"),
    pytest.param({"num_workers": 2, "multiprocessing_context": "fork"}, id="fork"),
    pytest.param({"num_workers": 2, "multiprocessing_context": "spawn"}, id="spawn"),
]


@pytest.fixture(scope="module")
def samples(database: Path) -> Samples:
    return open_samples(database)


def loader(samples: Samples, **options: Any) -> Any:
    return torch.utils.data.DataLoader(samples.to_torch(), **{"batch_size": 4, **options})


def assert_reads(loaded: Any, samples: Samples) -> None:
    start = 0
    for batch in loaded:
        part = samples.batch(range(start, start + len(batch["image_id"])))
        assert batch["image_id"] == part.image_ids
        assert np.array_equal(batch["image"].numpy(), part.images.transpose(0, 3, 1, 2))
        assert np.array_equal(batch["mask"].numpy(), part.masks)
        assert batch["has_mask"].tolist() == part.has_mask.tolist()
        assert batch["label"].tolist() == part.label_indices.tolist()
        assert batch["category"] == part.categories
        assert batch["split"] == part.splits
        assert batch["defect_type"] == part.defect_types
        start += len(part)
    assert start == len(samples)


def test_items_have_the_documented_types_and_shapes(samples: Samples) -> None:
    dataset = samples.to_torch()
    assert isinstance(dataset, torch.utils.data.Dataset)
    assert len(dataset) == len(IMAGE_IDS)
    item = dataset[3]
    assert (item["image"].dtype, item["image"].shape) == (torch.uint8, (CHANNELS, HEIGHT, WIDTH))
    assert (item["mask"].dtype, item["mask"].shape) == (torch.uint8, (HEIGHT, WIDTH))
    assert (item["has_mask"], item["label"], item["image_id"]) == (True, 1, IMAGE_IDS[3])
    batch = next(iter(loader(samples)))
    assert (batch["label"].dtype, batch["has_mask"].dtype) == (torch.int64, torch.bool)
    assert batch["image"].shape == (4, CHANNELS, HEIGHT, WIDTH)


def test_normalised_images_are_float32(samples: Samples) -> None:
    bottles = samples[np.array(samples.table["category"].to_pylist()) == "bottle"].normalised()
    batch = next(iter(loader(bottles)))
    assert batch["image"].dtype == torch.float32
    assert batch["mask"].dtype == torch.uint8


@pytest.mark.parametrize("options", WORKERS)
def test_workers_read_what_the_samples_are(samples: Samples, options: dict[str, Any]) -> None:
    assert_reads(loader(samples, **options), samples)
    assert len(samples.images[:3]) == 3  # the parent's own connection is as it was


@pytest.mark.parametrize("options", WORKERS[1:])
def test_workers_read_the_snapshot_that_was_opened_also_after_another_was_published(
    project: Project, options: dict[str, Any]
) -> None:
    samples = open_samples(project.folder / "anomaly.duckdb")
    first = loader(samples, **options)
    assert_reads(first, samples)
    replace_published(project)
    assert_reads(first, samples)  # new workers, which find another file under that name


@pytest.mark.parametrize("options", WORKERS)
def test_cached_samples_are_read_by_workers_too(
    samples: Samples, tmp_path: Path, options: dict[str, Any]
) -> None:
    assert_reads(loader(samples.cache(tmp_path), **options), samples)


def test_a_seeded_generator_pins_the_shuffled_order(samples: Samples) -> None:
    def order(seed: int) -> list[str]:
        generator = torch.Generator().manual_seed(seed)
        loaded = loader(samples, shuffle=True, generator=generator)
        return [image_id for batch in loaded for image_id in batch["image_id"]]

    assert order(1) == order(1) != order(2)
    assert sorted(order(1)) == IMAGE_IDS


def brighten(item: dict[str, Any]) -> tuple[Any, int]:
    return item["image"].float() + 1, item["label"]


@pytest.mark.parametrize("options", WORKERS)
def test_a_transform_makes_the_items(samples: Samples, options: dict[str, Any]) -> None:
    dataset = samples.to_torch(brighten)
    loaded = torch.utils.data.DataLoader(dataset, batch_size=14, **options)
    ((images, labels),) = loaded
    assert np.array_equal(images.numpy(), samples.images[:].transpose(0, 3, 1, 2) + 1.0)
    assert labels.tolist() == samples.table["label_index"].to_pylist()


def test_a_batch_is_fetched_at_once(samples: Samples, monkeypatch: pytest.MonkeyPatch) -> None:
    fetched = []
    whole = Samples.batch

    def counted(self: Samples, positions: Any) -> Any:
        fetched.append(list(positions))
        return whole(self, positions)

    monkeypatch.setattr(Samples, "batch", counted)
    list(loader(samples, batch_size=7))
    assert fetched == [list(range(7)), list(range(7, 14))]


def test_without_pytorch_the_error_says_what_to_install(
    samples: Samples, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)
    monkeypatch.setitem(sys.modules, "torch.utils.data", None)
    monkeypatch.delitem(sys.modules, "anomaly_assets.reader.torch", raising=False)
    with pytest.raises(ImportError, match=re.escape(install_extra("torch"))):
        samples.to_torch()
