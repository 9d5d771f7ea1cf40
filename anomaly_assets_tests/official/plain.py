"""Plan BTAD and the two datasets of Kolektor: no tables, and labels in words or in masks."""

from __future__ import annotations

from collections.abc import Iterator

from anomaly_assets.datasets.words import UNSPECIFIED
from anomaly_assets_tests.official.files import Picture, TrueFile, image, mask, numbers, official


def btad(each: int | None) -> Iterator[TrueFile]:
    """Plan BTAD; images of its products 01 and 03 are BMP files, and so are the masks of 03."""
    suffixes = {"01": (".bmp", ".png"), "02": (".png", ".png"), "03": (".bmp", ".bmp")}
    good, bad = official("btad", "test")
    for split, word, total in (
        ("train", "ok", official("btad", "train")[0]),
        ("test", "ok", good),
        ("test", "ko", bad),
    ):
        of_products = numbers(each, total, len(suffixes))
        for (category, (of_image, of_mask)), number in zip(
            suffixes.items(), of_products, strict=True
        ):
            for name in (f"{position:04}" for position in range(number)):
                path = f"{category}/{split}/{word}/{name}{of_image}"
                if word == "ok":
                    yield image(path, category=category, split=split)
                    continue
                truth = f"{category}/ground_truth/ko/{name}{of_mask}"
                yield image(path, UNSPECIFIED, category=category, split=split, masks=(truth,))
                yield mask(truth)


def kolektor_sdd(each: int | None) -> Iterator[TrueFile]:
    """Plan KolektorSDD: fifty items, or four in a small tree; the first photographs show defects."""
    items = 50 if each is None else 4
    good, bad = official("kolektor_sdd", "unassigned")
    of_items = zip(numbers(each, good, items), numbers(each and 1, bad, items), strict=True)
    for item, (good_ones, bad_ones) in enumerate(of_items, 1):
        for part in range(good_ones + bad_ones):
            path = f"kos{item:02}/Part{part}"
            yield from _with_mask(
                f"{path}.jpg", f"{path}_label.bmp", part < bad_ones, category="kolektor_sdd"
            )


def kolektor_sdd2(each: int | None) -> Iterator[TrueFile]:
    """Plan KolektorSDD2; no source divides the published numbers by split, so each has half of them."""
    good, bad = (numbers(each, total, 2) for total in official("kolektor_sdd2", "all"))
    for split, first, good_ones, bad_ones in zip(
        ("train", "test"), (10000, 20000), good, bad, strict=True
    ):
        for position in range(good_ones + bad_ones):
            path = f"{split}/{first + position}"
            yield from _with_mask(
                f"{path}.png",
                f"{path}_GT.png",
                position < bad_ones,
                category="kolektor_sdd2",
                split=split,
            )


def _with_mask(
    path: str, of_image: str, is_bad: bool, *, category: str, split: str = "unassigned"
) -> Iterator[TrueFile]:
    """Yield an image and its mask, which is black if the image is good."""
    yield image(
        path,
        UNSPECIFIED if is_bad else None,
        content=Picture(path[path.rindex(".") :], "L"),
        category=category,
        split=split,
        masks=(of_image,),
        path_gives=frozenset() if split == "unassigned" else frozenset({"split"}),
    )
    yield mask(of_image, 255 if is_bad else 0)
