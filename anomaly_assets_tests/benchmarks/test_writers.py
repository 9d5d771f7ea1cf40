"""Test that the tools in `make bench` write the same pixels as Pillow decodes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from benchmarks.bench import NotMeasuredError, bare_seconds, python, written_seconds
from benchmarks.trees import Pictures, build_declared
from benchmarks.writers import DECODERS, TENSOR_BYTES, TOOLS, Item, Pixels, by_pillow
from benchmarks.writing import interpreter_of, listed

Rows = Iterator[tuple[str, int, Pixels]]


@pytest.fixture(scope="module")
def items(tmp_path_factory: pytest.TempPathFactory) -> list[Item]:
    chance, folder = np.random.default_rng(0), tmp_path_factory.mktemp("files")
    made = []
    for number in range(70):  # more than a batch of any tool
        shape = (40, 60, 3) if number % 3 else (60, 40)
        path = folder / f"{number}.png"
        Image.fromarray(chance.integers(0, 256, shape, np.uint8)).save(path)
        made.append(Item(f"line/{number}", str(path), number % 2))
    return made


def of_lance(folder: Path) -> Rows:
    lance = pytest.importorskip("lance")
    yield from rows(lance.dataset(str(folder / "images.lance")).to_table().to_pylist())


def of_datasets(folder: Path) -> Rows:
    datasets = pytest.importorskip("datasets")
    [path] = folder.rglob("*.arrow")
    yield from rows(datasets.Dataset.from_file(str(path)))


def of_daft(folder: Path) -> Rows:
    import pyarrow.parquet as pq

    yield from rows(pq.read_table(folder).to_pylist())


def of_webdataset(folder: Path) -> Rows:
    webdataset = pytest.importorskip("webdataset")
    shards = sorted(map(str, folder.glob("*.tar")))
    for sample in webdataset.WebDataset(shards, shardshuffle=False).decode():
        yield sample["txt"], sample["cls"], sample["npy"].reshape(-1)


def rows(found: Any) -> Rows:
    for row in found:
        image = row["image"]
        pixels = np.frombuffer(image, np.uint8) if isinstance(image, bytes) else np.array(image)
        yield row["image_id"], row["label"], pixels


READ: dict[str, Callable[[Path], Rows]] = {
    "lance": of_lance,
    "webdataset": of_webdataset,
    "datasets": of_datasets,
    "daft": of_daft,
}


def compare(items: list[Item], found: Rows, most_levels: int) -> None:
    held = {image_id: (label, pixels) for image_id, label, pixels in found}
    assert held.keys() == {item.image_id for item in items}
    for item in items:
        label, pixels = held[item.image_id]
        wanted = by_pillow(Path(item.path).read_bytes()).reshape(-1)
        assert label == item.label
        assert pixels.shape == (TENSOR_BYTES,)
        assert np.abs(pixels.astype(int) - wanted).max() <= most_levels


@pytest.mark.slow
@pytest.mark.parametrize(("decoder", "most_levels"), [("pillow", 0), ("ours", 2)])
@pytest.mark.parametrize("tool", ["lance", "webdataset", "datasets"])
def test_a_tool_writes_ids_labels_and_the_pixels_of_pillow(
    tool: str, decoder: str, most_levels: int, items: list[Item], tmp_path: Path
) -> None:
    pytest.importorskip(tool)
    TOOLS[tool](items, DECODERS[decoder], str(tmp_path))
    compare(items, READ[tool](tmp_path), most_levels)


@pytest.mark.slow
def test_daft_writes_the_same_in_its_own_environment(items: list[Item], tmp_path: Path) -> None:
    try:
        interpreter = interpreter_of("daft")
    except NotMeasuredError as error:
        assert "make bench-writers" in str(error)
        pytest.skip(str(error))
    assert written_seconds("daft", "pillow", items, tmp_path, interpreter) > 0
    compare(items, of_daft(tmp_path), 0)


def test_a_tool_that_is_not_installed_is_named_with_the_command_that_installs_it() -> None:
    with pytest.raises(NotMeasuredError, match=r"webdatasets is not installed: pip install -e"):
        interpreter_of("webdatasets")


@pytest.mark.slow
@pytest.mark.parametrize("suffix", ["jpg", "tif"])
def test_a_declared_dataset_of_other_files_is_recognised_as_a_whole(
    suffix: str, items: list[Item], tmp_path: Path
) -> None:
    pictures = Pictures([Path(item.path) for item in items[:2]], [], [], [], are_real=False)
    tree = build_declared(tmp_path, suffix, pictures, 8)
    assert len(tree.image_files()) == tree.images == 8
    assert tree.mask_files() == []
    assert {Image.open(path).size for path in tree.image_files()} == {(1024, 1024)}
    assert [label for _, _, label in listed(tree)].count(1) == 2
    assert bare_seconds(tree) > 0
    checked = python(["-m", "anomaly_assets", "datasets", "check", str(tree.declaration)])
    assert "8 images" in checked.output
