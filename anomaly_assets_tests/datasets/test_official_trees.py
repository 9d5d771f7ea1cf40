"""Test built-in declarations on trees in the official layouts: each path is classified as in the truth."""

from collections import Counter, defaultdict
from collections.abc import Iterable
from pathlib import Path

import pytest
from PIL import Image

from anomaly_assets.datasets.classify import Classifier
from anomaly_assets.datasets.declaration_files import BUILT_IN, built_in_declaration
from anomaly_assets.datasets.record import (
    Ignored,
    ImageFile,
    MaskFile,
    Record,
    Stray,
    TableFile,
)
from anomaly_assets.datasets.words import UNSPECIFIED
from anomaly_assets_tests.datasets.pairing import paired
from anomaly_assets_tests.official.files import (
    TrueFile,
    TrueImage,
    TrueMask,
    TrueStray,
    TrueTable,
)
from anomaly_assets_tests.official_trees import (
    LAYOUTS,
    Truth,
    Variation,
    converted_copy,
    flattened_copy,
    partial_copy,
    planned,
    renamed_copy,
    write_tree,
)

CLASSIFIERS = {name: Classifier(built_in_declaration(name)) for name in BUILT_IN}

VARIATIONS: dict[str, Variation] = {
    "official": lambda truth: truth,
    "renamed": renamed_copy,
    "partial": partial_copy,
    "flattened": flattened_copy,
    "renamed and partial": lambda truth: renamed_copy(partial_copy(truth)),
}

TREES = [
    *(pytest.param(name, how, id=f"{name} {how}") for name in BUILT_IN for how in VARIATIONS),
    pytest.param("visa", "converted", id="visa converted"),
    pytest.param("visa", "converted, one folder deeper", id="visa converted, one folder deeper"),
]

FINDS_IMAGES = {
    "mvtec_ad": {"mpdd", "mvtec_loco_ad", "mvtec_ad_2", "btad"},
    "mpdd": {"mvtec_ad", "mvtec_loco_ad", "mvtec_ad_2", "btad"},
    "mvtec_loco_ad": {"mvtec_ad", "mpdd", "mvtec_ad_2", "btad"},
    "mvtec_ad_2": {"mvtec_ad", "mpdd", "mvtec_loco_ad", "btad"},
    "btad": {"mvtec_ad", "mpdd", "mvtec_loco_ad", "mvtec_ad_2"},
}
"""Other declarations that find images in a tree; with no other one does."""

PAIRS_MASKS = {
    "mvtec_ad": {"mvtec_ad": 1.0, "mpdd": 1.0},
    "mpdd": {"mvtec_ad": 1.0, "mpdd": 1.0},
    "btad": {"btad": 1.0, "mvtec_ad": 1 / 3, "mpdd": 1 / 3},
}
"""Share of the masks that each declaration pairs in a tree; in all other trees only the own one pairs any.

MPDD has the layout of MVTec AD. In BTAD, the product with PNG files has a layout that is read as MVTec AD.
"""


def varied(name: str, how: str) -> Truth:
    """Return a small tree."""
    truth = planned(name)
    if how.startswith("converted"):
        converted = converted_copy(truth)
        return renamed_copy(converted) if "deeper" in how else converted
    return VARIATIONS[how](truth)


def classified(name: str, files: Iterable[TrueFile]) -> list[Record]:
    """Return the record of each file by a built-in declaration."""
    return [CLASSIFIERS[name].classify(file.file) for file in files]


def as_classified(file: TrueFile, dataset: str) -> tuple[object, ...]:
    """Return what the path of a file alone gives."""
    if isinstance(file, TrueImage):
        gives = file.path_gives
        label = file.label if "label" in gives else None
        return (
            ImageFile,
            file.path,
            file.category if "category" in gives else None,
            file.split if "split" in gives else None,
            label,
            file.defect_type if label else None,
        )
    if isinstance(file, TrueStray):
        return (Stray, file.reason)
    if isinstance(file, TrueMask):
        return (MaskFile, file.path)
    return (TableFile, file.path) if isinstance(file, TrueTable) else (Ignored,)


def summary(record: Record) -> tuple[object, ...]:
    """Return a record in the form of `as_classified`."""
    if isinstance(record, ImageFile):
        defect_type = record.defect_type
        if record.label == "anomalous":  # a word such as `ko` names no type
            defect_type = defect_type or UNSPECIFIED
        return (ImageFile, *record[:4], defect_type)
    if isinstance(record, Stray):
        return (Stray, record.reason)
    if isinstance(record, Ignored):
        return (Ignored,)
    return (type(record), record.relative_path)


@pytest.mark.parametrize(("name", "how"), TREES)
def test_every_path_becomes_what_it_is(name: str, how: str) -> None:
    truth = varied(name, how)
    for file, record in zip(truth.files, classified(name, truth.files), strict=True):
        assert summary(record) == as_classified(file, name), file.file


@pytest.mark.parametrize(("name", "how"), TREES)
def test_every_mask_has_its_image(name: str, how: str) -> None:
    truth = varied(name, how)
    masks = defaultdict(list)
    for image in truth.images:
        for mask in image.masks:
            masks[mask].append(image.path)
    assert set(masks) == {mask.path for mask in truth.masks}
    assert paired(classified(name, truth.files)) == masks


@pytest.mark.parametrize("name", BUILT_IN)
def test_a_tree_in_another_case_is_found_on_request(name: str) -> None:
    truth = planned(name)
    ignoring_case = Classifier(built_in_declaration(name), ignore_case=True)
    for file in truth.images:
        assert isinstance(ignoring_case.classify(file.file.swapcase()), ImageFile), file.file


@pytest.mark.parametrize("own", BUILT_IN)
@pytest.mark.parametrize("of_tree", BUILT_IN)
def test_most_masks_are_paired_by_the_own_declaration(own: str, of_tree: str) -> None:
    tree = planned(of_tree)
    records = classified(own, tree.files)
    share = sum(map(bool, paired(records).values())) / len(tree.masks)
    assert share == PAIRS_MASKS.get(of_tree, {of_tree: 1.0}).get(own, 0.0)
    finds_images = any(isinstance(record, ImageFile) for record in records)
    assert finds_images == (own == of_tree or own in FINDS_IMAGES.get(of_tree, set()))


@pytest.mark.parametrize("own", BUILT_IN)
def test_no_other_declaration_pairs_masks_of_a_converted_visa(own: str) -> None:
    records = classified(own, converted_copy(planned("visa")).files)
    assert any(paired(records).values()) == (own == "visa")


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=pytest.mark.slow) if name == "real_iad" else name  # 150,000 images
        for name in BUILT_IN
    ],
)
def test_trees_with_official_numbers_have_the_published_counts(name: str) -> None:
    counts = built_in_declaration(name).counts
    images = planned(name, None).images
    if counts is None:
        assert name == "mvtec_ad_2"
    elif counts.images is not None:
        assert len(images) == counts.images
    elif counts.total is not None:
        by_label = Counter(
            ("all" if "all" in counts.total else image.split, image.label) for image in images
        )
        assert by_label == {
            (split, label): number
            for split, pair in counts.total.items()
            for label, number in zip(("good", "anomalous"), pair, strict=True)
            if number
        }
    else:
        found = Counter((image.category, image.split, image.label) for image in images)
        assert found == {
            (category, split, label): number
            for category, splits in counts.category.items()
            for split, pair in splits.items()
            for label, number in zip(("good", "anomalous"), pair, strict=True)
            if number
        }


def test_every_built_in_dataset_has_a_tree() -> None:
    assert tuple(LAYOUTS) == BUILT_IN


@pytest.mark.parametrize("name", BUILT_IN)
def test_pictures_have_the_format_of_their_suffix_and_masks_their_values(
    name: str, tmp_path: Path
) -> None:
    truth = write_tree(name, tmp_path, 1)
    assert {path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*.*")} >= {
        file.file for file in (*truth.images, *truth.masks)
    }
    values = set()
    for file in (*truth.images, *truth.masks):
        with Image.open(tmp_path / file.file) as picture:
            assert picture.format == Image.registered_extensions()[Path(file.file).suffix.lower()]
            if isinstance(file, TrueMask):
                values |= {value for _, value in picture.getcolors()}
    assert values == {"visa": {0, 1}, "mvtec_loco_ad": {0, 1, 2}}.get(name, {0, 255})
    contents = [(tmp_path / image.file).read_bytes() for image in truth.images]
    assert len(set(contents)) == len(contents)


def test_a_partial_copy_misses_images_and_masks_and_keeps_the_rows_of_tables() -> None:
    whole, part = planned("visa"), partial_copy(planned("visa"))
    assert len(part.images) == len(whole.images) / 2
    assert len(part.masks) == len(whole.masks) / 4
    assert len(part.missing) == len(whole.images) / 2
    black = partial_copy(planned("kolektor_sdd"))
    assert {image.label for image in black.images} == {"good", "anomalous", "unknown"}


def test_equal_pictures_of_a_tree_with_official_numbers_are_links(tmp_path: Path) -> None:
    truth = write_tree("kolektor_sdd", tmp_path, None)
    assert len(truth.images) == 399
    assert len({(tmp_path / file.file).stat().st_ino for file in truth.files}) == 3
