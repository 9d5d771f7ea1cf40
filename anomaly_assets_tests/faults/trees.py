"""Write the roots: copies and variations of the committed samples, some faulty files, and changes."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image

from anomaly_assets_tests.faults.command import PROJECT

SAMPLES = PROJECT / "data" / "samples"


def build(folder: Path, variations: int) -> None:
    """Write both roots below a folder: the samples, and this number of variations of every picture.

    They include one damaged image, one mask without an image, and one stray file.
    """
    for name in ("mvtec_ad", "dagm_2007"):
        shutil.copytree(SAMPLES / name, folder / name)
    # Class1 has a Labels.txt with a list of its images.
    for root in (folder / "mvtec_ad", folder / "dagm_2007" / "Class2"):
        for picture in [*_pictures(root)]:
            for number in range(1, variations + 1):
                shifted(picture, _numbered(picture, number), 17 * number)
    damaged = folder / "mvtec_ad" / "bolt" / "train" / "good" / "900.png"
    damaged.write_bytes(b"\x89PNG, and nothing of one")
    masks = folder / "mvtec_ad" / "woven" / "ground_truth" / "tear"
    shutil.copy2(masks / "000_mask.png", masks / "950_mask.png")
    (folder / "mvtec_ad" / "woven" / "notes.dat").write_text("nothing that belongs here", "ascii")


def change(folder: Path) -> None:
    """Change, add, remove, move and repair files below both roots; fewer than a fifth are removed."""
    bolt = folder / "mvtec_ad" / "bolt"
    woven = folder / "mvtec_ad" / "woven"
    dagm = folder / "dagm_2007" / "Class2"
    for picture in (*_first(woven / "train" / "good", 3), *_first(bolt / "test" / "scratch", 2)):
        shifted(picture, picture, 31)
    mask = _first(bolt / "ground_truth" / "scratch", 1)[0]
    shifted(mask, mask, 5)
    for picture in (*_first(bolt / "train" / "good", 3), *_first(woven / "test" / "good", 1)):
        shifted(picture, _numbered(picture, 7), 43)
    for picture in (*_first(bolt / "test" / "good", 1), *_first(woven / "test" / "tear", 1)):
        picture.unlink()
    moved = _first(woven / "test" / "good", 2)[1]
    moved.rename(woven / "train" / "good" / "977.png")
    sound = _first(bolt / "train" / "good", 1)[0]
    shifted(sound, bolt / "train" / "good" / "900.png", 3)
    changed, removed = _first(dagm / "Test", 2)
    shifted(changed, changed, 11)
    removed.unlink()
    shifted(changed, dagm / "Test" / "0977.PNG", 23)
    shifted(changed, dagm / "Train" / "0978.PNG", 29)


def add(folder: Path, count: int) -> None:
    """Add this number of variations of the first picture of a folder."""
    first = _first(folder, 1)[0]
    for number in range(count):
        name = f"{500 + number:0{len(first.stem)}}{first.suffix}"
        shifted(first, first.with_name(name), 3 + number)


def images(root: Path) -> list[Path]:
    """List the pictures below a root that are no masks."""
    masks = ("ground_truth", "Label")
    return [path for path in _pictures(root) if not set(masks) & {*path.relative_to(root).parts}]


def keep_images(root: Path, count: int) -> None:
    """Remove images until this number is left; masks stay."""
    for path in images(root)[count:]:
        path.unlink()


def replace_by_pointers(root: Path) -> None:
    """Replace every picture by a pointer, as in a checkout without Git LFS."""
    for path in _pictures(root):
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        size = path.stat().st_size
        path.unlink()
        version = "version https://git-lfs.github.com/spec/v1"
        path.write_text(f"{version}\noid sha256:{digest}\nsize {size}\n", "ascii")


def shifted(source: Path, target: Path, pixels: int) -> None:
    """Write a picture again with its rows rotated by some pixels."""
    with Image.open(source) as picture:
        moved = Image.fromarray(np.roll(np.asarray(picture), pixels, axis=0))
    moved.save(target, "PNG", compress_level=1)


def _pictures(root: Path) -> Iterator[Path]:
    yield from sorted(path for path in root.rglob("*") if path.suffix.lower() == ".png")


def _first(folder: Path, count: int) -> list[Path]:
    found = [path for path in sorted(folder.iterdir()) if path.suffix.lower() == ".png"]
    return [path for path in found if not path.name.startswith("9")][:count]


def _numbered(picture: Path, variation: int) -> Path:
    """Return the same name with another number, which keeps its mask paired."""
    number, _, rest = picture.name.partition("_" if "_" in picture.name else ".")
    between = "_" if "_" in picture.name else "."
    return picture.with_name(f"{int(number) + 100 * variation:0{len(number)}}{between}{rest}")
