"""Test folder layouts of users, declared without any Python, up to the rows and masks."""

from __future__ import annotations

import pytest
from PIL import Image

from anomaly_assets_tests.declared.conftest import Declared

BOX = (2, 2, 6, 5)
"""A defect of twelve pixels."""


@pytest.mark.slow
def test_the_layout_of_mvtec_under_other_names(own: Declared) -> None:
    own.declare(
        """
        [line4]
        images = ["{category}/{split}/{defect_type}/{name}"]
        masks = [{ path = "{category}/masken/{defect_type}/{name}_m", split = "test" }]
        words = { good = ["gut"], train = ["lernen"], test = ["pruefen"] }
        """
    )
    own.image("line4/deckel/lernen/gut/1.jpg", "line4/deckel/pruefen/kratzer/1.bmp")
    own.mask("line4/deckel/masken/kratzer/1_m.png", BOX)
    assert own.loaded() == {
        "deckel/lernen/gut/1.jpg": ("deckel", "train", "good", "path", None, None),
        "deckel/pruefen/kratzer/1.bmp": ("deckel", "test", "anomalous", "path", "kratzer", 12),
    }


@pytest.mark.slow
def test_folders_of_labels_at_any_depth_without_a_split(own: Declared) -> None:
    own.declare('[screws]\nimages = ["{label}/**/{name}"]')
    own.image("screws/OK/1.png", "screws/ok/shift 2/a/1.png", "screws/ng/1.png", "screws/1.png")
    assert own.loaded() == {
        "OK/1.png": ("screws", "unassigned", "good", "path", None, None),
        "ok/shift 2/a/1.png": ("screws", "unassigned", "good", "path", None, None),
        "ng/1.png": ("screws", "unassigned", "anomalous", "path", "unspecified", None),
    }
    assert own.strays("screws") == {"1.png": "unrecognised_path"}


@pytest.mark.slow
def test_folders_of_defects_without_a_split(own: Declared) -> None:
    own.declare('[parts]\nimages = ["{defect_type}/{name}"]\ncategory = "lid"')
    own.image("parts/good/1.png", "parts/dent/1.png")
    assert own.loaded() == {
        "good/1.png": ("lid", "unassigned", "good", "path", None, None),
        "dent/1.png": ("lid", "unassigned", "anomalous", "path", "dent", None),
    }


@pytest.mark.slow
@pytest.mark.parametrize("separator", [",", ";", "\t", "|"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_a_flat_folder_with_a_table_under_any_names(
    own: Declared, separator: str, encoding: str
) -> None:
    own.declare(
        """
        [bench]
        images = ["{name}"]
        tables = [{ path = "*.csv", columns = { image = "Datei", split = "Satz", label = "Prüfung" } }]
        words = { good = ["i.O."], anomalous = ["n.i.O."] }
        """
    )
    own.image("bench/1.tif", "bench/2.tif", "bench/3.tif")
    rows = [
        ("Nr", "Datei", "Satz", "Prüfung"),
        ("1", "1.tif", "train", "i.O."),
        ("2", "2.tif", "test", "n.i.O."),
        ("3", "4.tif", "test", "i.O."),
    ]
    own.text("bench/result.csv", "\r\n".join(separator.join(row) for row in rows), encoding)
    assert own.loaded() == {
        "1.tif": ("bench", "train", "good", "table", None, None),
        "2.tif": ("bench", "test", "anomalous", "table", "unspecified", None),
        "3.tif": ("bench", "unassigned", "unknown", "none", None, None),
    }
    assert own.strays("bench") == {"4.tif": "declared_but_missing"}


@pytest.mark.slow
def test_a_table_wins_over_the_path_and_the_check_has_both_sides(own: Declared) -> None:
    own.declare(
        """
        [line4]
        images = ["{split}/{label}/{name}"]
        tables = [{ path = "review.csv", columns = { image = "image", label = "label", split = "set" } }]
        """
    )
    own.image("line4/train/good/1.png")
    own.text("line4/review.csv", "image,label,set\ntrain/good/1.png,bad,test\n")
    assert own.loaded() == {
        "train/good/1.png": ("line4", "test", "anomalous", "table", "unspecified", None)
    }


@pytest.mark.slow
@pytest.mark.parametrize(
    "content",
    [
        '{"train": ["a/1.png"], "test": ["a/2.png"], "meta": {"by": 1}}',
        '{"test": [{"x": "a/2.png"}], "train": [{"x": "a/1.png"}]}',
    ],
)
def test_a_split_that_is_in_json_alone(own: Declared, content: str) -> None:
    own.declare(
        """
        [line4]
        images = ["{category}/{name}"]
        tables = [{ path = "split.json", rows = "split", columns = { image = "x" } }]
        label = "good"
        """
    )
    own.image("line4/a/1.png", "line4/a/2.png")
    own.text("line4/split.json", content)
    assert {path: row[:4] for path, row in own.loaded().items()} == {
        "a/1.png": ("a", "train", "good", "default"),
        "a/2.png": ("a", "test", "good", "default"),
    }


@pytest.mark.slow
def test_masks_beside_images_decide_by_their_content(own: Declared) -> None:
    own.declare('[ks]\nimages = ["{split}/{name}"]\nmasks = ["{split}/{name}_GT"]')
    own.image("ks/train/1.png", "ks/train/2.png", "ks/test/1.png")
    own.mask("ks/train/1_GT.png")
    own.mask("ks/train/2_gt.png", BOX)
    assert own.loaded() == {
        "train/1.png": ("ks", "train", "good", "mask", None, 0),
        "train/2.png": ("ks", "train", "anomalous", "mask", "unspecified", 12),
        "test/1.png": ("ks", "test", "unknown", "none", None, None),
    }


@pytest.mark.slow
def test_masks_in_a_mirrored_tree(own: Declared) -> None:
    own.declare(
        """
        [pcb]
        images = ["images/{category}/{name}"]
        masks = ["labels/{category}/{name}"]
        unmasked = "good"
        """
    )
    own.image("pcb/images/a/1.jpg", "pcb/images/a/2.jpg", "pcb/images/b/1.jpg")
    own.mask("pcb/labels/a/1.png", BOX)
    assert own.loaded() == {
        "images/a/1.jpg": ("a", "unassigned", "anomalous", "mask", "unspecified", 12),
        "images/a/2.jpg": ("a", "unassigned", "good", "unmasked", None, None),
        "images/b/1.jpg": ("b", "unassigned", "unknown", "none", None, None),
    }


@pytest.mark.slow
def test_several_masks_of_one_image_are_united(own: Declared) -> None:
    own.declare(
        """
        [loco]
        images = ["{category}/{split}/{defect_type}/{name}"]
        masks = [{ path = "{category}/ground_truth/{defect_type}/{name}/*", split = "test" }]
        """
    )
    own.image("loco/pin/test/logical/000.png", "loco/pin/validation/good/000.png")
    own.mask("loco/pin/ground_truth/logical/000/000.png", (0, 0, 2, 2), value=17)
    own.mask("loco/pin/ground_truth/logical/000/001.png", (1, 1, 3, 3), value=18)
    assert own.loaded() == {
        "pin/test/logical/000.png": ("pin", "test", "anomalous", "path", "logical", 7),
        "pin/validation/good/000.png": ("pin", "validation", "good", "path", None, None),
    }
    own.mask("loco/pin/ground_truth/logical/000/001.png", (1, 1, 4, 4), value=18)
    assert own.loaded()["pin/test/logical/000.png"][-1] == 12


@pytest.mark.slow
@pytest.mark.parametrize(
    ("defect", "pixels"), [("[2]", 4), ("[1, 2]", 8), ('"zero"', 376), ('"nonzero"', 8)]
)
def test_class_numbers_that_are_defects(own: Declared, defect: str, pixels: int) -> None:
    own.declare(
        f'[seals]\nimages = ["{{name}}"]\nmasks = [{{ path = "{{name}}.png", defect = {defect} }}]\n'
        'formats = ["bmp"]'
    )
    own.image("seals/1.bmp")
    picture = Image.new("L", (24, 16))
    picture.paste(1, (0, 0, 2, 2))
    picture.paste(2, (4, 4, 6, 6))
    picture.save(own.project.path("seals/1.png"))
    assert own.loaded()["1.bmp"][-1] == pixels


@pytest.mark.slow
def test_colours_that_are_defects(own: Declared) -> None:
    own.declare(
        '[sheet]\nimages = ["JPEGImages/{name}"]\n'
        'masks = [{ path = "Segmentation/{name}", defect = ["#FF0000"] }]'
    )
    own.image("sheet/JPEGImages/1.jpg", "sheet/JPEGImages/2.jpg")
    for name, colour in (("1", (255, 0, 0)), ("2", (0, 255, 0))):
        picture = Image.new("RGB", (24, 16))
        picture.paste(colour, BOX)
        picture.save(own.project.path(f"sheet/Segmentation/{name}.png"))
    assert {path: row[2:] for path, row in own.loaded().items()} == {
        "JPEGImages/1.jpg": ("anomalous", "mask", "unspecified", 12),
        "JPEGImages/2.jpg": ("good", "mask", None, 0),
    }


def labelme(width: int = 24, height: int = 16, label: str = "scratch") -> dict[str, object]:
    return {
        "imageWidth": width,
        "imageHeight": height,
        "shapes": [{"label": label, "shape_type": "rectangle", "points": [[2, 2], [6, 5]]}],
    }


@pytest.mark.slow
def test_shapes_of_labelme_beside_images_of_two_sites(own: Declared) -> None:
    own.declare(
        """
        [castings]
        images = [{ path = "{site}/{product}/{name}", category = "{site}/{product}" }]
        masks = [{ path = "{site}/{product}/{name}.json", read = "labelme", shapes = ["scratch"] }]
        unmasked = "good"
        """
    )
    own.image("castings/A/bolt/1.jpg", "castings/A/bolt/2.jpg", "castings/B/bolt/1.jpg")
    own.image("castings/A/bolt/3.jpg")
    own.json("castings/A/bolt/1.json", labelme())
    own.json("castings/A/bolt/3.json", labelme(label="dust"))
    assert own.loaded() == {
        "A/bolt/1.jpg": ("A/bolt", "unassigned", "anomalous", "mask", "unspecified", 12),
        "A/bolt/2.jpg": ("A/bolt", "unassigned", "good", "unmasked", None, None),
        "A/bolt/3.jpg": ("A/bolt", "unassigned", "good", "mask", None, 0),
        "B/bolt/1.jpg": ("B/bolt", "unassigned", "unknown", "none", None, None),
    }


@pytest.mark.slow
def test_shapes_belong_to_the_picture_as_it_was_shown(own: Declared) -> None:
    own.declare(
        '[phone]\nimages = ["{name}"]\nmasks = [{ path = "{name}.json", read = "labelme" }]'
    )
    exif = Image.Exif()
    exif[274] = 6  # shown with a quarter turn to the right: 16 wide and 24 high
    own.image("phone/1.jpg", exif=exif)
    own.json("phone/1.json", labelme(16, 24))
    own.load()
    [(box, width, height)] = own.project.rows("SELECT mask_box, mask_width, mask_height FROM facts")
    assert (width, height) == (24, 16)
    assert box == [2, 16 - 6, 5, 16 - 2]


@pytest.mark.slow
def test_shapes_of_coco_and_a_changed_one(own: Declared) -> None:
    own.declare(
        '[tiles]\nimages = ["{split}/{name}"]\ntables = [{ path = "{split}/*.json", read = "coco" }]'
    )
    own.image("tiles/train/1.png", "tiles/train/2.png", "tiles/valid/1.png")

    def annotate(*flat: int) -> None:
        images = [{"id": k, "file_name": f"{k}.png", "width": 24, "height": 16} for k in (1, 2)]
        own.json(
            "tiles/train/_annotations.coco.json",
            {
                "images": images,
                "categories": [{"id": 3, "name": "chip"}],
                "annotations": [
                    {"id": 1, "image_id": 1, "category_id": 3, "segmentation": [[*flat]]}
                ],
            },
        )

    annotate(2, 2, 5, 2, 5, 4, 2, 4)
    found = own.loaded()
    assert found == {
        "train/1.png": ("tiles", "train", "anomalous", "mask", "chip", 12),
        "train/2.png": ("tiles", "train", "good", "mask", None, 0),
        "valid/1.png": ("tiles", "validation", "unknown", "none", None, None),
    }
    annotate(2, 2, 6, 2, 6, 4, 2, 4)
    own.project.list_files()
    report = own.project.build()
    assert (report.changed, report.unchanged) == (1, 2)


@pytest.mark.slow
def test_a_mask_that_a_table_names_wins_and_is_no_image(own: Declared) -> None:
    own.declare(
        """
        [line4]
        images = ["{name}"]
        tables = [{ path = "list.csv", columns = { image = "image", mask = "mask" } }]
        """
    )
    own.image("line4/a.png", "line4/b.png")
    own.mask("line4/defect of a.png", BOX)
    own.text("line4/list.csv", "image,mask\na.png,defect of a.png\nb.png,\n")
    assert own.loaded() == {
        "a.png": ("line4", "unassigned", "anomalous", "mask", "unspecified", 12),
        "b.png": ("line4", "unassigned", "unknown", "none", None, None),
    }


@pytest.mark.slow
def test_unlabelled_test_images_are_unknown(own: Declared) -> None:
    own.declare(
        """
        [challenge]
        images = [
          "{category}/{split}/{label}/{name}",
          { path = "{category}/test_private/{name}", split = "test" },
        ]
        """
    )
    own.image("challenge/can/train/good/1.png", "challenge/can/test_private/1.png")
    assert {path: row[1:4] for path, row in own.loaded().items()} == {
        "can/train/good/1.png": ("train", "good", "path"),
        "can/test_private/1.png": ("test", "unknown", "none"),
    }
