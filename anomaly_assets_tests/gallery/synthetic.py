"""Write a gallery of drawn images, of any size: `python -m anomaly_assets_tests.gallery.synthetic FOLDER`.

It has the files that the page reads, and nothing else of a gallery that was built from a database.
Every tile has its own bytes, so that no browser can reuse a decoded one.
"""

from __future__ import annotations

import base64
import hashlib
import io
import json
import shutil
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw

PAGE = Path(__file__).parents[2] / "anomaly_assets" / "gallery" / "page"
MVTEC_AD = (
    *(
        "bottle",
        "cable",
        "capsule",
        "carpet",
        "grid",
        "hazelnut",
        "leather",
        "metal_nut",
        "pill",
        "screw",
    ),
    *("tile", "toothbrush", "transistor", "wood", "zipper"),
)
DAGM_2007 = tuple(f"Class{number}" for number in range(1, 11))
DEFECTS = ("bent", "broken", "contamination", "cut", "hole", "scratch", "stain")
LOADED = 1_795_900_000
PACK = 256
CHUNK = 64
_DRAWN = 8


@dataclass
class Row:
    """One image; the names of its attributes are those of the columns of the index."""

    image_id: str
    source_dataset: str
    category: str
    split: str
    label: str
    defect_type: str | None
    defect_area: float | None
    score: float
    loaded_at: int
    content: str
    camera: str
    label_source: str = "path"


@dataclass
class Drawn:
    """Pictures of one category: WebP of 96 px and 256 px, the mask's outline, and the heat map."""

    tiles: list[bytes] = field(default_factory=list)
    images: list[bytes] = field(default_factory=list)
    outlines: list[list[list[float]]] = field(default_factory=list)
    maps: list[bytes] = field(default_factory=list)


def webp(image: Image.Image, quality: int = 70) -> bytes:
    target = io.BytesIO()
    image.save(target, "WEBP", quality=quality)
    return target.getvalue()


def with_own_bytes(image: bytes, number: int) -> bytes:
    """Append a chunk that decoders skip, so that two equal pictures have different bytes."""
    chunk = b"XTRA" + (8).to_bytes(4, "little") + number.to_bytes(8, "little")
    size = int.from_bytes(image[4:8], "little") + len(chunk)
    return image[:4] + size.to_bytes(4, "little") + image[8:] + chunk


def draw(seed: int, large: bool) -> Drawn:
    """Draw pictures of one category: even numbers are good, odd ones have a defect."""
    random = np.random.default_rng(seed)
    drawn = Drawn()
    hue = random.uniform(60, 200, 3)
    rows, columns = np.mgrid[0:256, 0:256]
    for number in range(_DRAWN):
        waves = np.sin(columns / random.uniform(4, 30) + seed) * np.cos(
            rows / random.uniform(6, 40)
        )
        grey = 1 + 0.18 * waves + random.normal(0, 0.04, (256, 256))
        image = Image.fromarray(np.clip(hue * grey[..., None], 0, 255).astype(np.uint8))
        x, y, radius = random.uniform(60, 190), random.uniform(60, 190), random.uniform(14, 44)
        turns = np.linspace(0, 2 * np.pi, 24, endpoint=False)
        reach = radius * (1 + 0.3 * np.sin(3 * turns))
        points = [
            (float(x + r * np.cos(t)), float(y + r * np.sin(t)))
            for r, t in zip(reach, turns, strict=True)
        ]
        if number % 2:
            shade = tuple(
                int(value) for value in hue * random.choice([0.35, 1.5]).clip(0, 255 / hue.max())
            )
            ImageDraw.Draw(image).polygon(points, fill=shade)
        drawn.tiles.append(webp(image.resize((96, 96)), 76))
        # Some categories are wider than high; their larger images are JPEG, as those of a real gallery.
        cut = 48 if seed % 5 == 1 else 0
        ring = [value for x, y in points for value in (x / 256, (y - cut) / (256 - 2 * cut))]
        drawn.outlines.append([[round(value, 4) for value in ring]])
        if large:
            larger = io.BytesIO()
            image.crop((0, cut, 256, 256 - cut)).save(larger, "JPEG" if cut else "WEBP", quality=80)
            drawn.images.append(larger.getvalue())
            heat: npt.NDArray[Any] = np.exp(
                -((columns - x) ** 2 + (rows - y) ** 2) / (2 * radius**2)
            )
            drawn.maps.append(webp(Image.fromarray((255 * heat).astype(np.uint8)).resize((64, 64))))
    return drawn


def rows_of(images: int) -> list[Row]:
    """Return rows in the order of a gallery: by source dataset, category and image id."""
    random = np.random.default_rng(7)
    categories = [("dagm_2007", name) for name in sorted(DAGM_2007)]
    categories += [("mvtec_ad", name) for name in sorted(MVTEC_AD)]
    shares = [0.075] * 10 + [0.25 / 15] * 15
    rows: list[Row] = []
    for (dataset, category), share in zip(categories, shares, strict=True):
        count = max(2, round(images * share))
        if (dataset, category) == categories[-1]:
            count = images - len(rows)
        names = []
        for number in range(count):
            anomalous = number % 5 == 0
            split = "test" if anomalous or number % 5 == 1 else "train"
            defect = DEFECTS[int(random.integers(len(DEFECTS)))] if anomalous else None
            area = float(random.beta(1, 30)) if anomalous else 0.0
            folder = defect or "good"
            image_id = f"{dataset}/{category}/{split}/{folder}/{number:04}.png"
            score = float(random.gamma(9 if anomalous else 4, 0.1))
            loaded = LOADED + int(random.integers(90)) * 86_400
            content = hashlib.sha256(image_id.encode()).hexdigest()[:12]
            label = "anomalous" if anomalous else "good"
            camera = f"line {int(random.integers(1, 4))}"
            names.append(
                Row(
                    image_id,
                    dataset,
                    category,
                    split,
                    label,
                    defect,
                    area,
                    score,
                    loaded,
                    content,
                    camera,
                )
            )
        rows += sorted(names, key=lambda row: row.image_id)
    return rows


def changed(rows: list[Row]) -> list[Row]:
    """Return the rows of an older snapshot: some are missing, some differ, and some have left since."""
    older = []
    for number, row in enumerate(rows):
        if number % 97 == 3:
            continue
        other = Row(**vars(row))
        if number % 89 == 5:
            other.label, other.defect_type = (
                ("good", None) if row.defect_type else ("anomalous", "stain")
            )
        if number % 83 == 7:
            other.content = "0" * 12
        older.append(other)
        if number % 101 == 11:
            gone = Row(**vars(row))
            gone.image_id = row.image_id.replace(".png", "_gone.png")
            older.append(gone)
    return older


def write_gallery(
    folder: Path, images: int, *, details: bool = True, extra: list[Row] | None = None
) -> None:
    """Write a gallery of two snapshots.

    Args:
        folder: Folder to write; it is made.
        images: Number of images of the newer snapshot.
        details: Write details; they are a tenth of all rows of a large gallery.
        extra: Further rows, such as some with hostile names.
    """
    for name in ("tiles", "data", "details"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    for path in PAGE.iterdir():
        if path.suffix in (".html", ".css", ".js"):
            shutil.copyfile(path, folder / path.name)
    rows = rows_of(images - len(extra or [])) + (extra or [])
    rows.sort(key=lambda row: (row.source_dataset, row.category, row.image_id))
    pictures: dict[str, Drawn] = {}
    newer = _write_index(folder, rows, "b20f3c042e5a", "2026-11-29T13:10:00Z", pictures, details)
    older = _write_index(
        folder, changed(rows), "1f9ac4d7720b", "2026-11-22T06:00:00Z", pictures, False
    )
    snapshot = {
        "format": 1,
        "index": newer,
        "previous": [
            {"id": "1f9ac4d7720b", "published_at": "2026-11-22T06:00:00Z", "index": older}
        ],
        "snapshot": {
            "id": "b20f3c042e5a",
            "published_at": "2026-11-29T13:10:00Z",
            "images": len(rows),
        },
    }
    (folder / "snapshot.js").write_text(f"gallery.snapshot({json.dumps(snapshot)});\n")


def _write_index(
    folder: Path,
    rows: list[Row],
    snapshot: str,
    published: str,
    pictures: dict[str, Drawn],
    details: bool,
) -> str:
    """Write the packs, the details and the index of one snapshot; return the path of the index."""
    codes: dict[str, list[Any]] = {}
    words: dict[str, list[Any]] = {}
    for name in ("source_dataset", "split", "label", "label_source", "defect_type"):
        values = [getattr(row, name) for row in rows]
        words[name] = sorted({value for value in values if value is not None})
        codes[name] = [-1 if value is None else words[name].index(value) for value in values]
    pairs = sorted({(row.source_dataset, row.category) for row in rows})
    words["category"] = [
        {"source_dataset": words["source_dataset"].index(dataset), "name": name}
        for dataset, name in pairs
    ]
    at = {pair: number for number, pair in enumerate(pairs)}
    codes["category"] = [at[row.source_dataset, row.category] for row in rows]
    words["licence"] = ["CC BY-NC-SA 4.0", "not declared"]
    codes["licence"] = [0 if row.source_dataset == "mvtec_ad" else 1 for row in rows]
    words["check"] = [
        {
            "name": "no_near_duplicates",
            "sentence": "Pairs of images are almost equal.",
            "asset": "image_tensors",
        },
        {
            "name": "labels_agree",
            "sentence": "Mask and label contradict each other.",
            "asset": "images",
        },
    ]
    packs, pack, slot, chunks, chunk = _write_pictures(folder, rows, pairs, pictures, details)
    cameras = sorted({row.camera for row in rows})
    index = {
        "format": 1,
        "snapshot": {"id": snapshot, "published_at": published},
        "count": len(rows),
        "recipe": "patchcore",
        "words": words,
        "columns": {
            "image_id": [row.image_id for row in rows],
            **codes,
            "defect_area": [row.defect_area for row in rows],
            "score": [row.score for row in rows],
            "loaded_at": [row.loaded_at + 0.123457 for row in rows],  # as precise as in a database
            "content": [row.content for row in rows],
            "pack": pack,
            "slot": slot,
            "detail": chunk,
        },
        "checks": [list(range(0, len(rows), 151)), list(range(4, len(rows), 397))],
        "attributes": {
            "camera": {
                "type": "text",
                "words": cameras,
                "codes": [cameras.index(row.camera) for row in rows],
            },
            "exposure": {
                "type": "number",
                "values": [n % 40 if n % 3 else None for n in range(len(rows))],
            },
        },
        "packs": packs,
        "details": chunks,
    }
    text = json.dumps(index, separators=(",", ":"))
    digest = hashlib.sha256(text.encode()).hexdigest()[:16]
    quoted = json.dumps(text).replace("</", "<\\/")
    (folder / "data" / f"index-{digest}.js").write_text(f'gallery.index("{digest}",{quoted});\n')
    return f"data/index-{digest}.js"


def _write_pictures(
    folder: Path,
    rows: list[Row],
    pairs: list[tuple[str, str]],
    pictures: dict[str, Drawn],
    details: bool,
) -> tuple[list[str], list[int], list[int], list[str], list[int]]:
    """Write packs of tiles and chunks of details; return their paths, and the places of each row."""
    packs: list[str] = []
    chunks: list[str] = []
    pack, slot, chunk = [0] * len(rows), [0] * len(rows), [-1] * len(rows)
    for number, pair in enumerate(pairs):
        drawn = pictures.setdefault("/".join(pair), draw(number, large=details))
        members = [
            place for place, row in enumerate(rows) if (row.source_dataset, row.category) == pair
        ]
        for first in range(0, len(members), PACK):
            part = members[first : first + PACK]
            tiles = []
            for place in part:
                row = rows[place]
                kind = int(row.content[:6], 16) % (_DRAWN // 2) * 2 + bool(row.defect_type)
                own = int(hashlib.sha256(row.image_id.encode()).hexdigest()[:12], 16)
                tiles.append(base64.b64encode(with_own_bytes(drawn.tiles[kind], own)).decode())
                pack[place], slot[place] = len(packs), len(tiles) - 1
            digest = hashlib.sha256("".join(tiles).encode()).hexdigest()[:16]
            packs.append(f"tiles/c{number}-{digest}.js")
            (folder / packs[-1]).write_text(f'gallery.tiles("{packs[-1]}",{json.dumps(tiles)});\n')
        if not details or (len(rows) > 5000 and number % 10):
            continue
        for first in range(0, len(members), CHUNK):
            part = members[first : first + CHUNK]
            text = json.dumps([_details(rows[place], drawn) for place in part])
            digest = hashlib.sha256(text.encode()).hexdigest()[:16]
            chunks.append(f"details/{digest}.js")
            (folder / chunks[-1]).write_text(f'gallery.details("{chunks[-1]}",{text});\n')
            for place in part:
                chunk[place] = len(chunks) - 1
    return packs, pack, slot, chunks, chunk


def _details(row: Row, drawn: Drawn) -> dict[str, Any]:
    kind = int(row.content[:6], 16) % (_DRAWN // 2) * 2 + bool(row.defect_type)
    return {
        "columns": {
            "image_id": row.image_id,
            "filename": row.image_id.rsplit("/", 1)[-1],
            "label": row.label,
            "source_dataset": row.source_dataset,
            "category": row.category,
            "split": row.split,
            "defect_type": row.defect_type,
            "height": 256,
            "width": 256,
            "channels": 3,
            "original_width": 1024,
            "original_height": 1024,
            "original_mode": "RGB",
            "content_sha256": row.content + hashlib.sha256(row.image_id.encode()).hexdigest()[12:],
            "mask_area_fraction": row.defect_area,
        },
        "image": base64.b64encode(drawn.images[kind]).decode(),
        "mask": drawn.outlines[kind] if row.defect_type else None,
        "map": base64.b64encode(drawn.maps[kind]).decode(),
        "attributes": {"camera": row.camera},
    }


if __name__ == "__main__":
    write_gallery(Path(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 21_454)
