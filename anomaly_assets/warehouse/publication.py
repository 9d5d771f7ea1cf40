"""Check and identify a publication, in the same way for all kinds of warehouses.

How the content gets to its readers depends on the kind: `file/publish.py`, `lake/publish.py` and
`motherduck/publish.py`.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import duckdb

from anomaly_assets.datasets.names import counted, shown
from anomaly_assets.errors import AnomalyAssetsError, rerun_with
from anomaly_assets.recipes import Recipe
from anomaly_assets.tables.checks import blocking_findings
from anomaly_assets.tables.ddl import (
    refresh_outdated,
    row_counts,
    upstream_needed,
)
from anomaly_assets.tables.identity import ensure_identity, take_over
from anomaly_assets.tables.quality import Digest, Result, quality_digest, update_quality
from anomaly_assets.tables.registry import COUNTED, SUMMARIES
from anomaly_assets.tables.source_datasets import (
    Loss,
    StoredDataset,
    is_loss,
    note_consent,
    read_consents,
    sample_counts,
    set_sample_marks,
    stored_datasets,
)
from anomaly_assets.warehouse.buffers import free_memory
from anomaly_assets.warehouse.content import content_id, evaluation_id
from anomaly_assets.warehouse.provenance import (
    SnapshotRow,
    provenance,
    time_of_publication,
    was_published,
)

Differences = list[tuple[str, str | None]]
"""Tables whose row counts differ between warehouse and published database, with a description."""


class PublishRefusedError(AnomalyAssetsError, RuntimeError):
    """The warehouse may not be published, or not to this target; the published database is unchanged."""


class UnpublishedDataError(PublishRefusedError):
    """Only results were to be published, and the warehouse has data that are not published."""


class Published(Protocol):
    """The published database that readers open now.

    Attributes:
        adopted: Whether this publication takes the database over from another warehouse, on request.
    """

    @property
    def adopted(self) -> bool:
        """Return whether this publication takes the database over from another warehouse."""

    @property
    def location(self) -> str:
        """Return the location of the published database."""

    def snapshot_id(self) -> str | None:
        """Return the digest of the published content; None if there is nothing that can be read."""

    def evaluation_id(self) -> str | None:
        """Return the digest of the published results of the baseline; None if there are none."""

    def warehouse_id(self) -> str | None:
        """Return the identity of the warehouse that published the database; None if not recorded."""

    def row_counts(self, names: Collection[str]) -> dict[str, int]:
        """Return the number of rows of tables and views; 0 for one that does not exist."""

    def marks(self) -> Mapping[str, int]:
        """Return the largest published number of samples by source dataset; see `source_datasets`."""

    def consents(self) -> set[tuple[str, int]]:
        """Return the consents stored in the database."""

    def quality(self) -> Digest | None:
        """Return the digest of the results of the checks; see `quality_digest`."""


@dataclass(frozen=True)
class Publication:
    """Result of publishing.

    Attributes:
        snapshot_id: Digest of the content.
        written: False if this content was already published.
        samples: Number of rows of `samples`.
        provenance: Its row of `snapshots`, by column.
        location: Location that readers open.
        history: The publications that can be opened by their id, newest first.
        details: Further numbers by name.
        summaries: Summary tables that were rebuilt, because a partial run had left them outdated.
        quality: Results of all checks but the one on the published database.
        evaluation_id: Digest of the results of the baseline; None if there are none.
    """

    snapshot_id: str
    written: bool
    samples: int
    provenance: Mapping[str, Any]
    location: str
    history: list[dict[str, str | int]] = field(default_factory=list)
    details: dict[str, int] = field(default_factory=dict)
    summaries: list[str] = field(default_factory=list)
    quality: list[Result] = field(default_factory=list)
    evaluation_id: str | None = None


@dataclass(frozen=True)
class Request:
    """Options of a publication; see `Warehouse.publish`.

    Attributes:
        run_id: Recorded with the snapshot.
        keep_snapshots: Number of older published files that stay beside the target.
        adopt: Replace a target that this warehouse does not own, and own it from then on.
        allow_shrink: Accept fewer than 80 % of the samples that were published before, and record that.
        only_results: Publish results of the baseline beside the data that are published already, and no
            other data.
    """

    run_id: str | None = None
    keep_snapshots: int = 0
    adopt: bool = False
    allow_shrink: bool = False
    only_results: bool = False


@dataclass(frozen=True)
class Content:
    """Content of a warehouse, checked and identified.

    Attributes:
        snapshot_id: Digest of the content.
        written: False if this content was already published.
        samples: Number of rows of `samples`.
        row: The row of `snapshots` that records this publication once it is made.
        summaries: Summary tables that were rebuilt, because a partial run had left them outdated.
        quality: Results of all checks but the one on the published database.
    """

    snapshot_id: str
    written: bool
    samples: int
    row: SnapshotRow
    summaries: list[str]
    quality: list[Result]

    def published(
        self,
        provenance: Mapping[str, Any],
        location: str,
        *,
        history: list[dict[str, str | int]] | None = None,
        details: dict[str, int] | None = None,
    ) -> Publication:
        """Return the result of publishing this content; see `Publication`."""
        return Publication(
            self.snapshot_id,
            self.written,
            self.samples,
            provenance,
            location,
            history or [],
            details or {},
            self.summaries,
            self.quality,
            self.row.evaluation_id,
        )


@upstream_needed()
def checked_content(
    connection: duckdb.DuckDBPyConnection,
    spec: Recipe,
    published: Published,
    request: Request,
) -> Content:
    """Check the content that is about to be published, and compute its id.

    Summaries that a partial run left outdated are rebuilt first, so that they agree with the samples.
    Content that was published before needs no rebuild: its digest includes the summaries.

    Args:
        connection: The warehouse, after `ensure_tables`; no other connection writes to it.
        spec: Shape that all tensors must have.
        published: The current published database.
        request: Options of the publication.

    Raises:
        PublishRefusedError: A blocking check fails, or a source dataset would lose samples.
        UnpublishedDataError: Only results may be published, and other data differ from those published.
        WarehouseError: The upstream assets were never materialized.
    """
    take_over(connection)
    if not request.allow_shrink:
        _refuse_emptying(connection, published)
    snapshot_id, summaries = content_id(connection), []
    if request.only_results and published.snapshot_id() != snapshot_id:
        raise UnpublishedDataError(
            f"The results were not published: the warehouse has data that are not in {published.location} "
            "yet. The next refresh publishes both."
        )
    if not was_published(connection, snapshot_id):
        summaries = refresh_outdated(connection, *SUMMARIES)
        if summaries:
            snapshot_id = content_id(connection)
    _refuse_what_is_wrong(connection, spec)
    free_memory(connection)
    quality = update_quality(connection)
    marks = _accepted_marks(connection, published, request)
    counts = row_counts(connection, COUNTED)
    results = evaluation_id(connection)
    written = (
        published.adopted
        or published.snapshot_id() != snapshot_id
        or published.evaluation_id() != results
        or bool(_differing(counts, published))
        or published.quality() != quality_digest(connection)
        or _lacks_history(connection, published)
    )
    counts.pop("snapshots")  # this publication adds a row
    time, run_id = time_of_publication(connection), request.run_id
    if request.only_results:  # the data were published before, by another run
        origin = provenance(connection, snapshot_id)
        time, run_id = origin.get("published_at", time), origin.get("run_id", run_id)
    row = SnapshotRow(snapshot_id, run_id, ensure_identity(connection), counts, time, results)
    if written:
        set_sample_marks(connection, marks)  # before the copy, so that the copy has them too
    return Content(snapshot_id, written, counts["samples"], row, summaries, quality)


def _lacks_history(connection: duckdb.DuckDBPyConnection, published: Published) -> bool:
    """Return whether an earlier release published the database, without the view `history`.

    Its rows are not compared: refused runs add some, and are no reason to publish.
    """
    ours, theirs = row_counts(connection, ["history"]), published.row_counts(["history"])
    return bool(ours["history"]) and not theirs["history"]


def _refuse_emptying(connection: duckdb.DuckDBPyConnection, published: Published) -> None:
    """Refuse to replace samples by an empty table; covers the repository's samples, which have no marks."""
    if published.snapshot_id() is None or sample_counts(connection):  # also if all are excluded
        return
    samples = published.row_counts(["samples"])["samples"]
    if samples and not read_consents(connection) - published.consents():
        raise PublishRefusedError(
            f"Nothing was published: {published.location} holds {counted(samples, 'sample')}, and the "
            "warehouse has none. Materialize all assets, then publish again. If you removed them on "
            f"purpose, {consent('allow_shrink')}"
        )


def _accepted_marks(
    connection: duckdb.DuckDBPyConnection,
    published: Published,
    request: Request,
) -> dict[str, int]:
    """Return the sample marks that are valid from this publication on.

    A consent that is not in the published database yet resets the mark of its source dataset. If this
    publication adopts the database of another warehouse, its consents reset nothing.
    """
    counts = sample_counts(connection)
    stored = stored_datasets(connection)
    published_marks = published.marks()
    if not request.allow_shrink:
        _refuse_samples_for_data(stored, published.location, published_marks)
        _refuse_mostly_rejected(connection, stored, published_marks)
    marks = {name: held.most_samples for name, held in stored.items() if not held.from_samples}
    lifted: set[str] = set()
    if not published.adopted:
        lifted = {name for name, _ in read_consents(connection) - published.consents()}
    for name, mark in published_marks.items():
        if name not in lifted:
            marks[name] = max(mark, marks.get(name, 0))
    losses = [
        Loss(name, mark, counts.get(name, 0))
        for name, mark in sorted(marks.items())
        if is_loss(mark, counts.get(name, 0))
    ]
    if losses and not request.allow_shrink:
        raise PublishRefusedError(
            f"Nothing was published, because samples would be lost: {'; '.join(map(str, losses))}. Repair "
            f"the roots, then run again. If you removed them on purpose, {consent('allow_shrink')}"
        )
    for loss in losses:
        note_consent(connection, loss.source_dataset, "fewer_samples", loss.left, request.run_id)
    lost = {loss.source_dataset for loss in losses}
    return {
        name: counts.get(name, 0) if name in lost else max(mark, counts.get(name, 0))
        for name, mark in marks.items()
        if name not in stored or not stored[name].from_samples
    }


def _refuse_samples_for_data(
    stored: Mapping[str, StoredDataset], location: str, published_marks: Mapping[str, int]
) -> None:
    """Refuse to replace data by the repository's samples, whose datasets have the same names."""
    named = sorted(published_marks)
    if named and stored and all(dataset.from_samples for dataset in stored.values()):
        raise PublishRefusedError(
            f"Nothing was published: {location} contains data of roots that were set "
            f"({', '.join(named)}), but this warehouse contains only the samples of the repository. Set "
            "the roots of the data, such as MVTEC_AD_ROOT. To replace the data by the samples on purpose, "
            f"{consent('allow_shrink')}"
        )


def _refuse_mostly_rejected(
    connection: duckdb.DuckDBPyConnection,
    stored: Mapping[str, StoredDataset],
    published_marks: Mapping[str, int],
) -> None:
    """Refuse the first publication of a source dataset if less than half of its images can be decoded."""
    first = [
        name
        for name, held in stored.items()
        if not (held.from_samples or held.most_samples or published_marks.get(name))
    ]
    query = connection.execute(_MOSTLY_REJECTED, {"source_datasets": first}) if first else None
    if query and (found := query.fetchone()):
        name, images, usable, reasons, path, detail = found
        raise PublishRefusedError(
            f"Nothing was published: {images - usable} of {images} images of {name} cannot be decoded "
            f"({shown(reasons)}; first: {shown(path)}: {shown(detail)}). Repair the files, or set "
            f"{name.upper()}_ROOT to a complete copy, then run again. To publish only the others, "
            f"{consent('allow_shrink')}"
        )


_MOSTLY_REJECTED = """
WITH reasons AS (
    SELECT split_part(image_id, '/', 1) AS source_dataset, reason, count(*) AS files,
        min_by(relative_path, relative_path) AS path, min_by(detail, relative_path) AS detail
    FROM rejected_images GROUP BY ALL
)
SELECT
    source_dataset, images, usable,
    string_agg(files || ' ' || reason, ', ' ORDER BY files DESC, reason),
    arg_max(path, files), arg_max(detail, files)
FROM (
    SELECT source_dataset, count(*) AS images, count(tensors.image_id) AS usable
    FROM images LEFT JOIN (SELECT image_id FROM image_tensors) AS tensors USING (image_id)
    WHERE list_contains($source_datasets, source_dataset)
    GROUP BY ALL
)
JOIN reasons USING (source_dataset)
WHERE 2 * usable < images
GROUP BY ALL ORDER BY ALL LIMIT 1
"""


def consent(option: str) -> str:
    """Return how to consent to publishing, as the end of a sentence."""
    return rerun_with("published_database", option)


def differences(connection: duckdb.DuckDBPyConnection, published: Published) -> Differences:
    """Return tables whose row counts differ between the warehouse and the published database.

    A publication by another owner of the same target is not compared, because it comes from another
    warehouse.
    """
    if published.snapshot_id() is None:
        return [(published.location, "nothing is published")]
    if published.warehouse_id() not in (None, ensure_identity(connection)):
        return []
    return _differing(row_counts(connection, COUNTED), published)


def _differing(counts: Mapping[str, int], published: Published) -> Differences:
    found = published.row_counts(counts)
    return [
        (name, f"{found[name]} published, {expected} in the warehouse")
        for name, expected in counts.items()
        if found[name] != expected
    ]


def _refuse_what_is_wrong(connection: duckdb.DuckDBPyConnection, spec: Recipe) -> None:
    failing = blocking_findings(connection, spec)
    if failing:
        named = "; ".join(
            f"{name} ({finding.count}, first {shown(finding.shown[0][0])})"
            for name, finding in failing.items()
        )
        raise PublishRefusedError(
            f"Nothing was published, because blocking checks fail: {named}. Materialize the assets "
            "upstream of published_database, then publish again."
        )
