"""Keep databases that earlier releases wrote, as test inputs.

All were made with `ANOMALY_IMAGE_SIZE=8` from copies of `data/samples`, whose files all have the
modification time `SAMPLES_MODIFIED_AT`; a copy of the samples with the same times needs no decoding.

- `first_named_roots.zip`: the roots were named (`/data/mvtec_ad` and `/data/dagm_2007`). Two publications:
  61 samples (without `bolt/test/good/002.png`), which are kept beside the published file, then 62.
- `first_sample_roots.zip`: no root was named, so the samples of the repository were loaded. One
  publication.
- `second_named_roots.zip`: as `first_named_roots.zip`, by the last version before recipes.
"""

from __future__ import annotations

import os
import shutil
import zipfile
from pathlib import Path

SAMPLES_MODIFIED_AT = 1_700_000_000
"""Modification time of every file that was loaded, in seconds since 1970."""

_FOLDER = Path(__file__).parent
_SAMPLES = _FOLDER.parents[1] / "data" / "samples"


def unpack_release(name: str, folder: Path) -> Path:
    """Unpack `warehouse.duckdb` and `anomaly.duckdb` (and kept snapshots) into a folder.

    Args:
        name: Name of the zip, such as `first_named_roots`.
        folder: Created if it does not exist.
    """
    with zipfile.ZipFile(_FOLDER / f"{name}.zip") as archive:
        archive.extractall(folder)
    return folder


def copy_samples(folder: Path) -> Path:
    """Copy the sample roots into a folder, with the modification times that the releases recorded."""
    shutil.copytree(_SAMPLES, folder)
    for path in folder.rglob("*"):
        os.utime(path, (SAMPLES_MODIFIED_AT, SAMPLES_MODIFIED_AT))
    return folder
