"""Build trees in the official layouts, of any size, from a few real pictures and hard links."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import cycle
from pathlib import Path

from PIL import Image

_MASK_FOLDERS = {"ground_truth", "Label"}

PROJECT = Path(__file__).parents[1]
REAL = PROJECT.parent / "shared" / "real"
SAMPLES = PROJECT / "data" / "samples"
_CONVERTED = 24
"""Number of pictures of a declared dataset; a TIFF file has 3 MB."""

OFFICIAL_COUNTS = PROJECT / "anomaly_assets_tests" / "official" / "official_counts.json"


@dataclass(frozen=True)
class Pictures:
    """Files to link to, by kind."""

    colour: list[Path]
    grey: list[Path]
    colour_masks: list[Path]
    grey_masks: list[Path]
    are_real: bool


@dataclass(frozen=True)
class Tree:
    """Folders of generated source datasets on disk.

    Attributes:
        roots: Root of each source dataset, by its name.
        images: Number of images in all.
        declaration: TOML file that declares the source dataset; None for built-in ones.
    """

    roots: Mapping[str, Path]
    images: int
    declaration: Path | None = None

    @property
    def mvtec_ad(self) -> Path:
        """Return the root of the MVTec AD part."""
        return self.roots["mvtec_ad"]

    @property
    def dagm_2007(self) -> Path:
        """Return the root of the DAGM 2007 part."""
        return self.roots["dagm_2007"]

    @property
    def environment(self) -> dict[str, str]:
        """Return environment variables with the roots of this tree."""
        found = {f"{name.upper()}_ROOT": str(root) for name, root in self.roots.items()}
        if self.declaration is not None:
            found["ANOMALY_DATASETS"] = str(self.declaration)
        return found

    def image_files(self) -> list[Path]:
        """Return every image, without masks."""
        return [path for path in self._files() if not _MASK_FOLDERS & set(path.parts)]

    def mask_files(self) -> list[Path]:
        """Return every mask."""
        return [path for path in self._files() if _MASK_FOLDERS & set(path.parts)]

    def _files(self) -> list[Path]:
        """Return images and masks, sorted."""
        found = (path for root in self.roots.values() for path in root.rglob("*.*"))
        return sorted(path for path in found if path.suffix != ".txt")


def pictures(work: Path) -> Pictures:
    """Copy the pictures to link to into `work`, which must be on the file system of the trees.

    The pictures are real excerpts if available, otherwise the synthetic samples.
    """
    real = (REAL / "official_layout").is_dir()
    mvtec = REAL if real else SAMPLES / "mvtec_ad"
    dagm = REAL if real else SAMPLES / "dagm_2007"
    colour = [path for path in mvtec.rglob("*.png") if "ground_truth" not in path.parts]
    masks = [path for path in mvtec.rglob("*.png") if "ground_truth" in path.parts]
    grey = [path for path in dagm.rglob("*.PNG") if "Label" not in path.parts]
    grey_masks = [path for path in dagm.rglob("*.PNG") if "Label" in path.parts]
    copied = []
    for kind, files in enumerate((colour, grey, masks, grey_masks)):
        folder = work / f"pictures-{kind}"
        folder.mkdir(parents=True)
        copied.append([_copy(path, folder / f"{n}.png") for n, path in enumerate(sorted(files))])
    return Pictures(copied[0], copied[1], copied[2], copied[3], real)


def build_tree(work: Path, name: str, pictures: Pictures, images: int | None = None) -> Tree:
    """Build a tree with the official proportions of categories, splits, masks and `Labels.txt`.

    Args:
        work: Folder to build in.
        name: Name of the tree.
        pictures: Files to link to.
        images: Approximate number of images; None for the full 21,454.
    """
    counts = json.loads(OFFICIAL_COUNTS.read_text("utf-8"))
    share = 1.0 if images is None else images / 21454
    mvtec, dagm = work / name / "mvtec_ad", work / name / "dagm_2007"
    made = _mvtec(mvtec, counts["mvtec_ad"], pictures, share)
    made += _dagm(dagm, counts["dagm_2007"], pictures, share)
    return Tree({"mvtec_ad": mvtec, "dagm_2007": dagm}, made)


def build_declared(work: Path, suffix: str, pictures: Pictures, images: int) -> Tree:
    """Build a tree of a declared dataset, with files of another format.

    The colour pictures are resized to 1024x1024 RGB. JPEG files have quality 95. Every other TIFF file is
    compressed with LZW.

    Args:
        work: Folder to build in.
        suffix: `jpg` or `tif`.
        pictures: Pictures to convert.
        images: Number of images.
    """
    folder, name = work / f"declared-{suffix}", f"bench_{suffix}"
    folder.mkdir()
    files = []
    for number, path in enumerate(pictures.colour[:_CONVERTED]):
        picture = Image.open(path).convert("RGB")
        picture = picture.resize((1024, 1024), Image.Resampling.LANCZOS)
        files.append(folder / f"{number}.{suffix}")
        if suffix == "jpg":
            picture.save(files[-1], quality=95)
        else:
            picture.save(files[-1], compression="tiff_lzw" if number % 2 else None)
    source = cycle(files)
    for number in range(images):
        kind = "train/good" if number % 4 else "test/scratch"
        _link(next(source), folder / "root" / "line" / kind / f"{number:05}.{suffix}")
    declaration = folder / "datasets.toml"
    patterns = 'images = ["{category}/{split}/{defect_type}/{name}"]'
    declaration.write_text(f'[{name}]\nroot = "root"\n{patterns}\n', "utf-8")
    return Tree({name: folder / "root"}, images, declaration)


def _mvtec(root: Path, counts: dict, pictures: Pictures, share: float) -> int:
    made = 0
    colour, grey, masks = cycle(pictures.colour), cycle(pictures.grey), cycle(pictures.colour_masks)
    for category, facts in counts.items():
        source = grey if facts["mode"] == "L" else colour
        for split in ("train", "test"):
            for defect, count in facts[split].items():
                for number in range(_share(count, share)):
                    _link(next(source), root / category / split / defect / f"{number:03}.png")
                    made += 1
                    if defect != "good":
                        mask = root / category / "ground_truth" / defect / f"{number:03}_mask.png"
                        _link(next(masks), mask)
    return made


def _dagm(root: Path, counts: dict, pictures: Pictures, share: float) -> int:
    made = 0
    grey, masks = cycle(pictures.grey), cycle(pictures.grey_masks)
    for category, facts in counts.items():
        for split in ("Test", "Train"):
            folder = root / category / split
            lines = ["1"]
            anomalous = _share(facts[split]["anomalous"], share)
            for position in range(_share(facts[split]["images"], share)):
                number = f"{facts[split]['first'] + position:04}"
                _link(next(grey), folder / f"{number}.PNG")
                made += 1
                if position < anomalous:
                    _link(next(masks), folder / "Label" / f"{number}_label.PNG")
                    lines.append(f"{number}\t1\t{number}.PNG\t0\t{number}_label.PNG")
                else:
                    lines.append(f"{number}\t0\t{number}.PNG\t0\t0\t")
            (folder / "Label").mkdir(exist_ok=True)
            (folder / "Label" / "Labels.txt").write_text("\n".join(lines) + "\n", "ascii")
    return made


def _share(count: int, share: float) -> int:
    return count if share == 1.0 else max(1, round(count * share))


def _link(source: Path, target: Path) -> None:
    try:
        os.link(source, target)
    except FileNotFoundError:
        target.parent.mkdir(parents=True, exist_ok=True)
        os.link(source, target)


def _copy(source: Path, target: Path) -> Path:
    return Path(shutil.copyfile(source, target))


def listed(folder: Path) -> Iterator[os.stat_result]:
    """Yield the status of every file below `folder`, by `os.scandir` and `stat`: a bare listing."""
    for entry in os.scandir(folder):
        if entry.is_dir():
            yield from listed(Path(entry.path))
        else:
            yield entry.stat()
