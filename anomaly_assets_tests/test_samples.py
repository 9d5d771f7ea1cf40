"""Test properties of the committed sample data that other code relies on."""

import hashlib
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tools.synthetic_samples import (
    DEFAULT_OUT,
    Draw,
    draw_bolt,
    draw_surface,
    draw_woven,
    planned_samples,
    write_samples,
)

SAMPLES = list(planned_samples())
MASKED = [sample for sample in SAMPLES if sample.mask_path is not None]


def relative_files(root: Path) -> set[str]:
    return {path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_file()}


def pixels(path: Path) -> np.ndarray:
    with Image.open(path) as image:
        return np.asarray(image)


@pytest.fixture(scope="module")
def regenerated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("samples")
    write_samples(out)
    return out


@pytest.mark.slow
def test_a_new_run_writes_the_same_paths_as_are_committed(regenerated: Path) -> None:
    assert relative_files(regenerated) == relative_files(DEFAULT_OUT)


@pytest.mark.slow
def test_a_new_run_draws_the_same_pixels_and_texts_as_are_committed(regenerated: Path) -> None:
    for name in sorted(relative_files(regenerated)):
        new, committed = regenerated / name, DEFAULT_OUT / name
        if new.suffix == ".txt":
            assert new.read_bytes() == committed.read_bytes(), name
            continue
        drawn, kept = pixels(new), pixels(committed)
        assert drawn.shape == kept.shape, name
        # No pixel differs on x86-64; the sine of another processor may change a pixel by one grey level.
        assert np.mean(drawn != kept) < 1e-4, name


@pytest.mark.slow
@pytest.mark.parametrize(
    "draw",
    [
        partial(draw_woven, defect="tear"),
        partial(draw_woven, defect="stain"),
        partial(draw_bolt, defect="scratch"),
        partial(draw_bolt, defect="bent_thread"),
        partial(draw_surface, texture="mottled", anomalous=True),
        partial(draw_surface, texture="brushed", anomalous=True),
    ],
)
def test_equal_seeds_draw_equal_pictures_and_other_seeds_draw_others(draw: Draw) -> None:
    first, again, other = (draw(np.random.default_rng(seed)) for seed in (7, 7, 8))
    assert np.array_equal(first.image, again.image)
    assert first.mask is not None
    assert again.mask is not None
    assert np.array_equal(first.mask, again.mask)
    assert not np.array_equal(first.image, other.image)


@pytest.mark.parametrize(
    ("folder", "mode", "size", "count"),
    [
        ("mvtec_ad/woven", "RGB", (700, 700), 17),
        ("mvtec_ad/bolt", "L", (800, 800), 17),
        ("dagm_2007/Class1", "L", (512, 512), 14),
        ("dagm_2007/Class2", "L", (512, 512), 14),
    ],
)
def test_every_category_has_one_mode_and_one_size(
    folder: str, mode: str, size: tuple[int, int], count: int
) -> None:
    paths = [sample.path for sample in SAMPLES if sample.path.startswith(f"{folder}/")]
    assert len(paths) == count
    for path in paths:
        with Image.open(DEFAULT_OUT / path) as image:
            assert (image.format, image.mode, image.size) == ("PNG", mode, size), path


def test_mvtec_ad_has_a_mask_for_every_image_of_a_defect_and_for_no_other() -> None:
    root = DEFAULT_OUT / "mvtec_ad"
    assert all(path.parent.name == "good" for path in root.glob("*/train/*/*.png"))
    anomalous = {
        f"{path.parts[-4]}/ground_truth/{path.parent.name}/{path.stem}_mask.png"
        for path in root.glob("*/test/*/*.png")
        if path.parent.name != "good"
    }
    masks = {path.relative_to(root).as_posix() for path in root.glob("*/ground_truth/*/*")}
    assert len(masks) == 12
    assert masks == anomalous


def test_dagm_2007_has_masks_in_both_splits_of_class1_and_only_in_the_test_split_of_class2() -> (
    None
):
    root = DEFAULT_OUT / "dagm_2007"
    assert {path.relative_to(root).as_posix() for path in root.rglob("*_label.PNG")} == {
        "Class1/Test/Label/0002_label.PNG",
        "Class1/Test/Label/0005_label.PNG",
        "Class1/Train/Label/0009_label.PNG",
        "Class1/Train/Label/0012_label.PNG",
        "Class2/Test/Label/0003_label.PNG",
        "Class2/Test/Label/0006_label.PNG",
    }


def test_dagm_2007_numbers_the_test_split_first() -> None:
    for category in ("Class1", "Class2"):
        folder = DEFAULT_OUT / "dagm_2007" / category
        test, train = (
            sorted(path.name for path in folder.glob(f"{split}/*.PNG"))
            for split in ("Test", "Train")
        )
        assert test == [f"{n:04}.PNG" for n in range(1, 7)]
        assert train == [f"{n:04}.PNG" for n in range(7, 15)]


def test_masks_are_grey_image_sized_and_exactly_black_and_white() -> None:
    for sample in MASKED:
        with (
            Image.open(DEFAULT_OUT / sample.path) as image,
            Image.open(DEFAULT_OUT / str(sample.mask_path)) as mask,
        ):
            assert (mask.mode, mask.size) == ("L", image.size), sample.mask_path
            assert set(np.unique(np.asarray(mask))) == {0, 255}, sample.mask_path


def test_every_defect_covers_enough_pixels_to_survive_a_resize_to_256() -> None:
    for sample in MASKED:
        with Image.open(DEFAULT_OUT / str(sample.mask_path)) as mask:
            small = np.asarray(mask.resize((256, 256), Image.Resampling.NEAREST))
        assert 50 < np.count_nonzero(small) < small.size / 10, sample.mask_path


def test_no_two_images_are_alike() -> None:
    digests = [hashlib.sha256(pixels(DEFAULT_OUT / s.path).tobytes()).digest() for s in SAMPLES]
    assert len(set(digests)) == len(SAMPLES) == 62


def test_labels_txt_has_the_official_format() -> None:
    test_labels = DEFAULT_OUT / "dagm_2007/Class1/Test/Label/Labels.txt"
    assert test_labels.read_bytes() == (
        b"1\n"
        b"0001\t0\t0001.PNG\t0\t0\t\n"
        b"0002\t1\t0002.PNG\t0\t0002_label.PNG\n"
        b"0003\t0\t0003.PNG\t0\t0\t\n"
        b"0004\t0\t0004.PNG\t0\t0\t\n"
        b"0005\t1\t0005.PNG\t0\t0005_label.PNG\n"
        b"0006\t0\t0006.PNG\t0\t0\t\n"
    )
    train_rows = (DEFAULT_OUT / "dagm_2007/Class1/Train/Label/Labels.txt").read_text().splitlines()
    assert train_rows[:4] == [
        "1",
        "0007\t0\t0007.PNG\t0\t0\t",
        "0008\t0\t0008.PNG\t0\t0\t",
        "0009\t1\t0009.PNG\t0\t0009_label.PNG",
    ]
    assert len(train_rows) == 9


def test_class2_has_no_labels_txt() -> None:
    assert not list((DEFAULT_OUT / "dagm_2007/Class2").rglob("Labels.txt"))


def test_readme_and_license_say_that_the_files_are_synthetic_and_free() -> None:
    for name in ("readme.txt", "license.txt"):
        text = (DEFAULT_OUT / "mvtec_ad" / name).read_text()
        for words in ("synthetic", "python -m anomaly_assets.samples", "CC0", "not MVTec's"):
            assert words in text


def test_all_files_together_stay_below_8_megabytes() -> None:
    sizes = [path.stat().st_size for path in DEFAULT_OUT.rglob("*") if path.is_file()]
    assert sum(sizes) < 8_000_000
