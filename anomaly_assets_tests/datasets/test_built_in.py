"""Test that built-in datasets agree with functions that classify paths without declarations."""

import json
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from anomaly_assets.datasets import SOURCE_DATASETS
from anomaly_assets.datasets.known import official_counts
from anomaly_assets.datasets.names import canonical_path
from anomaly_assets_tests.datasets.by_hand import BY_HAND, plain
from anomaly_assets_tests.datasets.paths import WORDS, any_path, folder_name, stem

PROJECT = Path(__file__).parents[2]
SHARED = PROJECT.parent / "shared"
REAL = SHARED / "real" / "official_layout"
PUBLISHED = SHARED / "official_counts.json"


def assert_agreement(name: str, path: str) -> None:
    path = canonical_path(path)
    assert plain(SOURCE_DATASETS[name].classify(path)) == BY_HAND[name](path), path


def files(root: Path) -> list[str]:
    return [path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_file()]


@pytest.mark.parametrize("name", BY_HAND)
def test_every_file_of_the_sample_roots_has_the_same_record(name: str) -> None:
    found = files(PROJECT / "data" / "samples" / name)
    assert len(found) > 10
    for path in found:
        for around in ("", "around/"):
            assert_agreement(name, around + path)


@pytest.mark.skipif(not REAL.is_dir(), reason="the real excerpts are not on this machine")
@pytest.mark.parametrize("name", BY_HAND)
def test_every_file_of_the_real_excerpts_has_the_same_record(name: str) -> None:
    found = files(REAL / name)
    assert len(found) > 10
    for path in found:
        assert_agreement(name, path)
    # Here a folder is around the dataset, and the other dataset is beside it.
    for path in files(REAL):
        assert_agreement(name, path)


word = st.sampled_from([name for name in WORDS if name not in ("", ".", "..")])
part = st.one_of(
    word, folder_name, st.sampled_from(["train", "test", "ground_truth", "Train", "Test", "Label"])
)
file_name = st.builds(
    lambda stem, ending, suffix: stem + ending + suffix,
    stem,
    st.sampled_from(["", "", "_mask", "_MASK", "_label", "_Label"]),
    st.sampled_from([".png", ".png", ".PNG", ".jpg", ".txt", ""]),
)
likely_path = st.builds(
    lambda folders, name: "/".join([*folders, name]),
    st.lists(part, max_size=5),
    st.one_of(file_name, word),
)


@pytest.mark.slow
@pytest.mark.parametrize("name", BY_HAND)
@settings(max_examples=400)
@given(path=st.one_of(likely_path, likely_path, any_path))
@example("Class1/Class1/Train/1.PNG")
@example("around/Class1/Class1/Train/Label/1_LABEL.png")
@example("around/Class1/Class2/Train/1.PNG")
@example("bottle/ground_truth/000_MASK.png")
@example("bottle/test/train/000.jpg")
@example("Class1/Train/Label/labels.TXT")
@example("Class1/1.png")
@example("_mask.png/ground_truth/_mask.png")
@example("around/train/test/000.png")
@example("class1/1.png")
def test_random_paths_have_the_same_record(name: str, path: str) -> None:
    if not path.endswith("/"):  # no file has such a path
        assert_agreement(name, path)


@pytest.mark.slow
@pytest.mark.parametrize("name", BY_HAND)
@given(
    around=st.sampled_from(["", "around/"]),
    category=folder_name,
    place=st.sampled_from(["train", "test", "ground_truth", "Train", "Test", "Train/Label"]),
    defect=st.one_of(st.just(""), folder_name.map("{}/".format)),
    file=file_name,
    double=st.booleans(),
)
def test_paths_in_the_layouts_have_the_same_record(
    name: str, around: str, category: str, place: str, defect: str, file: str, double: bool
) -> None:
    categories = f"{category}/{category}" if double else category
    assert_agreement(name, f"{around}{categories}/{place}/{defect}{file}")


@pytest.mark.skipif(not PUBLISHED.is_file(), reason="the published numbers are not on this machine")
@pytest.mark.parametrize("name", BY_HAND)
def test_the_counts_are_the_published_ones(name: str) -> None:
    published: dict[tuple[str, str, str], int] = {}
    for category, facts in json.loads(PUBLISHED.read_text("utf-8"))[name].items():
        for split in ("train", "test"):
            images = facts.get(split) or facts[split.capitalize()]
            good = images.get("good", 0)
            anomalous = (
                images["anomalous"] if "anomalous" in images else sum(images.values()) - good
            )
            published |= {
                (category, split, "good"): good,
                (category, split, "anomalous"): anomalous,
            }
    assert {
        (each.category, each.split, each.label): each.images
        for each in official_counts([SOURCE_DATASETS[name]])
    } == published


def test_what_else_the_datasets_promise() -> None:
    mvtec, dagm = SOURCE_DATASETS["mvtec_ad"], SOURCE_DATASETS["dagm_2007"]
    assert (mvtec.title, mvtec.licence) == ("MVTec AD", "CC BY-NC-SA 4.0")
    assert (dagm.title, dagm.licence) == ("DAGM 2007", "CC BY 4.0")
    assert (mvtec.training_is_good, dagm.training_is_good) == (True, False)
    for dataset in (mvtec, dagm):
        assert dataset.declaration.unmasked == "good"
        assert dataset.formats == ("PNG", "JPEG", "BMP", "TIFF", "WEBP")
        assert dataset.suffixes == (".png",)
        assert dataset.default_root == f"data/samples/{dataset.name}"
