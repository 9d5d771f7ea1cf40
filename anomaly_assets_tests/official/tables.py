"""Plan datasets with tables: DAGM 2007 (labels), VisA and Real-IAD (split and labels)."""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import count, islice
from typing import Any

from anomaly_assets.datasets.declaration_files import built_in_declaration
from anomaly_assets.datasets.words import UNSPECIFIED
from anomaly_assets_tests.official.facts import published_facts
from anomaly_assets_tests.official.files import (
    Picture,
    TrueFile,
    TrueStray,
    TrueTable,
    image,
    mask,
    numbers,
    official,
)

_VISA = (
    *("candle", "capsules", "cashew", "chewinggum", "fryum", "macaroni1", "macaroni2"),
    *("pcb1", "pcb2", "pcb3", "pcb4", "pipe_fryum"),
)
_REAL_IAD = (
    *("audiojack", "bottle_cap", "button_battery", "end_cap", "eraser", "fire_hood", "mint"),
    *("mounts", "pcb", "phone_battery", "plastic_nut", "plastic_plug", "porcelain_doll"),
    *("regulator", "rolled_strip_base", "sim_card_set", "switch", "tape", "terminalblock"),
    *("toothbrush", "toy", "toy_brick", "transistor1", "u_block", "usb", "usb_adaptor"),
    *("vcpill", "wooden_beads", "woodstick", "zipper"),
)
_VIEWS = 5


def dagm_2007(each: int | None) -> Iterator[TrueFile]:
    """Plan DAGM 2007; training images are numbered after those of the test."""
    yield TrueFile(path="Class1/Train/Thumbs.db", content=b"\0")
    for category, facts in published_facts()["dagm_2007"].items():
        running = count(1)
        for split in ("Test", "Train"):
            folder = f"{category}/{split}"
            table = f"{folder}/Label/Labels.txt"
            anomalous = facts[split]["anomalous"] if each is None else each
            images = facts[split]["images"] if each is None else 2 * each
            lines = ["1"]
            for position, number in enumerate(islice(running, images)):
                is_bad = position < anomalous
                of_image = f"{number:04}_label.PNG" if is_bad else "0"
                # Rows of good images end with a tab.
                row = (number, int(is_bad), f"{number:04}.PNG", 0, of_image, "")
                lines.append("\t".join(map(str, row[: 5 if is_bad else 6])))
                masks = (f"{folder}/Label/{of_image}",) if is_bad else ()
                yield image(
                    f"{folder}/{number:04}.PNG",
                    UNSPECIFIED if is_bad else None,
                    content=Picture(".PNG", "L"),
                    category=category,
                    split=split.lower(),
                    masks=masks,
                    table=table,
                    path_gives=frozenset({"category", "split"}),
                )
                yield from map(mask, masks)
            yield TrueTable(path=table, content=_text(lines))


def visa(each: int | None) -> Iterator[TrueFile]:
    """Plan VisA; the grey values of its masks are the numbers 1 to 3 of kinds of defects."""
    table = "split_csv/1cls.csv"
    rows = ["object,split,label,image,mask"]
    totals = (official("visa", "train")[0], *official("visa", "test"))
    classes = zip(*(numbers(each, total, len(_VISA)) for total in totals), strict=True)
    for category, (train, good, bad) in zip(_VISA, classes, strict=True):
        folder = f"{category}/Data"
        for position in range(train + good + bad):
            number = position - train - good  # of an anomalous image, which are named from 000
            path = f"{folder}/Images/Normal/{position:04}.JPG"
            masks: tuple[str, ...] = ()
            word, split = "normal", "train" if position < train else "test"
            if number >= 0:
                word, path = "anomaly", f"{folder}/Images/Anomaly/{number:03}.JPG"
                masks = (f"{folder}/Masks/Anomaly/{number:03}.png",)
                yield mask(masks[0], 1 + number % 3)
            rows.append(f"{category},{split},{word},{path},{''.join(masks)}")
            yield image(
                path,
                UNSPECIFIED if masks else None,
                category=category,
                split=split,
                masks=masks,
                table=table,
                path_gives=frozenset({"category", "label"}),
            )
        yield _known(f"{category}/image_anno.csv", b"image,label,mask\n", "not_needed")
    yield TrueTable(path=table, content=_text(rows))
    for other in ("fewshot", "highshot"):
        yield _known(f"split_csv/2cls_{other}.csv", _text(rows[:1]), "other_split")
    yield _known("LICENSE-DATASET", b"synthetic\n", "not_needed")


def real_iad(each: int | None) -> Iterator[TrueFile]:
    """Plan Real-IAD: samples with five views, of which the last one shows no defect.

    Half of the good samples, and all others, are in the test split.
    """
    around = "realiad_1024/"
    counts = built_in_declaration("real_iad").counts
    assert counts is not None
    assert counts.images is not None
    classes = 2 * len(_REAL_IAD)
    of_classes = iter(numbers(each, counts.images // _VIEWS, classes))
    for category in _REAL_IAD:
        table = f"realiad_jsons/{category}.json"
        rows: dict[str, list[dict[str, Any]]] = {"train": [], "test": []}
        for word in ("OK", "NG"):
            samples = next(of_classes)
            for sample, view in ((s, v) for s in range(samples) for v in range(1, _VIEWS + 1)):
                kind = ("AK", "BX", "ZW")[sample % 3]
                folder, mark = f"OK/S{sample + 1:04}", "OK"
                if word == "NG":
                    folder, mark = f"NG/{kind}/S{sample + 1:04}", f"NG_{kind}"
                name = f"{category}_{sample + 1:04}_{mark}_C{view}_20231021{10 * sample + view:06}"
                defect = kind if word == "NG" and view < _VIEWS else None
                masks = (f"{folder}/{name}_mask.png",) if defect else ()
                split = "train" if word == "OK" and sample < (samples + 1) // 2 else "test"
                rows[split].append(
                    {
                        "category": category,
                        "anomaly_class": defect or "OK",
                        "image_path": f"{folder}/{name}.jpg",
                        "mask_path": masks[0] if masks else None,
                    }
                )
                yield image(
                    f"{category}/{folder}/{name}.jpg",
                    defect,
                    around=around,
                    category=category,
                    split=split,
                    masks=tuple(f"{category}/{path}" for path in masks),
                    table=table,
                    path_gives=frozenset({"category", *(("label",) if word == "OK" else ())}),
                )
                for path in masks:
                    yield mask(f"{category}/{path}", around=around)
        meta = {"prefix": f"{category}/", "normal_class": "OK"}
        content = json.dumps({"meta": meta} | rows).encode()
        yield TrueTable(path=table, content=content)
        for other in ("sv", "fuiad_0.1"):
            yield _known(f"realiad_jsons_{other}/{category}.json", content, "other_split")


def _known(path: str, content: bytes, reason: str) -> TrueStray:
    return TrueStray(path=path, content=content, reason=reason)


def _text(lines: list[str]) -> bytes:
    return "\n".join([*lines, ""]).encode()
