"""Write trees of files in the official layouts of the built-in datasets, with the truth about each file.

A tree is planned first, as a `Truth` in memory, and then written, so that tests of paths need no disk:

    truth = planned("visa")                                    # every file and what it is
    truth = write_tree("visa", tmp_path)                       # the same, as tiny pictures below tmp_path
    truth = write_tree("visa", tmp_path, None)                 # with the official numbers of images
    truth = write_tree("visa", tmp_path, vary=partial_copy)    # with files that are not there

Names of folders and files, and the forms of tables, are those of the published datasets. Pictures are
noise. The numbers of single classes are not the official ones where only totals are published.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from anomaly_assets_tests.official import mvtec, plain, tables
from anomaly_assets_tests.official.files import (
    Picture,
    TrueFile,
    TrueImage,
    TrueMask,
    TrueStray,
)

LAYOUTS: Mapping[str, Callable[[int | None], Iterator[TrueFile]]] = {
    layout.__name__: layout
    for layout in (
        *(mvtec.mvtec_ad, tables.dagm_2007, tables.visa, plain.btad, mvtec.mpdd),
        *(plain.kolektor_sdd, plain.kolektor_sdd2, mvtec.mvtec_loco_ad, mvtec.mvtec_ad_2),
        tables.real_iad,
    )
}
"""Function that plans the files of each built-in dataset."""

_LINKS = 50_000
"""Maximum number of links to one file; ext4 allows 65,000."""


@dataclass(frozen=True)
class Truth:
    """Files of a tree.

    Attributes:
        dataset: Name of the source dataset.
        files: Every file.
        missing: Paths of images that have a row in a table and no file.
    """

    dataset: str
    files: tuple[TrueFile, ...]
    missing: tuple[str, ...] = ()

    @property
    def images(self) -> tuple[TrueImage, ...]:
        """Return the images."""
        return tuple(file for file in self.files if isinstance(file, TrueImage))

    @property
    def masks(self) -> tuple[TrueMask, ...]:
        """Return the masks."""
        return tuple(file for file in self.files if isinstance(file, TrueMask))

    @property
    def strays(self) -> Mapping[str, str]:
        """Return the reason of each stray by its path below the root."""
        return {file.file: file.reason for file in self.files if isinstance(file, TrueStray)}


Variation = Callable[[Truth], Truth]


def planned(name: str, images_per_class: int | None = 3) -> Truth:
    """Return the tree of a built-in dataset.

    Args:
        name: Name of the source dataset.
        images_per_class: Images of each category, split and defect type; None for the official
            numbers. Totals that are published without categories are divided among them equally.
    """
    return Truth(name, tuple(LAYOUTS[name](images_per_class)))


def write_tree(
    name: str, folder: Path, images_per_class: int | None = 3, *, vary: Variation | None = None
) -> Truth:
    """Write the tree of a built-in dataset.

    Every picture is different, except with the official numbers: then equal files are hard links.

    Args:
        name: Name of the source dataset.
        folder: Root.
        images_per_class: See `planned`.
        vary: Change of the tree.
    """
    truth = planned(name, images_per_class)
    truth = vary(truth) if vary else truth
    write(truth.files, folder, linked=images_per_class is None)
    return truth


def write(files: Iterable[TrueFile], folder: Path, *, linked: bool = False) -> None:
    """Write files below a folder; with `linked`, equal pictures are links to one file."""
    written: dict[Picture, tuple[Path, int]] = {}
    for each in files:
        target = folder / each.file
        target.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(each.content, bytes):
            target.write_bytes(each.content)
            continue
        first, links = written.get(each.content, (target, _LINKS))
        if linked and links < _LINKS:
            os.link(first, target)
            written[each.content] = (first, links + 1)
        else:
            target.write_bytes(each.content.encoded(each.file))
            written[each.content] = (target, 1)


def renamed_copy(truth: Truth) -> Truth:
    """Put another folder around the dataset, or rename the one that it has."""
    own = {file.around for file in truth.files} - {""}

    def moved(file: TrueFile) -> TrueFile:
        return replace(file, around="my copy (2)/") if file.around or not own else file

    return replace(truth, files=tuple(map(moved, truth.files)))


def partial_copy(truth: Truth) -> Truth:
    """Leave out every second category with its files, and the masks of every second one of the others.

    In a dataset without categories, their first folders are meant. Tables keep all their rows.
    """
    tops = sorted({image.top for image in truth.images})
    absent, unmasked = set(tops[1::2]), set(tops[::4])
    kept: list[TrueFile] = []
    for file in truth.files:
        if file.top in absent or (isinstance(file, TrueMask) and file.top in unmasked):
            continue
        if isinstance(file, TrueImage) and file.top in unmasked:
            file = replace(file, masks=())
            if file.table is None and "label" not in file.path_gives:
                file = replace(file, label="unknown", defect_type=None)
        kept.append(file)
    paths = {file.path for file in kept}
    return replace(
        truth,
        files=tuple(kept),
        missing=tuple(
            image.path for image in truth.images if image.path not in paths and image.table in paths
        ),
    )


def flattened_copy(truth: Truth) -> Truth:
    """Put all pictures into one folder, with the names of their folders in those of the files."""
    return replace(
        truth,
        files=tuple(
            TrueStray(
                path=file.path.replace("/", "_"),
                content=file.content,
                reason="unrecognised_path",
            )
            for file in truth.files
            if isinstance(file, (TrueImage, TrueMask))
        ),
    )


def converted_copy(truth: Truth) -> Truth:
    """Put VisA into the folders of MVTec AD, as common tools do, without its tables."""
    assert truth.dataset == "visa"
    files: list[TrueFile] = []
    for file in truth.files:
        name = file.path.rpartition("/")[2]
        if isinstance(file, TrueImage):
            word = "good" if file.label == "good" else "bad"
            masks = [
                f"{file.top}/ground_truth/bad/{mask.rpartition('/')[2]}" for mask in file.masks
            ]
            file = replace(
                file,
                path=f"{file.top}/{file.split}/{word}/{name}",
                masks=tuple(masks),
                table=None,
                path_gives=file.path_gives | {"split"},
            )
        elif isinstance(file, TrueMask):
            white = replace(file.content, defect=255) if isinstance(file.content, Picture) else b""
            file = replace(file, path=f"{file.top}/ground_truth/bad/{name}", content=white)
        else:
            continue
        files.append(file)
    return replace(truth, files=tuple(files))
