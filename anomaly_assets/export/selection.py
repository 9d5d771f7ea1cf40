"""Select the samples to export, and read them."""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from anomaly_assets.datasets.licences import Terms
from anomaly_assets.datasets.names import counted
from anomaly_assets.datasets.words import UNKNOWN
from anomaly_assets.reader import Samples, open_samples
from anomaly_assets.reader.assignments import FOLD
from anomaly_assets.reader.database import explained
from anomaly_assets.reader.open import UnknownLabelWarning, open_database
from anomaly_assets.reader.selection import HOW_TO_INCLUDE
from anomaly_assets.tables.checks import affected_images

Values = str | Sequence[str] | None
"""One value of a column, several values, or None for any value."""

_BATCH_BYTES = 16 * 1024 * 1024
_LARGEST_BATCH = 64


@dataclass(frozen=True)
class Selection:
    """Arguments of `open_samples`; see there.

    Attributes:
        check: Only images that this check names.
        originals: Whether the files are decoded in their own size.
    """

    database: str | Path | None = None
    source_dataset: Values = None
    category: Values = None
    split: Values = None
    label: Values = None
    where: str | None = None
    snapshot: str | None = None
    include_unknown: bool = False
    size: int | tuple[int, int] | None = None
    recipe: str | None = None
    commercial: bool = False
    check: str | None = None
    originals: bool = False
    assignment: str | None = None
    fold: Values = None

    def filters(self) -> dict[str, Any]:
        """Return the filters in a form that can be stored as JSON."""
        given = {
            "source_dataset": self.source_dataset,
            "category": self.category,
            "split": self.split,
            "label": self.label,
            "fold": self.fold,
        }
        named: dict[str, Any] = {
            name: [value] if isinstance(value, str) else list(value)
            for name, value in given.items()
            if value
        }
        if self.assignment:
            named["assignment"] = self.assignment
        if self.where:
            named["where"] = self.where
        if self.check:
            named["check"] = self.check
        if self.include_unknown:
            named["include_unknown"] = True
        if self.commercial:
            named["commercial"] = True
        return named

    @contextmanager
    def cursor(self) -> Iterator[duckdb.DuckDBPyConnection]:
        """Open the database for a query, and close it afterwards; raises the errors of `open_samples`."""
        with (
            closing(open_database(self.database, self.snapshot)) as database,
            explained(database.location),
            database.unchanged() as opened,
            opened.cursor() as cursor,
        ):
            yield cursor


@dataclass(frozen=True)
class Part:
    """Consecutive samples of a selection.

    Attributes:
        start: Position of the first one in `Source.table`.
        images: uint8, N x height x width x channels.
        masks: uint8 0/1, N x height x width; zeros without a mask file.
    """

    start: int
    images: npt.NDArray[np.uint8]
    masks: npt.NDArray[np.uint8]

    def __len__(self) -> int:
        return len(self.images)


@dataclass(frozen=True)
class Written:
    """Numbers of written samples and masks, and of samples that are not in the table of a format.

    Attributes:
        rows: bool, a value per sample of the source; True if its image is written.
        masks: Number of written ground-truth masks.
        reasons: Reason to leave samples out of the table of the format, with their number.
    """

    rows: npt.NDArray[np.bool_]
    masks: int
    reasons: Mapping[str, int] = field(default_factory=dict)

    @classmethod
    def all_of(cls, source: Source, reasons: Mapping[str, int] | None = None) -> Written:
        """Describe a format that wrote every image, and every mask that a file gave."""
        return cls(np.ones(len(source), np.bool_), int(source.mask_from_file.sum()), reasons or {})


@dataclass(frozen=True)
class Source:
    """Selected samples of one snapshot.

    Attributes:
        table: The columns of `plain_columns`, a row per sample.
        mask_from_file: bool, a value per sample; True if there is a ground-truth mask.
        has_mask: bool, a value per sample; also True for good samples, whose mask is all zeros.
        shape: Height, width and channels of every sample.
        recipe: Name of the recipe of their tensors.
        snapshot_id: The snapshot they are read from; None if nothing was ever published.
        unknown: Number of matching samples that are left out because their label is unknown.
        terms: Terms of use of each source dataset.
        published_on: Day on which the snapshot was published, such as `2026-11-29`; None if not recorded.
        selection: The arguments that selected them.
    """

    table: pa.Table
    mask_from_file: npt.NDArray[np.bool_]
    has_mask: npt.NDArray[np.bool_]
    shape: tuple[int, int, int]
    recipe: str
    snapshot_id: str | None
    unknown: int
    terms: dict[str, Terms]
    published_on: str | None
    selection: Selection
    _batches: Callable[[int], Iterator[Any]]

    def __len__(self) -> int:
        return int(self.table.num_rows)

    @property
    def provenance(self) -> dict[str, Any]:
        """Return what every export states about the origin of its samples."""
        return {
            "snapshot_id": self.snapshot_id or "",
            "recipe": self.recipe,
            "licences": {name: terms.licence for name, terms in self.terms.items()},
            "filters": self.selection.filters(),
        }

    @property
    def metadata(self) -> dict[str, str]:
        """Return `provenance` as metadata of a Parquet file: text as it is, everything else as JSON."""
        return {
            name: value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
            for name, value in self.provenance.items()
        }

    @property
    def are_tiles(self) -> bool:
        """Return whether each sample is a tile of an image."""
        return "/tile=" in self.recipe

    @property
    def things(self) -> str:
        """Return the noun for samples in messages: `tiles` or `images`."""
        return "tiles" if self.are_tiles else "images"

    @property
    def title(self) -> str:
        """Return the titles of the source datasets, joined by commas."""
        names = sorted(self.table["source_dataset"].unique().to_pylist())
        return ", ".join(self.terms[name].title if name in self.terms else name for name in names)

    def described(self, rows: npt.NDArray[np.bool_]) -> Source:
        """Return some rows, for a description of what was written; `parts` still yields all samples."""
        return replace(
            self,
            table=self.table.filter(pa.array(rows)),
            mask_from_file=self.mask_from_file[rows],
            has_mask=self.has_mask[rows],
        )

    def parts(self) -> Iterator[Part]:
        """Yield all samples in the order of `table`, about 16 MB at a time."""
        height, width, channels = self.shape
        size = max(1, min(_LARGEST_BATCH, _BATCH_BYTES // (height * width * (channels + 1))))
        start = 0
        for batch in self._batches(size):
            yield Part(start, batch.images, batch.masks)
            start += len(batch)


@contextmanager
def opened(selection: Selection) -> Iterator[Source]:
    """Open the selected samples.

    Raises:
        LookupError: The check does not exist, names no image, or see `open_samples`, whose other errors are
            raised too.
    """
    options: dict[str, Any] = {**vars(selection)}
    del options["check"], options["originals"]
    named = _named_by(selection)
    include_unknown = options.pop("include_unknown")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UnknownLabelWarning)  # the export counts them
        opened_samples = open_samples(
            options.pop("database"),
            include_unknown=include_unknown or named is not None,
            **options,
        )
    with opened_samples as samples:
        unknown = samples.unknown_left_out
        if named is not None:
            samples, unknown = _only(samples, named, include_unknown or selection.label is not None)
        mask_from_file = np.asarray(samples.table["mask_area_fraction"].is_valid())
        yield Source(
            plain_columns(samples.table),
            mask_from_file,
            mask_from_file | np.asarray(pc.equal(samples.table["label"], "good")),
            samples.shape,
            samples.recipe,
            samples.snapshot_id,
            unknown,
            samples.terms,
            samples.published_on,
            selection,
            samples.batches,
        )


def _named_by(selection: Selection) -> list[str] | None:
    """Return the ids of the images that the check names; None without a check."""
    if selection.check is None:
        return None
    with selection.cursor() as cursor:
        named = affected_images(cursor, selection.check)
    if not named:
        raise LookupError(
            f"The check {selection.check} names no image: there is nothing to export."
        )
    return named


def _only(samples: Samples, named: Sequence[str], include_unknown: bool) -> tuple[Samples, int]:
    """Return the samples of these images, and the number of those left out for their unknown label."""
    found = pc.is_in(samples.table["image_id"], value_set=pa.array(named))
    known = pc.not_equal(samples.table["label"], UNKNOWN)
    kept = found if include_unknown else pc.and_(found, known)
    left_out = pc.sum(found).as_py() - pc.sum(kept).as_py()
    if not pc.any(kept).as_py():
        raise LookupError(
            f"None of the images that the check names ({len(named)}) is among these "
            f"{counted(len(samples), 'sample')}"
            + (f"; {left_out} have an unknown label. {HOW_TO_INCLUDE}" if left_out else ".")
        )
    return samples.select(np.asarray(kept)), left_out


ATTRIBUTES = "attributes"

_LEFT_OUT = ("loaded_at", ATTRIBUTES)


def plain_columns(table: pa.Table) -> pa.Table:
    """Return the columns of the view `samples` as exports have them: no null, time or path of a machine.

    PyTorch cannot collate nulls and times, and no path of this machine exists on another one. `loaded_at`
    is left out. Each attribute is a column at the end, such as `attribute_camera`, of its own type; nulls
    and times stay. `source_uri` is the path below the root of the source dataset. A null `defect_type` is
    empty, a null `label_index` is -1, and a null `mask_area_fraction` is 0. The folds of an assignment are
    the splits: `val` is called `validation`, and numbered folds `train`.

    Args:
        table: Columns of the view `samples`, without tensors.
    """
    paths = pc.replace_substring_regex(table["image_id"], "^[^/]*/", "")
    columns = {name: table[name] for name in table.column_names if name not in _LEFT_OUT}
    columns["source_uri"] = paths
    columns["defect_type"] = table["defect_type"].fill_null("")
    columns["label_index"] = table["label_index"].fill_null(-1)
    columns["mask_area_fraction"] = table["mask_area_fraction"].fill_null(0.0)
    if FOLD in columns:
        named = pc.replace_substring_regex(columns[FOLD], "^val$", "validation")
        columns["split"] = pc.replace_substring_regex(named, "^[0-9]+$", "train")
    if ATTRIBUTES in table.column_names:
        columns |= {
            f"attribute_{each.name}": pc.struct_field(table[ATTRIBUTES], each.name)
            for each in table.schema.field(ATTRIBUTES).type
        }
    return pa.table(columns)
