"""Write twenty folders as people have them, with the truth about each image; 18 of them can be declared.

The truth is what the tree itself gives to a careful reader. Where nothing gives a label, it is `unknown`:
for an image without a mask beside images with one, no label is certain.

The trees were written before the first line of what is tested with them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from anomaly_assets_tests.suggesting import copied_datasets, own_folders
from anomaly_assets_tests.suggesting.folders import Folder, Truth


@dataclass(frozen=True)
class Tree:
    """A tree that can be written.

    Attributes:
        folder: Name of its folder.
        write: Function that writes it.
        is_solvable: Whether it contains anything about splits or labels.
        real: Folder that it needs; None for a generated tree.
    """

    folder: str
    write: Callable[[Folder], None]
    is_solvable: bool = True
    real: Path | None = None

    def written(self, parent: Path) -> tuple[Path, dict[str, Truth]]:
        """Write the tree below a folder; return its root and the truth about each image."""
        root = parent / self.folder
        root.mkdir(parents=True)
        folder = Folder(root)
        self.write(folder)
        return root, folder.truth


TREES: dict[str, Tree] = {
    "housing": Tree("Gehäuse 2023", own_folders.housing),
    "ok_and_ng": Tree("LinieB_2024", own_folders.ok_and_ng),
    "split_csv": Tree("stanzteile", own_folders.split_csv),
    "flat_csv": Tree("Prüfstand 7", own_folders.flat_csv),
    "split_json": Tree("realiad_256", own_folders.split_json),
    "mirrored": Tree("PCB-Inspektion", own_folders.mirrored),
    "class_numbers": Tree("dichtung", own_folders.class_numbers),
    "colours": Tree("task_17_bleche-voc", own_folders.colours),
    "labelme": Tree("castings", own_folders.labelme),
    "coco": Tree("Tiles.v3i.coco", own_folders.coco),
    "challenge": Tree("challenge_2025", own_folders.challenge),
    "loco": Tree("mvtec_loco_anomaly_detection", copied_datasets.loco),
    "kolektor": Tree("KSDD2", copied_datasets.kolektor),
    "flattened": Tree("mvtec-flat", copied_datasets.flattened),
    "visa": Tree("visa_pytorch", copied_datasets.visa),
    "dagm": Tree("dagm", copied_datasets.dagm),
    "real_leather": Tree(
        "leather_excerpt", copied_datasets.real_leather, real=copied_datasets.REAL / "mvtec_ad"
    ),
    "real_textures": Tree(
        "Texturen", copied_datasets.real_textures, real=copied_datasets.REAL / "dagm_2007"
    ),
    "camera": Tree("EOS_DIGITAL", own_folders.camera, is_solvable=False),
    "batches": Tree("Druckguss", own_folders.batches, is_solvable=False),
}
"""All trees by name."""
