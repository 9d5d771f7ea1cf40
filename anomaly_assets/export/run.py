"""What all formats share: find the samples, write them beside their place, put them there."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tqdm import tqdm

from anomaly_assets.export.destination import describe, replaced
from anomaly_assets.export.pictures import Advance
from anomaly_assets.export.selection import Selection, Source, Values, opened

LAYOUT = 1
"""Raised when files or columns of any format change their names or their meaning."""

Write = Callable[[Source, Path, Advance], int]
"""Writes all samples into an empty folder; returns how many of them its table leaves out."""


@dataclass(frozen=True)
class Export:
    """What was exported.

    Attributes:
        folder: Where it is.
        format: `parquet`, `anomalib` or `imagefolder`.
        snapshot_id: The snapshot it was read from.
        samples: How many images it holds.
        masks: How many of them have a ground-truth mask.
        left_out: How many of them the format's table cannot list; see there.
        file_bytes: Size of all files.
    """

    folder: Path
    format: str
    snapshot_id: str | None
    samples: int
    masks: int
    left_out: int
    file_bytes: int


@dataclass(frozen=True)
class Exporter:
    """A format, to be called with what is exported, and where to.

    Attributes:
        format: Its name.
        write: Writes the samples.
    """

    format: str
    write: Write

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
        overwrite: bool = False,
        progress: bool = False,
    ) -> Export:
        """Export samples.

        Args:
            out: Folder to make; it must not exist, or be empty, or hold an export that `overwrite`
                replaces.
            database: The published database, as `open_samples` takes it.
            source_dataset: Only these.
            category: Only these.
            split: Only `train` or `test`.
            label: Only `good` or `anomalous`.
            where: A condition in SQL over the columns of `samples`.
            snapshot: Id of the snapshot to export instead of the newest.
            overwrite: Replace an export at `out`; its readers see the old one or the new one, whole.
            progress: Show a bar on standard error, where that is a terminal.

        Raises:
            ExportError: `out` cannot be written to; what was there is as it was.
            FileNotFoundError: There is no such database.
            LookupError: No sample matches; the message says what exists.
            ValueError: `where` is no condition, or the samples have different shapes.
        """
        selection = Selection(database, source_dataset, category, split, label, where, snapshot)
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
                unit=" images",
                disable=None if progress else True,
            ) as bar,
        ):
            found: dict[str, Any] = {
                "format": self.format,
                "snapshot_id": source.snapshot_id,
                "samples": len(source),
                "masks": int(source.mask_from_file.sum()),
                "left_out": self.write(source, folder, bar.update),
            }
            describe(folder, {**found, "layout": LAYOUT, "filters": selection.filters()})
            return Export(folder=Path(out), file_bytes=_size(folder), **found)


def _size(folder: Path) -> int:
    return sum(
        os.stat(os.path.join(parent, name)).st_size
        for parent, _, names in os.walk(folder)
        for name in names
    )
