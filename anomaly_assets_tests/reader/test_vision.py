"""Test that transforms of torchvision move image and mask together, in items and in batches."""

from __future__ import annotations

import inspect
import pickle
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import numpy.typing as npt
import pytest

from anomaly_assets.reader import Samples, open_samples
from anomaly_assets_tests.reader import vision
from anomaly_assets_tests.reader.published import publish_rows

torch = pytest.importorskip("torch")
vision.make_importable()
pytest.importorskip("torchvision")

from torchvision import tv_tensors  # noqa: E402, TID253
from torchvision.transforms import v2  # noqa: E402, TID253

COUNT, SIDE = 10, 96

ARGUMENTS: dict[str, tuple[Any, ...]] = {
    "CenterCrop": (60,),
    "Pad": ([3, 10, 5, 0],),
    "RandomAffine": (30, (0.1, 0.2), (0.7, 1.3), 10),
    "RandomCrop": (60,),
    "RandomResize": (50, 130),
    "RandomResizedCrop": (64,),
    "RandomRotation": (60,),
    "RandomShortestSize": (70,),
    "Resize": ((60, 120),),
    "ScaleJitter": ((110, 110),),
}
REFUSED = {
    "FiveCrop": "not supported",
    "TenCrop": "not supported",
    "RandomIoUCrop": "bounding boxes",
}
"""They return several pictures, or need boxes, and raise an error if there is a mask."""


def geometric() -> list[str]:
    """Return the names of all transforms of torchvision that move pixels."""
    names = [
        name
        for name, kind in inspect.getmembers(v2, inspect.isclass)
        if issubclass(kind, v2.Transform) and kind.__module__.endswith("._geometry")
    ]
    assert {"RandomHorizontalFlip", "RandomCrop", "Resize", "ElasticTransform"} < set(names)
    return names


def made(name: str) -> Any:
    kind = getattr(v2, name)
    always = {"p": 1.0} if "p" in inspect.signature(kind).parameters else {}
    return kind(*ARGUMENTS.get(name, ()), **always)


def widened(area: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
    """Return the area and what is two pixels away from it."""
    around = np.pad(area, [(0, 0)] * (area.ndim - 2) + [(2, 2)] * 2)
    windows = np.lib.stride_tricks.sliding_window_view(around, (5, 5), axis=(-2, -1))
    return np.asarray(windows.any(axis=(-2, -1)))


@pytest.fixture(scope="module")
def samples(tmp_path_factory: pytest.TempPathFactory) -> Samples:
    """Publish pictures that are white where their mask is, and black elsewhere."""
    path = publish_rows(tmp_path_factory.mktemp("drawn") / "drawn.duckdb", COUNT, SIDE)
    with duckdb.connect(str(path)) as connection:
        connection.execute("UPDATE images SET label = 'anomalous', label_index = 1")
        ids = [row[0] for row in connection.execute("SELECT image_id FROM images").fetchall()]
        for number, image_id in enumerate(sorted(ids)):
            mask = np.zeros((SIDE, SIDE), np.uint8)
            mask[20 + number : 60, 30:44] = 1  # an L: no flip or turn of it is itself
            mask[50:60, 30 : 66 + number] = 1
            image = np.repeat(mask[:, :, None] * np.uint8(255), 3, axis=2)
            connection.execute(
                "UPDATE image_tensors SET image_tensor = ?, mask_tensor = ?, mask_area_fraction = 0.1 "
                "WHERE image_id = ?",
                [image.tobytes(), mask.tobytes(), image_id],
            )
    return open_samples(path)


def items(samples: Samples, transform: Any) -> Iterator[dict[str, Any]]:
    dataset = samples.to_torch(transform)
    yield from map(dataset.__getitem__, range(len(dataset)))


def collated(samples: Samples, transform: Any) -> Iterator[dict[str, Any]]:
    yield from map(transform, torch.utils.data.DataLoader(samples.to_torch(), batch_size=4))


def loaded(samples: Samples, transform: Any) -> Iterator[dict[str, Any]]:
    yield from map(transform, samples.to_loader(4))


READ = pytest.mark.parametrize("read", [items, collated, loaded])
Read = Callable[[Samples, Any], Iterator[dict[str, Any]]]


@READ
@pytest.mark.parametrize("name", [name for name in geometric() if name not in REFUSED])
def test_each_geometric_transform_moves_image_and_mask_together(
    samples: Samples, name: str, read: Read
) -> None:
    torch.manual_seed(0)
    transform = made(name)
    moved = 0
    for before, after in zip(
        read(samples, lambda same: same), read(samples, transform), strict=True
    ):
        assert isinstance(after["image"], tv_tensors.Image)
        assert isinstance(after["mask"], tv_tensors.Mask)
        bright, mask = (
            np.asarray(after["image"]).mean(axis=-3) > 127,
            np.asarray(after["mask"]) == 1,
        )
        assert set(np.unique(after["mask"])) <= {0, 1}
        assert bright.shape == mask.shape
        # Images are interpolated, masks take the nearest pixel: they may differ along the border.
        assert not (bright & ~widened(mask)).any()
        assert not (mask & ~widened(bright)).any()
        assert mask.any()
        moved += not np.array_equal(before["mask"], mask)
    assert moved


@READ
@pytest.mark.parametrize("name", REFUSED)
def test_a_transform_that_cannot_move_masks_raises(samples: Samples, name: str, read: Read) -> None:
    transform = v2.RandomIoUCrop() if name == "RandomIoUCrop" else getattr(v2, name)(40)
    with pytest.raises((TypeError, ValueError), match=REFUSED[name]):
        next(read(samples, transform))


@pytest.mark.parametrize("name", ["AutoAugment", "RandAugment", "TrivialAugmentWide", "AugMix"])
def test_a_policy_that_would_move_the_image_alone_raises(samples: Samples, name: str) -> None:
    with pytest.raises(TypeError, match="not supported"):
        samples.to_torch(getattr(v2, name)())[0]


@pytest.mark.parametrize(
    "options", [{}, {"num_workers": 2, "multiprocessing_context": "fork"}], ids=["here", "fork"]
)
def test_items_collate_to_batches_of_the_same_kind(
    samples: Samples, options: dict[str, Any]
) -> None:
    loader = torch.utils.data.DataLoader(samples.to_torch(), batch_size=4, **options)
    start = 0
    for batch in loader:
        part = samples.batch(range(start, start + len(batch["image_id"])))
        assert isinstance(batch["image"], tv_tensors.Image)
        assert isinstance(batch["mask"], tv_tensors.Mask)
        assert np.array_equal(batch["image"].numpy(), part.images.transpose(0, 3, 1, 2))
        assert np.array_equal(batch["mask"].numpy(), part.masks)
        start += len(part)
    assert start == COUNT


@pytest.mark.parametrize(
    "options", [{}, {"num_workers": 1, "multiprocessing_context": "fork"}], ids=["here", "fork"]
)
def test_batches_of_the_loader_are_of_the_same_kind(
    samples: Samples, options: dict[str, Any]
) -> None:
    for batch in samples.as_float().to_loader(4, **options):
        assert isinstance(batch["image"], tv_tensors.Image)
        assert isinstance(batch["mask"], tv_tensors.Mask)
        assert (batch["image"].dtype, float(batch["image"].max())) == (torch.float32, 1.0)
        assert type(batch["image"] + 1) is torch.Tensor


def test_batches_of_other_datasets_stay_as_they_are(samples: Samples) -> None:
    _ = samples.to_torch()[0]
    others = [tv_tensors.Image(torch.zeros(3, 4, 4)), tv_tensors.Image(torch.ones(3, 4, 4))]
    assert type(torch.utils.data.default_collate(others)) is torch.Tensor


def test_items_can_be_pickled(samples: Samples) -> None:
    item = samples.to_torch()[3]
    copy = pickle.loads(pickle.dumps(item))
    assert type(copy["image"]) is type(item["image"])
    assert torch.equal(copy["image"], item["image"])


BROKEN = """
import warnings
from anomaly_assets.reader import open_samples
with warnings.catch_warnings(record=True) as warned:
    warnings.simplefilter("always")
    item = open_samples({database!r}).to_torch()[0]
print(type(item["image"]).__name__, *(str(each.message) for each in warned))
"""


def test_a_torchvision_that_cannot_be_imported_is_a_warning(
    database: Path, tmp_path: Path, project_root: Path
) -> None:
    (tmp_path / "torchvision").mkdir()
    (tmp_path / "torchvision/__init__.py").write_text("raise RuntimeError('no operator')\n")
    program = f"import sys; sys.path[:0] = {[str(tmp_path), str(project_root)]}\n"
    program += BROKEN.format(database=str(database))
    printed = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert printed.stdout.startswith(
        "Tensor torchvision cannot be imported (no operator), so images and masks are plain tensors."
    )
