"""Read when a snapshot was published, and refuse samples that may not be used commercially."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timezone

import duckdb
import pyarrow as pa

from anomaly_assets.datasets.licences import UNKNOWN_LICENCE, Terms
from anomaly_assets.datasets.names import shown
from anomaly_assets.errors import AnomalyAssetsError

_REFUSED = {"forbidden": "forbids it", "unknown": "is not known to allow it"}


class CommercialUseError(AnomalyAssetsError, ValueError):
    """Samples are not known to be free for commercial use; the message names the licences."""


def published_on(cursor: duckdb.DuckDBPyConnection, snapshot_id: str | None) -> str | None:
    """Return the day on which a snapshot was published, in UTC; None if it is not recorded."""
    query = "SELECT epoch_us(published_at) FROM snapshots WHERE snapshot_id = ?"
    found = cursor.execute(query, [snapshot_id]).fetchone()
    if found is None:
        return None
    return f"{datetime.fromtimestamp(found[0] / 1e6, timezone.utc):%Y-%m-%d}"


def refuse_commercial_use(table: pa.Table, terms: Mapping[str, Terms]) -> None:
    """Raise an error if a source dataset of the samples is not known to allow commercial use.

    Args:
        table: The selected samples; only the column `source_dataset` is read.
        terms: Terms of use by source dataset.

    Raises:
        CommercialUseError: A source dataset forbids it, or is not known to allow it.
    """
    selected = sorted(table["source_dataset"].unique().to_pylist())
    unrecorded = Terms("", UNKNOWN_LICENCE, "unknown")
    of_selected = {name: terms.get(name, unrecorded) for name in selected}
    allowed = [name for name, of in of_selected.items() if of.commercial_use == "allowed"]
    if len(allowed) == len(selected):
        return
    reasons = [
        f"{name} (licence {shown(of.licence)}) {_REFUSED[of.commercial_use]}"
        for name, of in of_selected.items()
        if of.commercial_use != "allowed"
    ]
    others = (
        f"Select only {' and '.join(allowed)}. "
        if allowed
        else "No selected source dataset allows it. "
    )
    raise CommercialUseError(
        f"These samples are not free for commercial use: {'; '.join(reasons)}. {others}If you have other "
        'terms, write commercial_use = "allowed" into the declaration and refresh.'
    )
