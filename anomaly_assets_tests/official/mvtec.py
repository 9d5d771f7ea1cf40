"""Plan the datasets of MVTec, and MPDD, which has the same layout."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace

from anomaly_assets.datasets.words import ANOMALOUS_WORDS, UNSPECIFIED
from anomaly_assets_tests.official.facts import published_facts
from anomaly_assets_tests.official.files import (
    Picture,
    TrueFile,
    TrueStray,
    image,
    mask,
    numbers,
    official,
)

_COLOUR = Picture(".png")

_NOT_PUBLISHED = 30
"""Number of images of each class of MVTec AD 2 in a tree with official numbers; no numbers are agreed."""


def mvtec_ad(each: int | None) -> Iterator[TrueFile]:
    """Plan MVTec AD."""
    facts = published_facts()["mvtec_ad"]
    yield from _papers("", *(f"{category}/" for category in facts))
    for category, of_category in facts.items():
        picture = Picture(".png", of_category["mode"])
        for split in ("train", "test"):
            for defect, number in of_category[split].items():
                number = number if each is None else each
                yield from _folder(category, split, defect, number, picture)


def mpdd(each: int | None) -> Iterator[TrueFile]:
    """Plan MPDD."""
    defects = {
        "bracket_black": ("hole", "scratches"),
        "bracket_brown": ("bend_and_parts_mismatch", "parts_mismatch"),
        "bracket_white": ("defective_painting", "scratches"),
        "connector": ("parts_mismatch",),
        "metal_plate": ("major_rust", "scratches", "total_rust"),
        "tubes": ("anomalous",),
    }
    good, anomalous = official("mpdd", "test")
    for split, total in (("train", official("mpdd", "train")[0]), ("test", good)):
        for category, number in zip(defects, numbers(each, total, len(defects)), strict=True):
            yield from _folder(category, split, "good", number)
    bad = [(category, kind) for category, kinds in defects.items() for kind in kinds]
    for (category, kind), number in zip(bad, numbers(each, anomalous, len(bad)), strict=True):
        yield from _folder(category, "test", kind, number)


def mvtec_loco_ad(each: int | None) -> Iterator[TrueFile]:
    """Plan MVTec LOCO AD; the grey value of a mask is the number of a kind of defect."""
    categories = ("breakfast_box", "juice_bottle", "pushpins", "screw_bag", "splicing_connectors")
    kinds = ("logical_anomalies", "structural_anomalies")
    yield from _papers("")
    config = [{"defect_name": kind, "pixel_value": 1 + n} for n, kind in enumerate(kinds)]
    for category in categories:
        path = f"{category}/defects_config.json"
        yield TrueStray(path=path, content=json.dumps(config).encode(), reason="not_needed")
    for split in ("train", "validation", "test"):
        good = numbers(each, official("mvtec_loco_ad", split)[0], len(categories))
        for category, number in zip(categories, good, strict=True):
            yield from _folder(category, split, "good", number)
    classes = [(category, kind) for category in categories for kind in kinds]
    bad = numbers(each, official("mvtec_loco_ad", "test")[1], len(classes))
    for (category, kind), number in zip(classes, bad, strict=True):
        for name in (f"{position:03}" for position in range(number)):
            folder = f"{category}/ground_truth/{kind}/{name}"
            masks = tuple(f"{folder}/{each_mask:03}.png" for each_mask in range(1 + int(name) % 2))
            path = f"{category}/test/{kind}/{name}.png"
            yield image(path, kind, category=category, split="test", masks=masks)
            yield from (mask(path, 1 + kinds.index(kind)) for path in masks)


def mvtec_ad_2(each: int | None) -> Iterator[TrueFile]:
    """Plan MVTec AD 2; files of different folders have the same names."""
    number = _NOT_PUBLISHED if each is None else each
    lights = ("regular", "overexposed", "underexposed", "shift_1")
    yield from _papers("")
    for category in (
        *("can", "fabric", "fruit_jelly", "rice"),
        *("sheet_metal", "vial", "wallplugs", "walnuts"),
    ):
        names = [f"{position:03}_{lights[position % 4]}" for position in range(number)]
        for folder, split in (
            *(("train/good", "train"), ("validation/good", "validation")),
            ("test_public/good", "test"),
        ):
            for name in names:
                path = f"{category}/{folder}/{name}.png"
                yield image(path, category=category, split=split)
        for name in names:
            path = f"{category}/test_public/bad/{name}.png"
            of_image = f"{category}/test_public/ground_truth/bad/{name}_mask.png"
            yield image(path, UNSPECIFIED, category=category, split="test", masks=(of_image,))
            yield mask(of_image)
        for folder in ("test_private", "test_private_mixed"):
            for name in names:
                name = name if folder == "test_private" else f"{name[:3]}_mixed"
                yield image(
                    f"{category}/{folder}/{name}.png",
                    category=category,
                    split="test",
                    label="unknown",
                    path_gives=frozenset({"category", "split"}),
                )


def _folder(
    category: str, split: str, defect: str, number: int, picture: Picture = _COLOUR
) -> Iterator[TrueFile]:
    """Yield the images of a folder of MVTec AD, each with its mask if it is anomalous."""
    for name in (f"{position:03}" for position in range(number)):
        path = f"{category}/{split}/{defect}/{name}.png"
        made = image(path, category=category, split=split, content=picture)
        if defect == "good":
            yield made
            continue
        of_image = f"{category}/ground_truth/{defect}/{name}_mask.png"
        kind = UNSPECIFIED if defect in ANOMALOUS_WORDS else defect
        yield replace(made, label="anomalous", defect_type=kind, masks=(of_image,))
        yield mask(of_image)


def _papers(*folders: str) -> Iterator[TrueFile]:
    for folder in folders:
        yield TrueFile(path=f"{folder}readme.txt", content=b"synthetic\n")
        yield TrueFile(path=f"{folder}license.txt", content=b"synthetic\n")
