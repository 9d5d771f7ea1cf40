"""Write folders as cameras, test benches and tools leave them."""

from __future__ import annotations

import random

from PIL import Image

from anomaly_assets_tests.suggesting.folders import Folder, csv_text


def housing(to: Folder) -> None:
    """Write the layout of MVTec AD with other names and formats; training is good."""
    for part, first in (("housing", 100), ("cover plate", 400)):
        for number in range(first, first + 9):
            to.image(f"{part}/training/ok/IMG_{number:04}.jpg", "good", "train", part)
        for number in range(first + 20, first + 24):
            to.image(f"{part}/testing/ok/IMG_{number:04}.jpg", "good", "test", part)
        for kind, count in (("dent", 5), ("deep scratch", 4), ("Öl", 2)):
            for number in range(first + 40, first + 40 + count):
                path = f"{part}/testing/{kind}/IMG_{number:04}.jpg"
                mask = f"{part}/Ground Truth/{kind}/IMG_{number:04}_mask.png"
                to.image(path, "anomalous", "test", part, [mask])
                to.mask(mask, path)
        to.file(f"{part}/Thumbs.db", b"\xd0\xcf\x11\xe0")
    to.file("README.md", "# Housings, line 2\n\nPlease do not rename.\n")


def ok_and_ng(to: Folder) -> None:
    """Write folders of days below OK and NG, and a few pictures directly in NG."""
    for day, count in (("2024-03-05", 14), ("2024-03-06", 11)):
        for number in range(count):
            to.image(f"OK/{day}/cam1_{number * 37:06}.bmp", "good", mode="L")
        for number in range(count // 3):
            to.image(f"NG/{day}/cam1_{number * 41 + 7:06}.bmp", "anomalous", mode="L")
    for number in range(4):
        to.image(f"NG/nachgereicht {number + 1}.bmp", "anomalous", mode="L")
    to.file("Protokoll Linie B.docx", b"PK\x03\x04")
    to.file("OK/2024-03-05/Thumbs.db", b"\xd0\xcf\x11\xe0")


def split_csv(to: Folder) -> None:
    """Write folders of defects, and the split in a CSV alone."""
    rows = []
    for kind, count in (("good", 22), ("scratch", 8), ("dent", 6), ("Anlauffarbe", 4)):
        for number in range(1, count + 1):
            path = f"{kind}/Bild {number:03}.jpg"
            split = "train" if kind == "good" and number % 4 else "test"
            to.image(path, "good" if kind == "good" else "anomalous", split)
            rows.append((path, {"train": "Training", "test": "Test"}[split]))
    to.file("Aufteilung.csv", csv_text(("Bild", "Menge"), rows))


def flat_csv(to: Folder) -> None:
    """Write one flat folder and the CSV of a test bench; two pictures are not in it."""
    numbers = random.Random(7)
    columns = ("Nr", "Datum", "Bilddatei", "Ergebnis", "Fehlerart", "Verwendung", "Prüfer")
    rows = []
    for number in range(1, 43):
        name = f"P7_{number:06}.tif"
        is_bad = number % 3 == 0
        split = "test" if is_bad or number % 5 == 0 else "train"
        to.image(name, "anomalous" if is_bad else "good", split, mode="L")
        rows.append(
            (
                number,
                f"{number % 28 + 1:02}.11.2023",
                name,
                "NIO" if is_bad else "IO",
                numbers.choice(("Kratzer", "Delle", "Lunker")) if is_bad else "",
                {"train": "Training", "test": "Test"}[split],
                numbers.choice(("Müller", "Çelik")),
            )
        )
    rows.append((43, "29.11.2023", "P7_000099.tif", "IO", "", "Training", "Müller"))
    for number in (50, 51):
        to.image(f"P7_{number:06}.tif", "unknown", mode="L")
    to.file("Ergebnisse.csv", csv_text(columns, rows, ";"), "utf-8-sig")


def split_json(to: Folder) -> None:
    """Write OK and NG with masks beside the images, and the split in a JSON alone."""
    listed: dict[str, list[dict[str, object]]] = {"train": [], "test": []}
    for part in ("usb", "zipper"):
        for sample in range(1, 9):
            for view in (1, 2):
                name = f"{part}_{sample:04}_OK_C{view}_20231023"
                path = f"{part}/OK/S{sample:04}/{name}.jpg"
                split = "train" if sample <= 5 else "test"
                to.image(path, "good", split, part)
                listed[split].append({"file": path, "view": view, "size_mm": 12.5})
        for kind in ("SCR", "MISS"):
            for sample in range(20, 23):
                for view in (1, 2):
                    stem = f"{part}/NG/{kind}/S{sample:04}/{part}_{sample:04}_NG_C{view}_20231024"
                    to.image(f"{stem}.jpg", "anomalous", "test", part, [f"{stem}_mask.png"])
                    to.mask(f"{stem}_mask.png", f"{stem}.jpg")
                    listed["test"].append({"file": f"{stem}.jpg", "view": view, "size_mm": 9.0})
    to.json("splits/seed_42.json", listed)


def mirrored(to: Folder) -> None:
    """Write folders of defects without a split, and a second tree of masks with the same names."""
    for number in range(1, 19):
        to.image(f"images/good/board_{number:03}.png", "good")
    for kind, count in (("missing_component", 7), ("solder bridge", 6), ("tombstone", 5)):
        for number in range(31, 31 + count):
            path, mask = (f"{top}/{kind}/board_{number:03}.png" for top in ("images", "masks"))
            to.image(path, "anomalous", masks=[mask])
            to.mask(mask, path)
    to.picture("uebersicht.png", Image.new("RGB", (96, 32), "#808080"))
    to.file("masks/info.txt", "drawn with GIMP, white = defect\n")


def class_numbers(to: Folder) -> None:
    """Write masks of class numbers for all images; class 1 is the part itself and no defect."""
    classes = ["background", "gasket", "cut", "burr"]
    for split, count in (("train", 24), ("test", 18)):
        for number in range(count):
            path = f"{split}/images/gasket-{number:05}.png"
            mask = f"{split}/labels/gasket-{number:05}.png"
            is_bad = number % 6 == 5 if split == "train" else number % 2 == 0
            to.image(path, "anomalous" if is_bad else "good", split, masks=[mask])
            to.mask(mask, path, (2 + number % 3 // 2) if is_bad else None, under=1)
    to.json("classes.json", {str(number): name for number, name in enumerate(classes)})


def colours(to: Folder) -> None:
    """Write an export of CVAT as Pascal VOC; one colour is the sheet itself and no defect."""
    names = []
    for number in range(40):
        name = f"Blech_{number:04}"
        path, mask = f"JPEGImages/{name}.jpg", f"SegmentationClass/{name}.png"
        defect = (None, "fa3253", None, "b83df5", None)[number % 5]
        to.image(path, "anomalous" if defect else "good", masks=[mask])
        to.colours(mask, path, "33ddff", defect)
        to.colours(f"SegmentationObject/{name}.png", path, "800000", "008000" if defect else None)
        names.append(name)
    to.file("ImageSets/Segmentation/default.txt", "\n".join(names) + "\n")
    to.file(
        "labelmap.txt",
        "# label:color_rgb:parts:actions\nBlech:51,221,255::\nKratzer:250,50,83::\n"
        "Rost:184,61,245::\nbackground:0,0,0::\n",
    )


def labelme(to: Folder) -> None:
    """Write two products at two sites; most images have a JSON of LabelMe beside them."""
    for site in ("Werk Nord", "Werk Süd"):
        for product, first in (("bolt M8", 1), ("flange", 200)):
            for number in range(first, first + 12):
                stem = f"{site}/{product}/2023_{number:03}"
                kinds = (
                    ["crack"] if number % 4 == 1 else ["pore", "pore"] if number % 4 == 2 else []
                )
                if number % 4 == 3:
                    to.image(f"{stem}.jpg", "unknown", category=f"{site}/{product}")
                    continue
                label = "anomalous" if kinds else "good"
                to.image(f"{stem}.jpg", label, category=f"{site}/{product}", masks=[f"{stem}.json"])
                to.shapes(f"{stem}.json", f"{stem}.jpg", kinds)
    to.file("labels.txt", "__ignore__\n_background_\ncrack\npore\n")


def coco(to: Folder) -> None:
    """Write an export of Roboflow as COCO; listed images without annotations have no defect."""
    kinds = [
        {"id": 0, "name": "defects", "supercategory": "none"},
        {"id": 1, "name": "chip", "supercategory": "defects"},
        {"id": 2, "name": "stain", "supercategory": "defects"},
    ]
    for folder, split, count in (
        ("train", "train", 26),
        ("valid", "validation", 8),
        ("test", "test", 12),
    ):
        table = f"{folder}/_annotations.coco.json"
        images: list[dict[str, object]] = []
        annotations: list[dict[str, object]] = []
        for number in range(count):
            code = random.Random(f"{folder}{number}").getrandbits(64)
            name = f"tile-{number:03}_jpg.rf.{code:016x}.jpg"
            is_bad = number % 3 != 0
            path = f"{folder}/{name}"
            to.image(
                path, "anomalous" if is_bad else "good", split, masks=[table] if is_bad else []
            )
            images.append(
                {"id": number, "license": 1, "file_name": name, "height": 24, "width": 24}
            )
            if is_bad:
                about = {"bbox": [4, 4, 8, 9], "area": 36, "iscrowd": 0}
                outline = [[4, 4, 12, 4, 9, 13]]
                kind = 1 + number % 2
                one = {"id": len(annotations), "image_id": number, "category_id": kind}
                annotations.append({**one, **about, "segmentation": outline})
        info = {"year": "2024", "version": "3", "description": "Exported from roboflow.com"}
        listed = {"images": images, "annotations": annotations, "categories": kinds}
        to.json(table, {"info": info, "licenses": [{"id": 1, "name": "CC BY 4.0"}], **listed})
    to.file("README.roboflow.txt", "tiles - v3\n46 images. No pre-processing.\n")


def challenge(to: Folder) -> None:
    """Write a challenge: a validation split, and test images without labels."""
    for part in ("fabric", "sheet_metal"):
        for number in range(14):
            to.image(f"{part}/train/normal/{number:04}.png", "good", "train", part)
        for number in range(4):
            to.image(f"{part}/val/normal/{number:04}.png", "good", "validation", part)
        for number in range(4):
            to.image(f"{part}/val/abnormal/{number:04}.png", "anomalous", "validation", part)
        for number in range(9):
            to.image(f"{part}/test/{number:04}.png", "unknown", "test", part)
    to.file("submission_format.md", "one score per line: `fabric/test/0000.png 0.93`\n")


def camera(to: Folder) -> None:
    """Write the card of a camera: nothing in it is about splits or labels."""
    for folder in ("100CANON", "101CANON"):
        for number in range(100 if folder[2] == "0" else 200, 224, 5):
            to.image(f"DCIM/{folder}/IMG_{number:04}.JPG", "unknown")
    to.file("DCIM/CANONMSC/M0100.CTG", b"\0\1\2")


def batches(to: Folder) -> None:
    """Write batches of castings with a table of measured values, of which none is a label."""
    numbers = random.Random(3)
    rows = []
    for batch in (4711, 4712, 4720):
        for number in range(1, 15):
            path = f"Charge {batch}/Teil_{number:02}.png"
            to.image(path, "unknown")
            heat, flash = f"{numbers.gauss(690, 8):.1f}".replace(".", ","), numbers.randrange(2)
            rows.append((f"Teil_{number:02}.png", batch, heat, flash, numbers.randrange(20, 80)))
    to.file(
        "Messwerte.csv", csv_text(("Datei", "Charge", "Temperatur", "Blitz", "Zyklus"), rows, ";")
    )
