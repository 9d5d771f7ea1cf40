"""Test the classification of paths below an MVTec AD root."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from anomaly_assets.datasets import SOURCE_DATASETS
from anomaly_assets.datasets.names import normalized
from anomaly_assets.datasets.record import Ignored, Stray
from anomaly_assets_tests.datasets.by_hand import Image, Mask, Plain, plain
from anomaly_assets_tests.datasets.paths import any_path, folder_name, stem


def classify(path: str) -> Plain:
    return plain(SOURCE_DATASETS["mvtec_ad"].classify(path))


OFFICIAL = [
    (
        "bottle/train/good/000.png",
        Image("bottle/train/good/000.png", "bottle", "train", "good", "000", "good"),
    ),
    (
        "bottle/test/good/000.png",
        Image("bottle/test/good/000.png", "bottle", "test", "good", "000", "good"),
    ),
    (
        "bottle/test/broken_large/012.png",
        Image(
            "bottle/test/broken_large/012.png", "bottle", "test", "broken_large", "012", "anomalous"
        ),
    ),
    (
        "bottle/ground_truth/broken_large/012_mask.png",
        Mask(
            "bottle/ground_truth/broken_large/012_mask.png", "bottle", "test", "broken_large", "012"
        ),
    ),
]

FLAT = [
    (
        "bottle/train/016.png",
        Image("bottle/train/016.png", "bottle", "train", "", "016", "good"),
    ),
    ("bottle/test/000.png", Image("bottle/test/000.png", "bottle", "test", "", "000", None)),
    (
        "bottle/ground_truth/000_mask.png",
        Mask("bottle/ground_truth/000_mask.png", "bottle", "test", "", "000"),
    ),
]


@pytest.mark.parametrize(("path", "record"), OFFICIAL)
def test_the_official_layout_is_understood(path: str, record: Plain) -> None:
    assert classify(path) == record


@pytest.mark.parametrize(("path", "record"), FLAT)
def test_the_flat_excerpt_layout_is_understood(path: str, record: Plain) -> None:
    assert classify(path) == record


@pytest.mark.parametrize(("path", "record"), [*OFFICIAL, *FLAT])
def test_one_level_deeper_gives_the_same_record(path: str, record: Plain) -> None:
    assert classify(f"mvtec_anomaly_detection/{path}") == record


@pytest.mark.parametrize(
    ("path", "record"),
    [
        (
            "bottle/test/good/000.PNG",
            Image("bottle/test/good/000.PNG", "bottle", "test", "good", "000", "good"),
        ),
        (
            "bottle/ground_truth/broken/000_MASK.Png",
            Mask("bottle/ground_truth/broken/000_MASK.Png", "bottle", "test", "broken", "000"),
        ),
    ],
)
def test_suffixes_and_mask_endings_match_in_either_case(path: str, record: Plain) -> None:
    assert classify(path) == record


def test_a_flattened_copy_keeps_its_own_stem() -> None:
    path = "bottle/test/broken/000(1).png"
    record = Image(path, "bottle", "test", "broken", "000(1)", "anomalous")
    assert classify(path) == record


def test_a_mask_without_the_mask_ending_belongs_to_the_image_of_its_name() -> None:
    path = "bottle/ground_truth/broken/000.png"
    assert classify(path) == Mask(path, "bottle", "test", "broken", "000")


def test_a_defect_folder_in_train_makes_an_anomalous_training_image() -> None:
    path = "bottle/train/broken/000.png"
    assert classify(path) == Image(path, "bottle", "train", "broken", "000", "anomalous")


@pytest.mark.parametrize("wrapper", ["", "mvtec_anomaly_detection/", "train/"])
@pytest.mark.parametrize(
    "record",
    [
        Image("train/train/good/000.png", "train", "train", "good", "000", "good"),
        Image("train/test/broken/000.png", "train", "test", "broken", "000", "anomalous"),
        Mask("train/ground_truth/broken/000_mask.png", "train", "test", "broken", "000"),
    ],
)
def test_a_category_may_be_called_train(wrapper: str, record: Image | Mask) -> None:
    assert classify(wrapper + record.relative_path) == record


def test_a_flat_excerpt_of_a_category_called_train_is_read_at_the_root_alone() -> None:
    path = "train/train/000.png"
    assert classify(path) == Image(path, "train", "train", "", "000", "good")
    deeper = f"around/{path}"
    assert classify(deeper) == Image(deeper, "around", "train", "train", "000", "anomalous")


@pytest.mark.parametrize(
    "path",
    [
        "readme.txt",
        "bottle/license.txt",
        "bottle/train/good/.DS_Store",
        "bottle/train/good/._000.png",
        "bottle/test/Thumbs.db",
        "__MACOSX/bottle/train/good/000.png",
    ],
)
def test_junk_is_ignored(path: str) -> None:
    assert classify(path) == Ignored()


@pytest.mark.parametrize(
    ("path", "stray"),
    [
        ("000.png", Stray("000.png", "unrecognised_path")),
        ("", Stray("", "unrecognised_path")),
        ("bottle/000.png", Stray("bottle/000.png", "unrecognised_path")),
        ("train/good/000.png", Stray("train/good/000.png", "unrecognised_path")),
        ("bottle/Train/good/000.png", Stray("bottle/Train/good/000.png", "unrecognised_path")),
        ("bottle/test/a/b/000.png", Stray("bottle/test/a/b/000.png", "unrecognised_path")),
        ("a/b/c/train/good/000.png", Stray("a/b/c/train/good/000.png", "unrecognised_path")),
        ("a/bottle/notes.csv", Stray("a/bottle/notes.csv", "unrecognised_path")),
        ("bottle/test/bad/000.jpg", Stray("bottle/test/bad/000.jpg", "unsupported_suffix")),
        ("bottle/train/good/000", Stray("bottle/train/good/000", "unsupported_suffix")),
        ("bottle/train/good/000.png ", Stray("bottle/train/good/000.png ", "unsupported_suffix")),
        (
            "bottle/ground_truth/bad/000_mask.bmp",
            Stray("bottle/ground_truth/bad/000_mask.bmp", "unsupported_suffix"),
        ),
    ],
)
def test_what_belongs_to_no_image_is_a_stray_with_its_reason(path: str, stray: Stray) -> None:
    assert classify(path) == stray


def test_a_stray_inside_the_layout_has_its_canonical_path() -> None:
    assert classify("mvtec_anomaly_detection/bottle/train/good/000.jpg") == Stray(
        "bottle/train/good/000.jpg", "unsupported_suffix"
    )


@pytest.mark.parametrize(
    "path",
    [
        "Class1/Train/0576.PNG",
        "Class1/Train/Label/0595_label.PNG",
        "Class1/Train/Label/Labels.txt",
        "Class1/Class1/Test/0001.PNG",
        "DAGM_KaggleUpload/Class1/Test/0001.PNG",
        "DAGM_KaggleUpload/Class1/Class1/Test/Label/0002_label.PNG",
    ],
)
def test_a_dagm_root_is_no_mvtec_root(path: str) -> None:
    assert classify(path) == Stray(path, "unrecognised_path")


@given(any_path)
def test_any_path_is_exactly_one_record(path: str) -> None:
    record = classify(path)
    assert isinstance(record, (Image, Mask, Ignored, Stray))
    if not isinstance(record, Ignored):
        assert f"/{normalized(path)}".endswith(f"/{record.relative_path}")
    if isinstance(record, (Image, Mask)):
        assert record.relative_path.split("/")[0] == record.category


@given(
    wrapper=folder_name,
    category=folder_name,
    place=st.one_of(
        st.tuples(st.just("train"), st.just("good")),
        st.tuples(st.sampled_from(["test", "ground_truth"]), folder_name),
    ),
    stem=stem,
    suffix=st.sampled_from([".png", ".PNG", "_mask.png", ".jpg"]),
)
def test_a_wrapper_folder_never_changes_an_official_record(
    wrapper: str, category: str, place: tuple[str, str], stem: str, suffix: str
) -> None:
    path = "/".join([category, *place, stem + suffix])
    record = classify(path)
    assert classify(f"{wrapper}/{path}") == record
    if suffix.lower() == ".png" and place[0] != "ground_truth":
        assert isinstance(record, Image)
        assert record.relative_path == normalized(path)


@pytest.mark.parametrize(
    "path", ["box/ground_truth/logical_anomalies/000/001.png", "box/validation/good/000.png"]
)
def test_paths_of_the_layout_of_loco_are_strays(path: str) -> None:
    for found in (path, f"data/{path}"):
        assert classify(found) == Stray(found, "unrecognised_path")
