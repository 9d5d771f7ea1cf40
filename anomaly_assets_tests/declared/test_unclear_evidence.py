"""Test unreadable rows and masks: no default gives a label, no other image gets the mask."""

from __future__ import annotations

import pytest

from anomaly_assets_tests.declared.conftest import Declared

BOX = (2, 2, 6, 5)
TABLE = (
    'tables = [{ path = "t.csv", columns = { image = "image", label = "label", mask = "mask" } }]\n'
)


def labels(own: Declared) -> dict[str, tuple[str, str]]:
    return {path: (row[2], row[3]) for path, row in own.loaded().items()}


@pytest.mark.slow
@pytest.mark.parametrize("key", ['label = "good"', 'unmasked = "good"'])
@pytest.mark.parametrize(
    "rows",
    ["image,label,mask\n1.png,Kratzer,\n", 'image,label,mask\n1.png,"bad,\n2.png,bad,\n', ""],
)
def test_an_image_whose_row_is_not_understood_is_unknown(
    own: Declared, key: str, rows: str
) -> None:
    own.declare(f'[own]\nimages = ["{{name}}"]\nmasks = ["m/{{name}}"]\n{key}\n{TABLE}')
    own.image("own/1.png", "own/3.png")
    own.mask("own/m/3.png", BOX)
    own.text("own/t.csv", rows)
    assert labels(own)["1.png"] == ("unknown", "none")


def test_a_mask_of_a_row_that_is_not_understood_is_no_image(own: Declared) -> None:
    own.declare(f'[own]\nimages = ["{{name}}"]\n{TABLE}')
    own.image("own/1.png")
    own.mask("own/defect.png", BOX)
    own.text("own/t.csv", "image,label,mask\n1.png,?,defect.png\n")
    assert labels(own) == {"1.png": ("anomalous", "mask")}


@pytest.mark.slow
@pytest.mark.parametrize("second", ["bad", "good"])
def test_rows_of_one_image_that_contradict_each_other_give_no_label(
    own: Declared, second: str
) -> None:
    own.declare(f'[own]\nimages = ["{{name}}"]\nlabel = "good"\n{TABLE}')
    own.image("own/1.png")
    own.text("own/t.csv", f"image,label,mask\n1.png,good,\n1.png,{second},\n")
    assert labels(own)["1.png"][0] == ("good" if second == "good" else "unknown")


def test_two_tables_about_one_image_are_united_field_by_field(own: Declared) -> None:
    own.declare(
        '[own]\nimages = ["{name}"]\ntables = [{ path = "ann.json", read = "coco" }, '
        '{ path = "t.csv", columns = { image = "image", split = "split" } }]'
    )
    own.image("own/1.png")
    own.text("own/t.csv", "image,split\n1.png,test\n")
    own.json(
        "own/ann.json",
        {
            "images": [{"id": k, "file_name": "1.png", "width": 24, "height": 16} for k in (1, 2)],
            "categories": [{"id": 1, "name": "dent"}],
            "annotations": [
                {
                    "id": 1,
                    "image_id": 2,
                    "category_id": 1,
                    "segmentation": [[2, 2, 5, 2, 5, 4, 2, 4]],
                }
            ],
        },
    )
    assert own.loaded() == {"1.png": ("own", "test", "anomalous", "mask", "dent", 12)}


def test_a_mask_that_rows_give_to_two_images_belongs_to_none(own: Declared) -> None:
    own.declare(f'[own]\nimages = ["i/{{name}}"]\n{TABLE}')
    own.image("own/i/1.png", "own/i/2.png", "own/i/3.png")
    own.mask("own/m.png", BOX)
    own.text("own/t.csv", "image,label,mask\ni/1.png,,m.png\ni/2.png,,m.png\ni/3.png,,i/3.png\n")
    assert {*labels(own).values()} == {("unknown", "none")}
    assert own.strays("own") == {"m.png": "ambiguous_mask"}


@pytest.mark.slow
def test_a_mask_of_a_table_keeps_the_options_of_its_pattern(own: Declared) -> None:
    own.declare(
        f'[own]\nimages = ["{{name}}"]\nmasks = [{{ path = "m/{{name}}", defect = "zero" }}]\n{TABLE}'
    )
    own.image("own/1.png")
    own.mask("own/m/9.png", BOX)
    own.text("own/t.csv", "image,label,mask\n1.png,,m/9.png\n")
    assert own.loaded()["1.png"][-1] == 24 * 16 - 12


@pytest.mark.slow
def test_united_masks_keep_their_own_options(own: Declared) -> None:
    own.declare(
        '[own]\nimages = ["{name}"]\nmasks = [{ path = "a/{name}/*", defect = [7] }, "b/{name}/*"]'
    )
    own.image("own/1.png")
    own.mask("own/a/1/x.png", (0, 0, 2, 2), value=7)
    own.mask("own/b/1/x.png", (4, 4, 6, 6), value=9)
    assert own.loaded()["1.png"][-1] == 8


@pytest.mark.slow
def test_a_suffix_tells_images_of_other_folders_not_apart(own: Declared) -> None:
    own.declare('[own]\nimages = ["{split}/{name}"]\nmasks = ["gt/{name}"]')
    own.image("own/train/1.png", "own/test/1.jpg")
    own.mask("own/gt/1.png", BOX)
    assert {*labels(own).values()} == {("unknown", "none")}
    assert own.strays("own") == {"gt/1.png": "ambiguous_mask"}


@pytest.mark.slow
def test_only_a_star_in_a_part_unites_masks(own: Declared) -> None:
    own.declare('[own]\nimages = ["i/{name}"]\nmasks = ["m/**/{name}"]')
    own.image("own/i/1.png")
    own.mask("own/m/a/1.png", (0, 0, 2, 2))
    own.mask("own/m/b/1.png", (4, 4, 6, 6))
    assert own.loaded()["i/1.png"][-1] == 4
    assert own.strays("own") == {"m/b/1.png": "duplicate_mask"}


@pytest.mark.slow
def test_a_table_of_one_split_gives_it_to_images_without_one(own: Declared) -> None:
    own.declare(
        '[own]\nimages = ["{name}"]\nlabel = "good"\n'
        'tables = [{ path = "{split}.csv", columns = { image = "image", label = "label" } }]'
    )
    own.image("own/1.png", "own/2.png")
    own.text("own/train.csv", "image,label\n1.png,ok\n")
    own.text("own/test.csv", "image,label\n2.png,ng\n")
    assert {path: row[1:4] for path, row in own.loaded().items()} == {
        "1.png": ("train", "good", "table"),
        "2.png": ("test", "anomalous", "table"),
    }


def test_rows_about_images_of_another_split_are_named(own: Declared) -> None:
    own.declare(
        '[own]\nimages = ["{split}/{name}"]\n'
        'tables = [{ path = "{split}.csv", columns = { image = "image", label = "label" } }]'
    )
    own.image("own/test/1.png")
    own.text("own/train.csv", "image,label\ntest/1.png,ok\n")
    assert labels(own) == {"test/1.png": ("unknown", "none")}
    assert own.strays("own") == {"train.csv": "malformed_table"}


@pytest.mark.slow
def test_an_image_whose_mask_has_a_suffix_that_is_not_read_is_unknown(own: Declared) -> None:
    own.declare('[own]\nimages = ["i/{name}"]\nmasks = ["m/{name}"]\nunmasked = "good"')
    own.image("own/i/1.png", "own/i/2.png", "own/i/3.png")
    own.mask("own/m/1.png", BOX)
    own.text("own/m/2.gif", "GIF89a")
    assert labels(own) == {
        "i/1.png": ("anomalous", "mask"),
        "i/2.png": ("unknown", "none"),
        "i/3.png": ("good", "unmasked"),
    }


@pytest.mark.slow
def test_masks_of_one_split_are_no_evidence_about_another(own: Declared) -> None:
    own.declare(
        '[own]\nimages = ["{split}/{name}"]\nmasks = ["{split}/gt/{name}"]\nunmasked = "good"'
    )
    own.image("own/train/1.png", "own/test/1.png", "own/test/2.png")
    own.mask("own/test/gt/1.png", BOX)
    assert labels(own) == {
        "train/1.png": ("unknown", "none"),
        "test/1.png": ("anomalous", "mask"),
        "test/2.png": ("good", "unmasked"),
    }


@pytest.mark.slow
def test_two_sites_keep_their_masks_and_tables(own: Declared) -> None:
    own.declare(
        '[own]\nfolders_around = 1\nimages = ["i/{name}"]\nmasks = ["m/{name}"]\n'
        'tables = [{ path = "t.csv", columns = { image = "image", split = "split" } }]'
    )
    own.image("own/A/i/1.png", "own/B/i/1.png", "own/B/i/2.png")
    own.mask("own/B/m/1.png", BOX)
    own.text("own/B/t.csv", "image,split\ni/1.png,test\n")
    assert {path: (row[0], row[1], row[5]) for path, row in own.loaded().items()} == {
        "i/1.png": ("own", "unassigned", None),
        "B/i/1.png": ("B", "test", 12),
        "B/i/2.png": ("B", "unassigned", None),
    }


def test_labels_and_defect_types_of_masks_restrict_them(own: Declared) -> None:
    own.declare(
        '[own]\nimages = ["{label}/{name}"]\nmasks = [{ path = "gt/{name}", label = "bad" }]'
    )
    own.image("own/good/1.png", "own/bad/1.png")
    own.mask("own/gt/1.png", BOX)
    assert {path: row[5] for path, row in own.loaded().items()} == {
        "good/1.png": None,
        "bad/1.png": 12,
    }


@pytest.mark.slow
@pytest.mark.parametrize("name", ["C:\\\\data\\\\Teil_0.PNG", "D:/data/Teil_0.PNG", "Teil_0"])
def test_a_row_may_have_the_name_of_a_file_with_other_folders(own: Declared, name: str) -> None:
    own.declare(
        '[own]\nimages = ["pictures/{name}"]\ntables = [{ path = "t.json", match = "name", '
        'columns = { image = "image", label = "label" } }]'
    )
    own.image("own/pictures/Teil_0.PNG")
    own.text("own/t.json", f'[{{"image": "{name}", "label": "ok"}}]')
    assert labels(own) == {"pictures/Teil_0.PNG": ("good", "table")}
