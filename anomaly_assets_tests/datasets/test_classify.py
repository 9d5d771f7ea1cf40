"""Test the classification of paths by a declaration."""

import unicodedata
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from anomaly_assets.datasets import SOURCE_DATASETS
from anomaly_assets.datasets.classify import Classifier
from anomaly_assets.datasets.declaration_files import declared
from anomaly_assets.datasets.patterns import folded
from anomaly_assets.datasets.record import (
    Ignored,
    ImageFile,
    MaskFile,
    Placed,
    Record,
    Stray,
    TableFile,
    key_of,
)
from anomaly_assets_tests.datasets.declared import (
    EXAMPLES,
    any_keys,
    classifier,
    declarations,
    table,
)
from anomaly_assets_tests.datasets.paths import any_path

Summary = tuple[Any, ...]

UNRECOGNISED = ("stray", "unrecognised_path")
UNSUPPORTED = ("stray", "unsupported_suffix")


def summary(record: Record) -> Summary:
    """Return the kind of a record and its category and split; of images, label and defect type too."""
    if isinstance(record, Ignored):
        return ("junk",)
    if isinstance(record, Stray):
        return ("stray", record.reason)
    if isinstance(record, ImageFile):
        return ("image", record.category, record.split, record.label, record.defect_type)
    return ("mask" if isinstance(record, MaskFile) else "table", record.category, record.split)


@pytest.mark.parametrize(
    ("name", "path", "expected"),
    [
        ("housing", "a/train/ok/1.jpg", ("image", "a", "train", "good", None)),
        ("housing", "a/test/dent/7.TIF", ("image", "a", "test", "anomalous", "dent")),
        (
            "housing",
            "a/validation/NG/7.webp",
            ("image", "a", "validation", "anomalous", "unspecified"),
        ),
        ("housing", "a/ground_truth/dent/7_mask.png", ("mask", "a", "test")),
        ("housing", "a/ground_truth/dent/7.png", UNRECOGNISED),
        ("housing", "a/test/dent/7.txt", UNSUPPORTED),
        ("housing", "a/Test/dent/7.png", UNRECOGNISED),
        ("housing", "x/a/test/dent/7.png", UNRECOGNISED),
        ("housing", "a/test/.hidden/7.png", ("junk",)),
        ("housing", "README.md", ("junk",)),
        ("housing", "../a/test/dent/7.png", ("stray", "unsafe_path")),
        ("screws", "ok/1.png", ("image", None, None, "good", None)),
        ("screws", "NG/monday/line 4/1.jpeg", ("image", None, None, "anomalous", None)),
        ("screws", "odd/1.png", UNRECOGNISED),
        ("screws", "1.png", UNRECOGNISED),
        ("own_visa", "pcb1/Data/Images/Normal/1.JPG", ("image", "pcb1", None, "good", None)),
        ("own_visa", "pcb1/Data/Images/Anomaly/1.JPG", ("image", "pcb1", None, "anomalous", None)),
        ("own_visa", "pcb1/Data/Masks/Anomaly/1.png", ("mask", "pcb1", None)),
        ("own_visa", "split_csv/1cls.csv", ("table", None, None)),
        ("own_visa", "split_csv/2cls.csv", UNRECOGNISED),
        ("own_visa", "pcb1/image_anno.csv", ("stray", "not_needed")),
        ("own_kolektor", "train/10000.png", ("image", None, "train", None, None)),
        ("own_kolektor", "train/10000_GT.png", ("mask", None, "train")),
        ("own_kolektor", "test/10000_gt.PNG", ("mask", None, "test")),
        ("mvtec_loco", "box/test/good/0.png", ("image", "box", "test", "good", None)),
        (
            "mvtec_loco",
            "box/ground_truth/logical_anomalies/0/001.png",
            ("mask", "box", "test"),
        ),
        ("castings", "siteA/bolt/1.jpg", ("image", "siteA/bolt", None, None, None)),
        ("castings", "siteA/bolt/1.json", ("mask", None, None)),
        ("castings", "siteA/1.jpg", UNRECOGNISED),
    ],
)
def test_paths_of_the_examples_mean_what_the_language_says(
    name: str, path: str, expected: Summary
) -> None:
    assert summary(Classifier(declarations(EXAMPLES)[name]).classify(path)) == expected


def test_a_mask_shares_the_text_of_every_placeholder_with_its_image() -> None:
    loco = Classifier(declarations(EXAMPLES)["mvtec_loco"])
    image = loco.classify("box/test/broken/000.png")
    mask = loco.classify("box/ground_truth/broken/000/001.png")
    assert isinstance(image, ImageFile)
    assert isinstance(mask, MaskFile)
    assert mask.texts == {"category": "box", "defect_type": "broken", "name": "000"}
    assert image.texts == {**mask.texts, "split": "test"}
    assert set(mask.fields) == {"category", "defect_type", "name", "split"}
    assert key_of(mask, mask.fields) == key_of(image, mask.fields)
    assert mask.entry.unites


def test_strays_are_tried_first_then_tables_masks_and_images() -> None:
    kinds = classifier(
        """[line4]
        images = ["{category}/{name}", "{category}/{label}/{name}"]
        masks = ["{category}/{name}.png", "m/{name}"]
        tables = [{ path = "{category}/1.*", read = "dagm_labels" }]
        strays = [{ path = "a/1.png", reason = "broken" }]
        """
    )
    assert summary(kinds.classify("a/1.png")) == ("stray", "broken")
    assert summary(kinds.classify("b/1.png"))[0] == "table"
    assert summary(kinds.classify("b/2.png"))[0] == "mask"
    assert summary(kinds.classify("b/2.jpg"))[0] == "image"
    assert summary(kinds.classify("m/2.jpg"))[0] == "mask"


def test_the_first_pattern_that_matches_decides() -> None:
    first = classifier(
        """[line4]
        images = [{ path = "a/{name}", label = "ok" }, "{label}/{name}", "{category}/{name}"]
        """
    )
    assert summary(first.classify("a/1.png")) == ("image", None, None, "good", None)
    assert summary(first.classify("ng/1.png")) == ("image", None, None, "anomalous", None)
    assert summary(first.classify("bolt/1.png")) == ("image", "bolt", None, None, None)


@pytest.mark.parametrize(
    ("folders", "path", "expected"),
    [
        (0, "around/a/train/1.png", None),
        (1, "around/a/train/1.png", "a/train/1.png"),
        (1, "a/train/1.png", "a/train/1.png"),
        (1, "two/around/a/train/1.png", None),
        (2, "two/around/a/train/1.png", None),
        (2, "around/a/a/train/1.png", "a/train/1.png"),
        (2, "a/a/train/1.png", "a/train/1.png"),
    ],
)
def test_folders_around_the_dataset_are_cut_off(
    folders: int, path: str, expected: str | None
) -> None:
    keys = {"images": ["{category}/{split}/{name}"], "folders_around": folders}
    record = classifier(table("line4", keys)).classify(path)
    if expected is None:
        assert record == Stray(path, "unrecognised_path")
    else:
        assert isinstance(record, ImageFile)
        assert (record.relative_path, record.category) == (expected, "a")


def test_a_path_that_matches_as_a_whole_is_not_cut() -> None:
    keys = {"images": ["{category}/{split}/{name}", "{split}/{name}"], "folders_around": 1}
    assert summary(classifier(table("line4", keys)).classify("train/test/1.png"))[1:3] == (
        "train",
        "test",
    )


def test_a_suffix_in_the_pattern_is_the_only_one() -> None:
    only = classifier('[line4]\nimages = ["{name}.png"]\nformats = ["jpeg"]\n')
    assert summary(only.classify("1.PNG"))[0] == "image"
    assert summary(only.classify("1.jpg")) == UNSUPPORTED


def test_formats_are_the_suffixes_of_a_pattern_without_one() -> None:
    only = classifier('[line4]\nimages = ["{name}"]\nformats = ["jpeg"]\n')
    assert summary(only.classify("1.JPEG"))[0] == "image"
    assert summary(only.classify("1.png")) == UNSUPPORTED


def test_any_suffix_of_known_strays_and_of_tables_is_meant() -> None:
    known = classifier('[line4]\nimages = ["{name}"]\nstrays = ["notes/**", "{category}/log"]\n')
    assert summary(known.classify("notes/a/b.docx")) == ("stray", "not_needed")
    assert summary(known.classify("a/LOG.7")) == ("stray", "not_needed")


def test_shapes_of_labelme_are_json_files() -> None:
    shapes = classifier(
        '[line4]\nimages = ["{name}"]\nmasks = [{ path = "{name}", read = "labelme" }]\n'
    )
    assert summary(shapes.classify("1.json"))[0] == "mask"
    assert summary(shapes.classify("1.png"))[0] == "image"


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("ok/scratch/1.png", ("image", None, None, "good", None)),
        ("ng/scratch/1.png", ("image", None, None, "anomalous", "scratch")),
        ("ng/ok/1.png", ("image", None, None, "anomalous", "unspecified")),
    ],
)
def test_a_label_is_stronger_than_the_type_of_a_defect(path: str, expected: Summary) -> None:
    both = classifier('[line4]\nimages = ["{label}/{defect_type}/{name}"]\n')
    assert summary(both.classify(path)) == expected


def test_own_words_are_added_to_the_others() -> None:
    own = classifier(
        """[line4]
        images = ["{split}/{label}/{name}"]
        words = { good = ["I.O."], anomalous = ["n.i.o."], train = ["Lernen"] }
        """
    )
    assert summary(own.classify("Lernen/i.o./1.png"))[2:4] == ("train", "good")
    assert summary(own.classify("test/N.I.O./1.png"))[2:4] == ("test", "anomalous")
    assert summary(own.classify("lernen/ok/1.png")) == UNRECOGNISED


def test_folders_match_in_any_case_on_request() -> None:
    housing = Classifier(declarations(EXAMPLES)["housing"], ignore_case=True)
    assert summary(housing.classify("a/TEST/dent/7.png"))[2] == "test"
    assert summary(housing.classify("a/Ground_Truth/dent/7_mask.png"))[0] == "mask"


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("Class1/train/1.PNG", "Class1/Train/1.PNG"),
        ("class1/TRAIN/label/1_LABEL.png", "class1/Train/Label/1_LABEL.png"),
        ("around/CLASS1/class1/train/label/LABELS.txt", "class1/Train/Label/LABELS.txt"),
    ],
)
def test_folders_in_another_case_get_the_spelling_of_the_pattern(path: str, expected: str) -> None:
    dagm = SOURCE_DATASETS["dagm_2007"]
    assert isinstance(dagm.classify(path), Stray)
    record = dagm.loose_classifier.classify(path)
    assert isinstance(record, Placed)
    assert record.relative_path == expected


def test_a_category_of_the_table_may_have_placeholders() -> None:
    sites = classifier('[line4]\ncategory = "{site}-{line}"\nimages = ["{site}/{line}/{name}"]\n')
    assert summary(sites.classify("a/b/1.png"))[1] == "a-b"


def test_paths_are_compared_with_composed_letters() -> None:
    word = "D\u00e9faut"
    own = classifier(f'[line4]\nimages = ["{word}/{{name}}"]\n')
    record = own.classify(unicodedata.normalize("NFD", f"{word}/1.png"))
    assert isinstance(record, ImageFile)
    assert record.relative_path == f"{word}/1.png"


@pytest.mark.slow
@settings(suppress_health_check=[HealthCheck.too_slow])
@given(keys=any_keys, paths=st.lists(any_path, min_size=1, max_size=8), ignore_case=st.booleans())
def test_any_declaration_and_any_path_give_exactly_one_record(
    keys: dict[str, Any], paths: list[str], ignore_case: bool
) -> None:
    found = declared({"line4.toml": table("line4", keys).encode()})
    assert bool(found.problems) is not bool(found.declarations)
    for declaration in found.declarations:
        kinds = Classifier(declaration, ignore_case=ignore_case)
        for path in paths:
            record = kinds.classify(path)
            assert isinstance(record, (ImageFile, MaskFile, TableFile, Stray, Ignored))
            assert kinds.classify(path) == record
            if not isinstance(record, Ignored):
                whole, own = unicodedata.normalize("NFC", path), record.relative_path
                if ignore_case:
                    whole, own = folded(whole), folded(own)
                assert f"/{whole}".endswith(f"/{own}")
            if isinstance(record, Placed):
                assert record.split in ("train", "test", "validation", None)
                assert all(record.texts.values())
            if isinstance(record, ImageFile):
                assert record.label in ("good", "anomalous", None)
                assert any(set(record.texts) == set(e.pattern.fields) for e in declaration.images)
            elif isinstance(record, (MaskFile, TableFile)):
                assert set(record.texts) == set(record.entry.pattern.fields)
                assert set(record.texts) <= set(record.fields)
