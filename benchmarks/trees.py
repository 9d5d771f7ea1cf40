"""Trees in the official layouts, of any size, built from a few real pictures and hard links."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import cycle
from pathlib import Path

PROJECT = Path(__file__).parents[1]
REAL = PROJECT.parent / "shared" / "real"
SAMPLES = PROJECT / "data" / "samples"
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
        mvtec_ad: Root of the MVTec AD part.
        dagm_2007: Root of the DAGM 2007 part.
        images: Number of images in both.
    """

    mvtec_ad: Path
    dagm_2007: Path
    images: int

    @property
    def environment(self) -> dict[str, str]:
        """Environment variables with the roots of this tree."""
        return {"MVTEC_AD_ROOT": str(self.mvtec_ad), "DAGM_2007_ROOT": str(self.dagm_2007)}

    def image_files(self) -> list[Path]:
        """Return every image, without masks."""
        mvtec = (path for path in self.mvtec_ad.rglob("*.png") if "ground_truth" not in path.parts)
        return sorted([*mvtec, *self.dagm_2007.glob("*/T*/*.PNG")])

    def mask_files(self) -> list[Path]:
        """Return every mask."""
        mvtec = self.mvtec_ad.glob("*/ground_truth/*/*.png")
        return sorted([*mvtec, *self.dagm_2007.glob("*/T*/Label/*.PNG")])


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
    return Tree(mvtec, dagm, made)


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
