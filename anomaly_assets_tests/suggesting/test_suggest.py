"""Test that suggestions are valid for any listing, read few files, and claim no label without evidence."""

import io
import json
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from PIL import Image

from anomaly_assets.datasets.classify import Classifier
from anomaly_assets.datasets.declaration import Declaration
from anomaly_assets.datasets.declaration_files import declared
from anomaly_assets.datasets.record import ImageFile
from anomaly_assets.datasets.source_dataset import name_fault, taken_names
from anomaly_assets.suggesting.names import valid_name
from anomaly_assets.suggesting.suggest import Suggestion, suggest
from anomaly_assets.suggesting.tree import MOST_READS


def suggested(files: Mapping[str, bytes], **options: Any) -> Suggestion:
    listed = [(path, len(content)) for path, content in files.items()]
    return suggest("line4", listed, files.__getitem__, **options)


def declaration_of(suggestion: Suggestion) -> Declaration:
    found = declared({"line4.toml": suggestion.toml.encode()})
    assert [str(problem) for problem in found.problems] == []
    [declaration] = found.declarations
    return declaration


def patterns(suggestion: Suggestion) -> tuple[list[str], list[str]]:
    declaration = declaration_of(suggestion)
    return (
        [entry.pattern.text for entry in declaration.images],
        [entry.pattern.text for entry in declaration.masks],
    )


def png(pixels: np.ndarray) -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels.astype(np.uint8)).save(file, "PNG")
    return file.getvalue()


PHOTOGRAPH = png(np.random.default_rng(1).integers(0, 255, (16, 16, 3)))
BLACK = png(np.zeros((16, 16)))
WHITE_WITH_DEFECT = png(np.where(np.eye(16), 0, 255))


def many(folder: str, count: int = 6, suffix: str = ".png") -> dict[str, bytes]:
    return {f"{folder}/{number:03}{suffix}": PHOTOGRAPH for number in range(count)}


words = st.sampled_from(
    [
        *("good", "OK", "ng", "scratch", "train", "Test", "val", "images", "masks", "ground_truth"),
        *(
            "label",
            "001",
            "a{b}c",
            "x*y",
            "Öl",
            "unknown",
            "'",
            '"',
            "\\",
            "\x1b[0m",
            "a\udcff",
            " ",
        ),
    ]
)
names = st.builds(
    lambda parts, suffix: "_".join(parts) + suffix,
    st.lists(words, min_size=1, max_size=3),
    st.sampled_from([".png", ".JPG", ".json", ".csv", ".txt", "", ".tar.gz"]),
)
paths = st.builds(
    lambda folders, name: "/".join([*folders, name]), st.lists(words, max_size=4), names
)
contents = st.sampled_from(
    [
        *(
            PHOTOGRAPH,
            BLACK,
            WHITE_WITH_DEFECT,
            b"",
            b"\0\xff",
            b"[]",
            b'{"shapes": [], "imagePath": "x"}',
        ),
        b"image,split\ngood.png,train\nOK.png,test\n",
        b'{"train": [{"image": "good.png"}], "images": [], "annotations": []}',
    ]
)


LABELME = b'{"shapes": [], "imagePath": "x"}'


@given(st.dictionaries(paths, contents, max_size=25), st.text(max_size=50))
@example({"good.png": PHOTOGRAPH, "OK.json": LABELME, "good/OK.png": PHOTOGRAPH}, "")
def test_any_listing_gives_a_valid_declaration_or_a_reason(
    files: dict[str, bytes], name: str
) -> None:
    listed = [(path, len(content)) for path, content in files.items()]
    suggestion = suggest(name, listed, files.__getitem__, root="/data/ä")
    if suggestion.cannot is None:
        declaration_of(suggestion)
    else:
        assert suggestion.toml == ""


@given(st.text())
def test_any_folder_gives_a_valid_name(folder: str) -> None:
    name = valid_name(folder)
    assert name_fault(name) is None
    assert name not in taken_names()


@pytest.mark.parametrize(
    ("folder", "name"),
    [
        ("Gehäuse 2023", "gehaeuse_2023"),
        ("2024-05 Linie", "images_2024_05_linie"),
        ("order", "order_own"),
        ("mvtec_ad", "mvtec_ad_own"),
        ("线路", "images_own"),
    ],
)
def test_names_resemble_the_folder(folder: str, name: str) -> None:
    assert valid_name(folder) == name


def test_at_most_two_hundred_files_are_read() -> None:
    files = {f"images/{number}.png": b"" for number in range(900)}
    files |= {f"masks/{number}.png": b"" for number in range(900)}
    files |= {f"tables/{number}.csv": b"a,b\n1,2\n" for number in range(900)}
    read: list[str] = []

    def reading(path: str) -> bytes:
        read.append(path)
        return BLACK if path.startswith("masks") else files[path]

    suggest("line4", [(path, 9) for path in files], reading)
    assert 0 < len(read) <= MOST_READS


def test_large_tables_are_not_read() -> None:
    listed = [("good/1.png", 9), ("bad/2.png", 9), ("all.csv", 5 * 1024 * 1024)]
    assert suggest("line4", listed, lambda path: pytest.fail(path)).cannot is None


def test_a_folder_that_cannot_be_read_is_suggested_from_its_names() -> None:
    def refused(path: str) -> bytes:
        raise PermissionError(path)

    files = [*many("train/good"), *many("test/bad"), *many("ground_truth/bad", suffix="_mask.png")]
    suggestion = suggest("line4", [(path, 9) for path in files], refused)
    assert patterns(suggestion) == (
        ["{split}/{label}/{name}"],
        ["ground_truth/{label}/{name}_mask"],
    )


def test_photographs_below_labels_are_images() -> None:
    suggestion = suggested(many("labels/good") | many("labels/bad"))
    assert patterns(suggestion) == (["labels/{label}/{name}"], [])


def test_masks_may_differ_from_images_in_their_suffix_alone() -> None:
    files = many("good", suffix=".jpg") | many("crack", suffix=".jpg")
    files |= {
        f"{folder}/{number:03}.png": BLACK for folder in ("good", "crack") for number in range(6)
    }
    assert patterns(suggested(files)) == (["{defect_type}/{name}"], ["{defect_type}/{name}.png"])


def test_white_masks_with_black_defects() -> None:
    files = many("images") | {f"masks/{number:03}.png": WHITE_WITH_DEFECT for number in range(6)}
    [mask] = declaration_of(suggested(files)).masks
    assert mask.defect == "zero"


def test_an_image_without_a_mask_is_not_called_good() -> None:
    files = many("train") | many("test") | {"test/001_mask.png": WHITE_WITH_DEFECT}
    suggestion = suggested(files)
    assert declaration_of(suggestion).unmasked == "unknown"
    assert '# unmasked = "good"   # 11 images without a mask' in suggestion.toml


def test_folders_beside_good_and_bad_have_no_label() -> None:
    files = many("good") | many("bad") | many("setup")
    assert patterns(suggested(files)) == (["{label}/{name}", "setup/{name}"], [])


def test_zero_and_one_are_labels_only_in_a_column_with_a_name_for_labels() -> None:
    rows = [f"images/{number:03}.png,{number % 2},{number % 2}" for number in range(6)]
    content = "\n".join(["file,flash,is_anomaly", *rows]).encode()
    [table] = declaration_of(suggested(many("images") | {"a.csv": content})).tables
    assert table.columns == {"image": "file", "label": "is_anomaly"}


def test_names_listed_by_split_are_explained() -> None:
    content = json.dumps({"train": ["000.png"], "test": ["001.png"]}).encode()
    suggestion = suggested(many("good") | {"split.json": content})
    assert any("lists names by split" in sentence for sentence in suggestion.sentences)


def test_the_root_is_written_as_it_was_given() -> None:
    assert declaration_of(suggested(many("good"), root="/data/a b")).root == "/data/a b"


def test_a_folder_without_pictures_cannot_be_declared() -> None:
    assert suggested({"a.txt": b""}).cannot == "No picture that can be read is among the files (1)."


def test_words_for_labels_may_be_a_part_of_the_folder() -> None:
    files = many("train/ok_front") | many("train/def_front") | many("test/def_front")
    suggestion = suggested(files)
    assert patterns(suggestion) == (["{split}/{label}_front/{name}"], [])
    assert declaration_of(suggestion).words.label_of["def"] == "anomalous"


def test_names_have_labels_where_folders_have_a_split_alone() -> None:
    stems = ["training-images/normal-1", "training-images/anomaly-1", "test-images/test-normal-1"]
    files = {f"{stem}.jpg": PHOTOGRAPH for stem in stems} | {"mask-images/anomaly-1.png": BLACK}
    assert patterns(suggested(files)) == (
        ["{split}/test-{label}-{name}", "{split}/{label}-{name}"],
        ["mask-images/{label}-{name}"],
    )


@pytest.mark.parametrize(
    ("stems", "pattern"),
    [
        (("good_1", "good_2", "crack_1"), "{defect_type}_{name}"),
        (("cam1-0001-ok", "cam2-0002-ng"), "{name}-{label}"),
        (
            [f"{number:04}_{word}_a" for number in range(4) for word in ("OK", "NG")],
            "*_{label}_{name}",
        ),
        (("train_1", "test_1"), "{split}_{name}"),
    ],
)
def test_names_alone(stems: tuple[str, ...], pattern: str) -> None:
    assert patterns(suggested({f"{stem}.bmp": PHOTOGRAPH for stem in stems})) == ([pattern], [])


def test_a_folder_around_some_images_is_no_category() -> None:
    files = many("more/test/good") | many("train/good") | many("train/bad")
    images, _ = patterns(suggested(files))
    assert set(images) == {"more/{split}/{label}/{name}", "{split}/{label}/{name}"}


def test_numbered_masks_are_united() -> None:
    files = many("ng") | {f"ng/{n:03}_mask_{k}.png": BLACK for n in range(6) for k in (1, 2)}
    [mask] = declaration_of(suggested(files)).masks
    assert (mask.pattern.text, mask.unites) == ("{label}/{name}_mask_*", True)


@pytest.mark.parametrize("ending", ["_mask", "_GT", "-label", " mask", "_defect_mask"])
def test_masks_beside_images_by_their_ending(ending: str) -> None:
    files = many("ng", suffix=".jpg") | {f"ng/{n:03}{ending}.png": BLACK for n in range(6)}
    assert patterns(suggested(files)) == (["{label}/{name}"], [f"{{label}}/{{name}}{ending}"])


def test_an_ending_after_a_dot_is_no_suffix() -> None:
    files = many("ng", suffix=".jpg") | {f"ng/{n:03}.mask.png": BLACK for n in range(6)}
    assert patterns(suggested(files)) == (["{label}/{name}"], ["{label}/{name}.mask.png"])


def test_signs_of_patterns_in_folders_become_stars() -> None:
    files = many("C:/a{b}/images\\/good") | many("C:/a{b}/images\\/scratch")
    declaration_of(suggested(files))


def labelme(*shapes: tuple[str, int]) -> bytes:
    """Return a LabelMe file for a picture of 16 x 16, with squares of some names and sides."""
    found = [
        {"label": name, "points": [[0, 0], [side, 0], [side, side]], "shape_type": "polygon"}
        for name, side in shapes
    ]
    about = {"imagePath": "x.png", "imageHeight": 16, "imageWidth": 16}
    return json.dumps({"shapes": found, **about}).encode()


@pytest.mark.parametrize(
    ("drawn", "shapes"),
    [
        ([[("pore", 3)], [("crack", 3)], []], ()),  # all are defects
        ([[("part", 4), ("pore", 3)], [("part", 4)], [("part", 4)]], ("pore",)),
        ([[("part", 15), ("pore", 3)], [("crack", 3)], []], ("crack", "pore")),
        ([[("defect", 4), ("pore", 3)], [("defect", 4)], [("defect", 4)]], ()),
        ([[("pore", 3)], [("pore", 3)], [("pore", 3)]], ()),
    ],
)
def test_a_shape_around_the_part_is_no_defect(
    drawn: list[list[tuple[str, int]]], shapes: tuple[str, ...]
) -> None:
    files = many("images", len(drawn))
    files |= {f"images/{n:03}.json": labelme(*each) for n, each in enumerate(drawn)}
    suggestion = suggested(files)
    [mask] = declaration_of(suggestion).masks
    assert mask.shapes == shapes
    assert '"pore" in ' in suggestion.toml
    assert ("is the part" in suggestion.toml) == bool(shapes)


def test_images_that_no_coco_file_lists_are_not_called_good() -> None:
    names = [{"id": n, "file_name": f"images/{n:03}.png"} for n in range(4)]
    content = json.dumps({"images": names, "annotations": [], "categories": []}).encode()
    suggestion = suggested(many("images", 6) | {"instances.json": content})
    assert declaration_of(suggestion).unmasked == "unknown"
    assert '# unmasked = "good"   # 2 images in no COCO file' in suggestion.toml
    suggestion = suggested(many("images", 4) | {"instances.json": content})
    assert "unmasked" not in suggestion.toml


@pytest.mark.parametrize(
    ("good", "bad"),
    [
        *(("Negative", "Positive"), ("NoDefects", "Defects"), ("no_defect", "defect")),
        *(("no_defects", "crack"), ("defect-free", "defective"), ("pass", "fail")),
        *(("OK_cam1", "NG_cam2"), ("OK_2024", "scratch")),
    ],
)
@pytest.mark.parametrize("above", ["", "train/"])
def test_words_that_a_declaration_does_not_know(good: str, bad: str, above: str) -> None:
    suggestion = suggested(many(f"{above}{good}") | many(f"{above}{bad}"))
    declaration = declaration_of(suggestion)
    classify = Classifier(declaration).classify
    records = [classify(f"{above}{folder}/000.png") for folder in (good, bad)]
    labels = [record.label for record in records if isinstance(record, ImageFile)]
    assert labels == ["good", "anomalous"]
    assert f'# guessed: "{good}" means good' in suggestion.toml
    assert ("data of cracks" in suggestion.toml) == (good == "Negative")
