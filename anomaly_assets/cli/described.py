"""Describe the published database, without click: an environment that only reads may not have it."""

from __future__ import annotations

import sys
import warnings

from anomaly_assets.datasets.names import counted
from anomaly_assets.errors import AnomalyAssetsError
from anomaly_assets.locations import is_file, parse_location
from anomaly_assets.settings import published_database, unknown_variables
from anomaly_assets.signals import begin_reading


def main() -> int:
    """Print what the published database holds; returns the exit code.

    It is `anomaly-assets info`, and `python -m anomaly_assets.reader`, which takes no argument.
    """
    from anomaly_assets.reader import open_samples  # noqa: F401 - imported before signals can raise

    begin_reading()
    for sentence in unknown_variables():
        print(f"warning: {sentence}", file=sys.stderr)
    try:
        print(described())
    except (AnomalyAssetsError, LookupError, OSError, ValueError) as error:
        print(nothing_yet(error), file=sys.stderr)
        return 1
    return 0


def described() -> str:
    """Return lines: what the published database holds, samples of unknown label, and how to read it.

    Raises:
        AnomalyAssetsError: The database cannot be opened, or its location is not valid.
        LookupError: The database holds no sample.
        OSError: The database does not exist.
    """
    from anomaly_assets.reader import UnknownLabelWarning, open_samples
    from anomaly_assets.tables.recipes import listed_recipes

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UnknownLabelWarning)  # a line below has the number
        samples = open_samples()
    location = published_database()
    # A lake is shown by its name, because its URL can hold a password.
    name = location if is_file(location) else parse_location(location).name
    with samples:
        datasets = sorted(samples.table["source_dataset"].unique().to_pylist())
        unknown = (
            f"{samples.unknown_left_out} more have an unknown label; include_unknown=True reads them too.\n"
            if samples.unknown_left_out
            else ""
        )
        return (
            f"{name} holds {counted(len(samples), 'sample')} of {' and '.join(datasets)}, snapshot "
            f"{(samples.snapshot_id or 'unknown')[:12]}.\n{unknown}"
            f"Recipes of the tensors: {listed_recipes(samples.recipes)}.\n"
            "Read them with `from anomaly_assets.reader import open_samples`, or open the UI: make ui"
        )


def nothing_yet(error: Exception) -> str:
    """Return the line that is shown when nothing can be read."""
    return f"There is nothing to read yet: {error}"
