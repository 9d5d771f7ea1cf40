"""List the source datasets of this process by name: the built-in ones, and those of its TOML files.

`ANOMALY_DATASETS` names the TOML files, separated like PATH; without it, `datasets.toml` in the working
folder is read if it exists. The TOML files are read once, when this package is imported; no other file is
read. All other code works for any entry of `SOURCE_DATASETS`.
"""

from __future__ import annotations

import os

from anomaly_assets.datasets.known import Known, read_known
from anomaly_assets.datasets.source_dataset import SourceDataset

__all__ = ["DECLARATIONS", "SOURCE_DATASETS", "Known", "SourceDataset"]

DECLARATIONS = read_known(os.environ)
"""Declarations of the TOML files, with their problems."""

SOURCE_DATASETS = DECLARATIONS.source_datasets
"""Source datasets by name."""
