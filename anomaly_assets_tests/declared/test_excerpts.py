"""Test that an excerpt of a declared dataset is a root that loads again with the same labels and masks."""

from __future__ import annotations

from pathlib import Path

import pytest

from anomaly_assets.cli.excerpt import main, make_excerpt
from anomaly_assets.roots.open import open_root
from anomaly_assets_tests.declared.conftest import Declared
from anomaly_assets_tests.warehouse.project import Project

BOX, OTHER = (2, 2, 6, 5), (10, 8, 13, 12)


def excerpt_of(own: Declared, folder: Path, name: str, per_kind: int) -> Declared:
    """Write an excerpt of a root as the root of the same dataset in another project."""
    copy = Declared(Project.at(folder), own.monkeypatch)
    root = open_root(str(own.project.folder / name))
    assert make_excerpt(root, folder / name, per_kind, 0).source_dataset == name
    return copy


def assert_part_of(copy: Declared, own: Declared, kinds: int) -> None:
    """Assert that an excerpt has one image of each kind, loaded as in the whole dataset."""
    whole, part = own.loaded(), copy.loaded()
    assert len(part) == kinds < len(whole)
    assert part == {path: row for path, row in whole.items() if path in part}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    place = tmp_path / "excerpt"
    place.mkdir()
    return place


@pytest.mark.slow
def test_several_masks_of_one_image(own: Declared, folder: Path) -> None:
    own.declare(
        """
        [line4]
        images = ["{category}/{split}/{defect_type}/{name}"]
        masks = [{ path = "{category}/masks/{defect_type}/{name}/*", split = "test" }]
        """
    )
    for n in range(3):
        own.image(f"line4/can/train/ok/{n}.png", f"line4/can/test/dent/{n}.png")
        own.mask(f"line4/can/masks/dent/{n}/a.png", BOX)
        own.mask(f"line4/can/masks/dent/{n}/b.png", OTHER)
    copy = excerpt_of(own, folder, "line4", 1)
    assert_part_of(copy, own, 2)
    assert {row[-1] for row in copy.loaded().values()} == {None, 24}
    assert copy.strays("line4") == {}


@pytest.mark.slow
def test_shapes_of_labelme(own: Declared, folder: Path) -> None:
    own.declare(
        """
        [castings]
        images = [{ path = "{site}/{product}/{name}", category = "{site}/{product}" }]
        masks = [{ path = "{site}/{product}/{name}.json", read = "labelme" }]
        unmasked = "good"
        """
    )
    points = [[2, 2], [6, 5]]
    shapes = {"shapes": [{"label": "x", "shape_type": "rectangle", "points": points}]}
    for n in range(4):
        own.image(f"castings/siteA/bolt/{n}.jpg")
        if n % 2:
            own.json(
                f"castings/siteA/bolt/{n}.json", {**shapes, "imageWidth": 24, "imageHeight": 16}
            )
    assert_part_of(excerpt_of(own, folder, "castings", 1), own, 2)


@pytest.mark.slow
def test_shapes_of_coco(own: Declared, folder: Path) -> None:
    own.declare(
        '[tiles]\nimages = ["{split}/{name}"]\ntables = [{ path = "{split}/*.json", read = "coco" }]'
    )
    own.image(*(f"tiles/{split}/{n}.png" for split in ("train", "test") for n in range(3)))
    square = [[2, 2, 5, 2, 5, 4, 2, 4]]
    for split in ("train", "test"):
        own.json(
            f"tiles/{split}/annotations.json",
            {
                "images": [
                    {"id": n, "file_name": f"{n}.png", "width": 24, "height": 16} for n in range(3)
                ],
                "categories": [{"id": 3, "name": "chip"}],
                "annotations": [
                    {"id": n, "image_id": n, "category_id": 3, "segmentation": square}
                    for n in range(2)
                ],
            },
        )
    assert_part_of(excerpt_of(own, folder, "tiles", 1), own, 4)


@pytest.mark.slow
def test_a_table_with_labels_splits_and_masks(own: Declared, folder: Path) -> None:
    own.declare(
        """
        [bench]
        images = ["pictures/{name}"]
        tables = [
          { path = "r.csv", columns = { image = "i", split = "s", label = "l", mask = "m" } },
        ]
        """
    )
    rows = ["i,s,l,m"]
    for n in range(6):
        own.image(f"bench/pictures/{n}.png")
        own.mask(f"bench/drawn/{n}.png", BOX)
        bad = f"bad,drawn/{n}.png" if n % 2 else "good,"
        rows.append(f"pictures/{n}.png,{'test' if n > 1 else 'train'},{bad}")
    own.text("bench/r.csv", "\n".join(rows))
    copy = excerpt_of(own, folder, "bench", 1)
    assert_part_of(copy, own, 4)
    assert sum(row[-1] == 12 for row in copy.loaded().values()) == 2


def test_the_dataset_that_pairs_masks_is_taken_and_another_one_can_be_named(
    own: Declared, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    own.declare(
        """
        [flat]
        images = ["**/{name}"]
        [line4]
        images = ["{category}/{split}/{defect_type}/{name}"]
        masks = ["{category}/masks/{defect_type}/{name}_m"]
        [line5]
        images = ["{category}/{split}/{defect_type}/{name}"]
        """
    )
    own.image("line4/can/train/good/1.png", "line4/can/test/dent/1.png")
    own.mask("line4/can/masks/dent/1_m.png", BOX)
    root = str(own.project.folder / "line4")
    for name, counts in (
        (None, "line4: 2 images, 1 mask, 0"),
        ("flat", "flat: 3 images, 0 masks, 0"),
    ):
        named = [] if name is None else ["--name", name]
        assert main(["--root", root, "--out", str(folder / f"{name}"), *named]) == 0
        assert capsys.readouterr().out.startswith(counts)
    assert main(["--root", root, "--out", str(folder / "x"), "--name", "line9"]) == 2
    assert "line9 is not declared" in capsys.readouterr().err
    assert main(["--root", root, "--out", str(folder / "x"), "--name", "dagm_2007"]) == 1
    assert "contains no images in the layout of DAGM 2007" in capsys.readouterr().err


def test_the_dataset_whose_root_it_is_is_taken(
    own: Declared, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = str(own.project.folder / "line4")
    own.declare(
        f"""
        [line4]
        root = "{root}"
        images = ["{{category}}/{{split}}/{{defect_type}}/{{name}}"]
        """
    )
    own.image("line4/can/train/good/1.png", "line4/can/test/dent/1.png")
    own.mask("line4/can/ground_truth/dent/1_mask.png", BOX)
    assert main(["--root", f"{root}/", "--out", str(folder / "out")]) == 0
    assert capsys.readouterr().out.startswith("line4: 2 images, 0 masks, 0 labels files")
