"""What all formats share: find the samples, write them beside their place, put them there."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tqdm import tqdm

from anomaly_assets.export.destination import describe, replaced
from anomaly_assets.export.pictures import Advance
from anomaly_assets.export.selection import Selection, Source, opened

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


def export(
    format_name: str,
    write: Write,
    out: str | Path,
    selection: Selection,
    *,
    overwrite: bool,
    progress: bool,
) -> Export:
    """Export the selected samples.

    Args:
        format_name: For messages and for the marker.
        write: The format.
        out: The folder to make.
        selection: What to export.
        overwrite: Replace an export that is there.
        progress: Show a bar on standard error, where that is a terminal.
    """
    with (
        opened(selection) as source,
        replaced(out, overwrite=overwrite) as folder,
        tqdm(
            total=len(source),
            desc=format_name,
            unit=" images",
            disable=None if progress else True,
        ) as bar,
    ):
        left_out = write(source, folder, bar.update)
        facts = {
            "format": format_name,
            "layout": LAYOUT,
            "snapshot_id": source.snapshot_id,
            "filters": selection.filters(),
            "samples": len(source),
            "masks": int(source.mask_from_file.sum()),
            "left_out": left_out,
        }
        describe(folder, facts)
        file_bytes = _size(folder)
    return Export(
        folder=Path(out),
        format=format_name,
        snapshot_id=source.snapshot_id,
        samples=len(source),
        masks=int(source.mask_from_file.sum()),
        left_out=left_out,
        file_bytes=file_bytes,
    )


def _size(folder: Path) -> int:
    return sum(
        os.stat(os.path.join(parent, name)).st_size
        for parent, _, names in os.walk(folder)
        for name in names
    )
