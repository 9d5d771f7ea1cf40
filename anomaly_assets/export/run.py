"""Run the steps of every format: select samples, write a temporary folder, move it into place."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from anomaly_assets.export.card import README, card_text
from anomaly_assets.export.croissant import CROISSANT, Files, croissant_text
from anomaly_assets.export.destination import mark, replaced
from anomaly_assets.export.errors import ExportError
from anomaly_assets.export.licence import LICENSE, licence_text
from anomaly_assets.export.pictures import Advance
from anomaly_assets.export.selection import Selection, Source, Values, Written, opened

LAYOUT = 3
"""Version of the layout: increased when files or columns of any format change name or meaning."""

Card = Callable[[Source], str]
"""Function that returns the lines of a dataset card from which `datasets` loads the files, in YAML."""

Write = Callable[[Source, Path, Advance], Written]
"""Function that writes the samples into an empty folder."""


@dataclass(frozen=True)
class Export:
    """Result of an export.

    Attributes:
        folder: Folder of the export.
        format: Name of the format.
        snapshot_id: The snapshot it was read from.
        samples: Number of written images, or of tiles.
        masks: Number of written ground-truth masks.
        left_out: Number of images that the format's table cannot list; see the format.
        reasons: `left_out` by reason.
        not_written: Number of images that are left out of the table, and whose files are not written.
        unknown: Number of matching images without a label, which are not exported.
        file_bytes: Size of all files.
        are_tiles: Whether each sample is a tile of an image.
        without_split: Number of samples of the split `unassigned`; an assignment gives them a fold.
    """

    folder: Path
    format: str
    snapshot_id: str | None
    samples: int
    masks: int
    left_out: int
    unknown: int
    file_bytes: int
    are_tiles: bool = False
    without_split: int = 0
    reasons: Mapping[str, int] = field(default_factory=dict)
    not_written: int = 0

    @property
    def left_out_sentence(self) -> str:
        """Return which samples the table leaves out and why, without a full stop; empty for none."""
        if not self.left_out:
            return ""
        things = "tiles" if self.are_tiles else "images"
        reasons = ", ".join(f"{count} {reason}" for reason, count in self.reasons.items())
        if self.not_written:
            return (
                f"{self.not_written} more {things} not written, because {self.format} has no place for "
                f"them ({reasons}): left_out.parquet lists them"
            )
        return (
            f"{self.left_out} of the {things} are not in samples.parquet but in left_out.parquet, because "
            f"{self.format} does not accept them ({reasons})"
        )


@dataclass(frozen=True)
class Exporter:
    """Format of exports; call it to export samples.

    Attributes:
        format: Name of the format.
        write: Function that writes the samples.
        card: Function that returns the lines of `README.md` for `datasets`; None if it cannot load it.
        files: Files of the format that Croissant describes.
        whole_images: Whether it is a format of annotation tools, which takes no tiles.
    """

    format: str
    write: Write
    card: Card | None = None
    files: Files = field(default_factory=Files)
    whole_images: bool = False

    def __call__(
        self,
        out: str | Path,
        database: str | Path | None = None,
        *,
        source_dataset: Values = None,
        category: Values = None,
        split: Values = None,
        label: Values = None,
        where: str | None = None,
        snapshot: str | None = None,
        include_unknown: bool = False,
        size: int | tuple[int, int] | None = None,
        recipe: str | None = None,
        commercial: bool = False,
        check: str | None = None,
        originals: bool = False,
        assignment: str | None = None,
        fold: Values = None,
        overwrite: bool = False,
        progress: bool = False,
    ) -> Export:
        """Export samples.

        Args:
            out: Folder to create. It must not exist, or be empty, or contain an export that `overwrite`
                replaces.
            database: The published database, as `open_samples` takes it.
            source_dataset: Export only this source dataset, or these.
            category: Export only this category, or these.
            split: Export only `train`, `test`, `validation` or `unassigned`.
            label: Export only `good`, `anomalous` or `unknown`, or a word that `open_samples` takes.
            where: A condition in SQL over the columns of `samples`.
            snapshot: Id of the snapshot to export instead of the newest.
            include_unknown: Export images without a label too.
            size: Side of the exported tensors, or (height, width), as `open_samples` takes it.
            recipe: Name of the recipe of the exported tensors; without it and `size`, the common one.
            commercial: Refuse source datasets that are not known to allow commercial use.
            check: Export only the images that this data quality check names, such as `labels_agree`.
            originals: Export the files of the roots in their own size, instead of tensors; formats of
                annotation tools only.
            assignment: Name of a split assignment, whose folds are the splits of the export.
            fold: Export only this fold of the assignment, or these.
            overwrite: Replace an export at `out`; readers see all of the old one or all of the new one.
            progress: Show a progress bar if standard error is a terminal.

        Raises:
            CommercialUseError: A source dataset is not known to allow commercial use; the message names it.
            ExportError: `out` cannot be written, the format takes no such samples or has no place for any,
                or an original cannot be read. `out` is unchanged.
            FileNotFoundError: The database does not exist.
            LookupError: No sample matches, or no such recipe exists; the message lists the existing values.
            ValueError: `where` is not a condition, or the samples have different shapes.
        """
        selection = Selection(
            database,
            source_dataset,
            category,
            split,
            label,
            where,
            snapshot,
            include_unknown,
            size,
            recipe,
            commercial,
            check,
            originals,
            assignment,
            fold,
        )
        if originals and not self.whole_images:
            raise ExportError(
                f"{self.format} holds tensors and no original files. Leave --originals (originals=True) "
                "out, or choose a format of annotation tools: label-studio or coco."
            )
        return self._export(out, selection, overwrite, progress)

    def _export(
        self, out: str | Path, selection: Selection, overwrite: bool, progress: bool
    ) -> Export:
        with (
            opened(selection) as source,
            replaced(out, overwrite=overwrite) as folder,
            tqdm(
                total=len(source),
                desc=self.format,
                unit=f" {source.things}",
                disable=None if progress else True,
            ) as bar,
        ):
            if self.whole_images and ("/tile=" in source.recipe or "/fit" in source.recipe):
                raise ExportError(
                    f"{self.format} takes whole images, and not the recipe {source.recipe}. Choose another "
                    "--recipe or --size, or export the files with --originals."
                )
            written = self.write(source, folder, bar.update)
            if not written.rows.any():
                raise ExportError(_nothing_written(self.format, len(source), written.reasons))
            found: dict[str, Any] = {
                "format": self.format,
                "snapshot_id": source.snapshot_id,
                "samples": int(written.rows.sum()),
                "masks": written.masks,
                "left_out": sum(written.reasons.values()),
                "reasons": written.reasons,
            }
            unknown = {"unknown": source.unknown} if source.unknown else {}
            facts = {**found, **unknown, "layout": LAYOUT, **source.provenance}
            made = Export(
                folder=Path(out),
                file_bytes=0,
                unknown=source.unknown,
                are_tiles=source.are_tiles,
                not_written=int((~written.rows).sum()),
                without_split=int(np.sum(np.asarray(source.table["split"]) == "unassigned")),
                **found,
            )
            mark(folder, facts)
            loading = self.card(source) if self.card else ""
            described = source.described(written.rows)
            for name, text in {
                README: card_text(described, facts, made.left_out_sentence, loading),
                LICENSE: licence_text(described),
                CROISSANT: croissant_text(described, folder, self.files),
            }.items():
                (folder / name).write_text(text, encoding="utf-8")
            return replace(made, file_bytes=_size(folder))


def _nothing_written(file_format: str, samples: int, reasons: Mapping[str, int]) -> str:
    counted = ", ".join(f"{count} {reason}" for reason, count in reasons.items())
    return (
        f"Nothing was exported: {file_format} has no place for any of the {samples} samples ({counted}). "
        "Choose another format, such as parquet, or select other samples."
    )


def _size(folder: Path) -> int:
    return sum(
        os.stat(os.path.join(parent, name)).st_size
        for parent, _, names in os.walk(folder)
        for name in names
    )
