"""Write copies of published datasets as they are passed on, and copy real excerpts."""

from __future__ import annotations

import shutil
from pathlib import Path

from anomaly_assets_tests.suggesting.folders import Folder, Truth, csv_text

REAL = Path(__file__).parents[2].parent / "shared" / "real" / "official_layout"
"""Real excerpts beside the checkout."""


def loco(to: Folder) -> None:
    """Write the layout of MVTec LOCO AD: a folder of masks per image, with grey values of kinds."""
    for part in ("breakfast_box", "pushpins"):
        for split, count in (("train", 10), ("validation", 4), ("test", 5)):
            for number in range(count):
                to.image(f"{part}/{split}/good/{number:03}.png", "good", split, part)
        for kind, value in (("logical_anomalies", 251), ("structural_anomalies", 239)):
            for number in range(5):
                path = f"{part}/test/{kind}/{number:03}.png"
                place = f"{part}/ground_truth/{kind}/{number:03}"
                masks = [f"{place}/{each:03}.png" for each in range(1 + number % 2)]
                to.image(path, "anomalous", "test", part, masks)
                for mask in masks:
                    to.mask(mask, path, value)
        to.json(f"{part}/defects_config.json", [{"defect_name": "missing", "pixel_value": 251}])
        to.file(f"{part}/license.txt", "CC BY-NC-SA 4.0\n")


def kolektor(to: Folder) -> None:
    """Write the layout of KolektorSDD2: a mask beside every image, black where good."""
    for split, first, count in (("train", 10000, 34), ("test", 20000, 22)):
        for number in range(first, first + count):
            path, mask = f"{split}/{number}.png", f"{split}/{number}_GT.png"
            is_bad = number % 7 == 3
            to.image(path, "anomalous" if is_bad else "good", split, masks=[mask])
            to.mask(mask, path, 255 if is_bad else None)


def flattened(to: Folder) -> None:
    """Write a re-export of MVTec AD with folders in the file names."""
    for part, kinds in (
        ("bottle", ("broken_large", "broken_small")),
        ("metal_nut", ("bent", "flip")),
    ):
        for split, count in (("train", 12), ("test", 4)):
            for number in range(count):
                to.image(f"images/{part}_{split}_good_{number:03}.png", "good", split, part)
        for kind in kinds:
            for number in range(4):
                name = f"{part}_test_{kind}_{number:03}"
                mask = f"masks/{name}_mask.png"
                to.image(f"images/{name}.png", "anomalous", "test", part, [mask])
                to.mask(mask, f"images/{name}.png")


def visa(to: Folder) -> None:
    """Write a re-export of VisA, with the table of the original, whose paths no longer exist."""
    rows = []
    for part in ("candle", "pcb1"):
        for folder, split, label, count in (
            *(("train/good", "train", "good", 14), ("test/good", "test", "good", 5)),
            *(("test/bad", "test", "anomalous", 8),),
        ):
            for number in range(count):
                name = f"{number * 13 + len(folder):04}"
                is_bad = label == "anomalous"
                masks = [f"{part}/ground_truth/bad/{name}.png"] if is_bad else []
                to.image(f"{part}/{folder}/{name}.JPG", label, split, part, masks)
                for mask in masks:
                    to.mask(mask, f"{part}/{folder}/{name}.JPG")
                word = "Anomaly" if is_bad else "Normal"
                old = f"{part}/Data/Images/{word}/{number:04}.JPG"
                drawn = f"{part}/Data/Masks/{word}/{number:04}.png" if is_bad else ""
                rows.append((part, split, word.lower(), old, drawn))
    to.file("1cls.csv", csv_text(("object", "split", "label", "image", "mask"), rows))


def dagm(to: Folder) -> None:
    """Write a copy of DAGM 2007 in lower case."""
    for part in ("class1", "class6"):
        for split, first in (("test", 1), ("train", 576)):
            lines = ["1"]
            for number in range(first, first + 13):
                path, mask = f"{part}/{split}/{number:04}.png", f"{number:04}_label.png"
                is_bad = number % 5 == 0
                masks = [f"{part}/{split}/label/{mask}"] if is_bad else []
                to.image(path, "anomalous" if is_bad else "good", split, part, masks, mode="L")
                for each in masks:
                    to.mask(each, path)
                row = (number, int(is_bad), f"{number:04}.PNG", 0, mask if is_bad else "0\t")
                lines.append("\t".join(map(str, row)))
            to.file(f"{part}/{split}/label/labels.txt", "\r\n".join(lines) + "\r\n")


def real_leather(to: Folder) -> None:
    """Copy the excerpt of MVTec AD: some images have no mask, and some masks no image."""
    shutil.copytree(REAL / "mvtec_ad", to.root, dirs_exist_ok=True)
    for path in _paths(to.root, "leather/t*/*/*.png"):
        part, split, kind, name = path.split("/")
        mask = f"{part}/ground_truth/{kind}/{name[:-4]}_mask.png"
        masks = (mask,) if (to.root / mask).exists() else ()
        label = "good" if kind == "good" else "anomalous"
        to.truth[path] = Truth(part, split, label, masks)


def real_textures(to: Folder) -> None:
    """Copy the excerpt of DAGM 2007: training images are anomalous too."""
    shutil.copytree(REAL / "dagm_2007", to.root, dirs_exist_ok=True)
    for path in _paths(to.root, "Class8/T*/*.PNG"):
        part, split, name = path.split("/")
        mask = f"{part}/{split}/Label/{name[:-4]}_label.PNG"
        masks = (mask,) if (to.root / mask).exists() else ()
        to.truth[path] = Truth(part, split.lower(), "anomalous" if masks else "good", masks)


def _paths(root: Path, pattern: str) -> list[str]:
    return sorted(path.relative_to(root).as_posix() for path in root.glob(pattern))
