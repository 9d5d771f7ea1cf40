"""Register the tables: columns, key, and the tables that a summary is computed from.

The DDL of stored tables, Arrow schemas, comments, column schemas in the Dagster UI, the summaries that are
published and digested, and `docs/tables.md` are derived from these entries. SQL files define the rows of
views and summaries.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace


@dataclass(frozen=True)
class Column:
    """Column of a table or view.

    Attributes:
        name: Its name.
        type: Its DuckDB type.
        meaning: Meaning of a value, with its unit; shown in the database and in the UI.
        nullable: True if it may be null. Always true for views and summaries.
    """

    name: str
    type: str
    meaning: str
    nullable: bool = True


@dataclass(frozen=True)
class Table:
    """Table or view.

    Attributes:
        name: Its name, and that of its SQL file if it has one.
        description: Meaning of a row.
        columns: Its columns, in order.
        is_view: True for a view.
        key: Number of its first columns that identify a row; 0 if rows are never compared.
        made_from: Tables that a summary is computed from; `<source_dataset>` stands for every dataset.
            Empty for all other tables.
    """

    name: str
    description: str
    columns: tuple[Column, ...]
    is_view: bool = False
    key: int = 0
    made_from: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Refuse a summary table without a key."""
        if self.is_summary and not self.key:
            raise ValueError(
                f"{self.name}: set `key` to the number of its first columns that identify a row."
            )

    @property
    def is_summary(self) -> bool:
        """Return True if `sql/<name>.sql` computes the rows of this table; outdated rows are rebuilt."""
        return bool(self.made_from) and not self.is_view

    @property
    def is_stored(self) -> bool:
        """Return True if the rows of this table cannot be computed from other tables."""
        return not self.is_view and not self.made_from

    @property
    def column_names(self) -> list[str]:
        """Return the names of the columns, in order."""
        return [column.name for column in self.columns]


def _by_name(tables: Iterable[Table]) -> Mapping[str, Table]:
    return {table.name: table for table in tables}


def _picked(columns: Iterable[Column], *names: str) -> tuple[Column, ...]:
    by_name = {column.name: column for column in columns}
    return tuple(replace(by_name[name], nullable=True) for name in names)


_SOURCE_DATASET = Column("source_dataset", "VARCHAR", "source dataset, such as mvtec_ad")
_CATEGORY = Column("category", "VARCHAR", "category or class: the name of its folder")
_NAMES = (replace(_SOURCE_DATASET, nullable=False), replace(_CATEGORY, nullable=False))

_CHECKED = Column("asset", "VARCHAR", "asset that is checked, such as images or mvtec_ad/images")
_CHECK_NAME = Column("check_name", "VARCHAR", "check of the asset, such as masks_are_binary")

_IMAGES = (
    Column("image_id", "VARCHAR", "key: <source_dataset>/<relative_path>", nullable=False),
    *_NAMES,
    Column(
        "split",
        "VARCHAR",
        "train, test or validation, as in the source; unassigned if nothing names one",
        nullable=False,
    ),
    Column("label", "VARCHAR", "good, anomalous, or unknown without any evidence", nullable=False),
    Column("label_index", "BIGINT", "0 for good, 1 for anomalous, null for unknown"),
    Column(
        "defect_type",
        "VARCHAR",
        "name of the defect's folder; null for good; unspecified if no folder names the defect",
    ),
    Column("filename", "VARCHAR", "name of the file, which is not unique", nullable=False),
    Column(
        "relative_path",
        "VARCHAR",
        "path below the root, without folders around the dataset",
        nullable=False,
    ),
    Column("source_uri", "VARCHAR", "URI of the file, without credentials", nullable=False),
    Column("file_size_bytes", "BIGINT", "size of the file in bytes", nullable=False),
    Column("modified_at", "TIMESTAMP WITH TIME ZONE", "modification time of the file in its store"),
    Column(
        "file_version",
        "VARCHAR",
        "etag or crc if the store has one, else size and mtime",
        nullable=False,
    ),
    Column(
        "mask_relative_path",
        "VARCHAR",
        "path of the ground-truth mask, paired by name; null without mask",
    ),
    Column("mask_source_uri", "VARCHAR", "URI of the mask file; null without mask"),
    Column(
        "mask_file_version",
        "VARCHAR",
        "file version of the mask; null without mask; of a corrected mask in effective_images: its content",
    ),
    Column(
        "declared_label_index",
        "BIGINT",
        "label in DAGM's Labels.txt: 0 or 1; null if there is none",
    ),
    Column(
        "label_source",
        "VARCHAR",
        "evidence of the label: table, path, labels_file, mask, unmasked, default or none; correction in "
        "effective_images; null if loaded before 0.2",
    ),
    Column("path_label_index", "BIGINT", "label by the path: 0 or 1; null if it has none"),
    Column("table_label_index", "BIGINT", "label by a table: 0 or 1; null if there is none"),
    Column(
        "mask_reading",
        "VARCHAR",
        "how the mask is read, as JSON; null for a picture whose non-zero pixels are defective",
    ),
    Column(
        "attributes",
        "VARCHAR",
        "further columns of tables, such as attributes.camera: a struct in views, JSON in the tables of "
        "source datasets",
    ),
    Column(
        "_dlt_load_id",
        "VARCHAR",
        "load that inserted or last changed the row; foreign key to load_history",
    ),
)

_CORRECTION_LINES = (
    Column("file", "VARCHAR", "name of the CSV file", nullable=False),
    Column("line", "BIGINT", "number of the line in the file", nullable=False),
    Column("image_id", "VARCHAR", "image to correct; null if only its content is named"),
    Column("content_sha256", "VARCHAR", "SHA-256 of the content to correct, if the line names one"),
    Column("field", "VARCHAR", "label, defect_type, split, exclude or mask, as written"),
    Column("value", "VARCHAR", "new value, as written"),
    Column("reason", "VARCHAR", "why, as written"),
    Column("corrected_by", "VARCHAR", "column `by` of the file: the person"),
    Column("corrected_at", "TIMESTAMP WITH TIME ZONE", "column `at` of the file: the time"),
    Column(
        "used_value",
        "VARCHAR",
        "value in the words of images, of a mask its file version; null if it is impossible",
    ),
    Column("mask_source_uri", "VARCHAR", "URI of a corrected mask; null for other fields"),
    Column("fault", "VARCHAR", "why the value is impossible; null if it is not"),
    Column(
        "pinned_sha256",
        "VARCHAR",
        "content that the correction is for: the one in the line, else the one that the image had when the "
        "line was first read; null if that is not certain",
    ),
    Column(
        "awaited_version",
        "VARCHAR",
        "file version that the image had when the line was first read, as long as it is not decoded",
    ),
    Column(
        "first_seen_at",
        "TIMESTAMP WITH TIME ZONE",
        "time of the run that first read the line",
        nullable=False,
    ),
)
_OF_LINE = {column.name: column for column in _CORRECTION_LINES}

_OF_VIEWS = tuple(
    replace(column, type="STRUCT") if column.name == "attributes" else column for column in _IMAGES
)

_TENSORS = (
    Column("image_id", "VARCHAR", "foreign key to images", nullable=False),
    Column(
        "file_version",
        "VARCHAR",
        "version of the file that was decoded",
        nullable=False,
    ),
    Column("mask_file_version", "VARCHAR", "version of the mask that was decoded"),
    Column(
        "transform",
        "VARCHAR",
        "resize and recipe, such as lanczos-simd-256x256x3; ends in -depth-12 or so for a 16-bit file",
        nullable=False,
    ),
    Column(
        "content_sha256",
        "VARCHAR",
        "SHA-256 of the file's bytes, hexadecimal",
        nullable=False,
    ),
    Column("original_width", "INTEGER", "width of the file, pixels", nullable=False),
    Column("original_height", "INTEGER", "height of the file, pixels", nullable=False),
    Column(
        "original_mode",
        "VARCHAR",
        "Pillow mode of the file: 1, L, LA, P, RGB, RGBA, CMYK, I;16",
        nullable=False,
    ),
    Column("height", "INTEGER", "height of the tensor, pixels", nullable=False),
    Column("width", "INTEGER", "width of the tensor, pixels", nullable=False),
    Column("channels", "INTEGER", "channels of the tensor, 1 or 3", nullable=False),
    Column(
        "image_tensor",
        "BLOB",
        "uint8, row-major height x width x channels",
        nullable=False,
    ),
    Column("mask_tensor", "BLOB", "uint8 0/1, row-major height x width; null without mask"),
    Column(
        "mask_area_fraction",
        "DOUBLE",
        "fraction of defective pixels in the original mask (0-1)",
    ),
    Column("mask_width", "INTEGER", "width of the mask file, pixels"),
    Column("mask_height", "INTEGER", "height of the mask file, pixels"),
    Column("mask_values", "INTEGER", "distinct grey values in the mask file"),
    Column(
        "mask_box",
        "INTEGER[]",
        "left, top, right, bottom of the defect in the mask file, pixels",
    ),
    Column(
        "channel_sums",
        "BIGINT[]",
        "sum of the tensor's values per channel, 0..255 scale",
        nullable=False,
    ),
    Column(
        "channel_square_sums",
        "BIGINT[]",
        "sum of the squared values per channel",
        nullable=False,
    ),
    Column(
        "loaded_at",
        "TIMESTAMP WITH TIME ZONE",
        "time at which the tensor was written",
        nullable=False,
    ),
    Column("run_id", "VARCHAR", "Dagster run that wrote it"),
)

_FACTS = (
    *_TENSORS[:3],  # the image, and the versions of its files
    *_picked(_TENSORS, "content_sha256", "original_width", "original_height", "original_mode"),
    Column(
        "file_format",
        "VARCHAR",
        "format of the file, whatever its name: PNG, JPEG, BMP, TIFF or WEBP; null if decoded before 0.2",
    ),
    Column(
        "bit_depth",
        "INTEGER",
        "bits per value that the file uses: 8, or up to 16 as stated or set; null if decoded before 0.2",
    ),
    *_picked(_TENSORS, "mask_width", "mask_height", "mask_area_fraction", "mask_values"),
    *_picked(_TENSORS, "mask_box"),
    Column("mask_file_format", "VARCHAR", "format of the mask file; null without mask"),
    Column(
        "thumbnail",
        "BLOB",
        "uint8, row-major 32 x 32 grey values of the tensor; null for a smaller tensor, and for one of an "
        "earlier release until near_duplicates is materialized",
    ),
)

_RECIPE = Column(
    "recipe",
    "VARCHAR",
    "name of the recipe: height, width, channels, such as 512x512x1",
    nullable=False,
)
_OF_TENSOR = {column.name: column for column in _TENSORS}
_RECIPE_TENSORS = (
    _OF_TENSOR["image_id"],
    _RECIPE,
    Column("tile", "INTEGER", "number of the tile, row by row; 0 without tiles", nullable=False),
    *(_OF_TENSOR[name] for name in ("file_version", "mask_file_version", "transform")),
    *(_OF_TENSOR[name] for name in ("content_sha256", "height", "width", "channels")),
    Column(
        "box",
        "INTEGER[]",
        "left, top, right, bottom: of the tile in the image, or of the image in a tensor of /fit; null for "
        "others",
    ),
    *(_OF_TENSOR[name] for name in ("image_tensor", "mask_tensor", "channel_sums")),
    *(_OF_TENSOR[name] for name in ("channel_square_sums", "loaded_at", "run_id")),
)

_EVALUATED = (*_NAMES, _RECIPE)

_SAMPLES = (
    *_picked(_IMAGES, "image_id", "filename", "label", "label_index"),
    *_picked(_IMAGES, "source_dataset", "category", "split", "defect_type"),
    *_picked(_TENSORS, "height", "width", "channels", "image_tensor", "mask_tensor"),
    *_picked(_TENSORS, "original_width", "original_height", "original_mode"),
    *_picked(_TENSORS, "content_sha256", "mask_area_fraction"),
    *_picked(_IMAGES, "source_uri"),
    *_picked(_TENSORS, "loaded_at"),
    *_picked(_OF_VIEWS, "attributes"),
)

_ASSIGNMENT = Column("assignment", "VARCHAR", "name of the split assignment, such as v1")
_ASSIGNED = (
    replace(_ASSIGNMENT, nullable=False),
    _OF_TENSOR["content_sha256"],
    Column(
        "fold",
        "VARCHAR",
        "train, val or test; 0, 1, … instead of train; in assigned_contents also left_out, for near "
        "duplicates of test images, which no fold has",
        nullable=False,
    ),
    Column(
        "unit",
        "VARCHAR",
        "smallest content of those that stay in one fold together, such as near duplicates, when they were "
        "assigned",
        nullable=False,
    ),
    Column(
        "decided_by",
        "VARCHAR",
        "hash, balance, group, near_duplicate or same_file; source if the split of the source is the fold",
        nullable=False,
    ),
    Column("group_value", "VARCHAR", "group when it was assigned; empty for none", nullable=False),
    Column("image_id", "VARCHAR", "an image with this content at that time", nullable=False),
)

CATALOGUE_TABLES: Mapping[str, Table] = _by_name(
    (
        Table(
            "images",
            "One row per image file below the root.",
            _IMAGES,
        ),
        Table(
            "stray_files",
            "One row per file below the root that belongs to no image, with the reason.",
            (
                Column("relative_path", "VARCHAR", "path below the root", nullable=False),
                Column(
                    "reason",
                    "VARCHAR",
                    "reason why it belongs to no image, such as orphan_mask",
                    nullable=False,
                ),
                Column("detail", "VARCHAR", "further details; may be null"),
                Column("_dlt_load_id", "VARCHAR", "load that inserted or last changed the row"),
            ),
        ),
        Table(
            "load_changes",
            "One row per load and table: number of changed rows. Use load_history instead.",
            (
                Column("table_name", "VARCHAR", "images or stray_files"),
                Column("rows_inserted", "BIGINT", "rows that were new"),
                Column("rows_updated", "BIGINT", "rows with other content than before"),
                Column("rows_deleted", "BIGINT", "rows whose file was deleted"),
                Column("root_uri", "VARCHAR", "root that was listed, without credentials"),
                Column("_dlt_load_id", "VARCHAR", "the load"),
            ),
        ),
    )
)
"""Tables that dlt writes, in the schema of each source dataset."""

TABLES: Mapping[str, Table] = _by_name(
    (
        Table(
            "images",
            "One row per image of all source datasets, with the label by all evidence.",
            _OF_VIEWS,
            is_view=True,
        ),
        Table(
            "correction_lines",
            "One row per line of the correction files, as a run read it; corrections adds the status.",
            _CORRECTION_LINES,
            key=2,
        ),
        Table(
            "correction_pins",
            "One row per image, field and time of a correction without content_sha256: the content it is "
            "for. Rows stay after the line is removed.",
            (
                *(replace(_OF_LINE[name], nullable=False) for name in ("image_id", "field")),
                _OF_LINE["corrected_at"],
                *(_OF_LINE[name] for name in ("pinned_sha256", "awaited_version")),
                _OF_LINE["first_seen_at"],
            ),
        ),
        Table(
            "corrected_fields",
            "One row per image and field with a correction for the decoded content of the image, without "
            "masks that cannot be decoded.",
            (
                Column("image_id", "VARCHAR", "foreign key to images"),
                Column("field", "VARCHAR", "label, defect_type, split, exclude or mask"),
                Column(
                    "value",
                    "VARCHAR",
                    "value in effect, of a mask its file version; null if corrections disagree",
                ),
                Column("places", "VARCHAR[]", "file:line of each correction, sorted"),
                Column("written_value", "VARCHAR", "value as written: of a mask, its path"),
                _OF_LINE["mask_source_uri"],
            ),
            is_view=True,
        ),
        Table(
            "effective_images",
            "One row per image that is not excluded, with label, defect type, split and mask after "
            "corrections; "
            "see docs/curation.md.",
            tuple(replace(column, nullable=True) for column in _OF_VIEWS),
            is_view=True,
        ),
        Table(
            "corrections",
            "One row per line of the correction files, with its status: applied, or why not.",
            (
                *_picked(_CORRECTION_LINES, "file", "line", "image_id", "content_sha256", "field"),
                *_picked(_CORRECTION_LINES, "value", "reason", "corrected_by", "corrected_at"),
                *_picked(_CORRECTION_LINES, "pinned_sha256", "first_seen_at"),
                Column(
                    "status",
                    "VARCHAR",
                    "applied, other_content, unknown_image, conflict, impossible_value, unreadable_mask or "
                    "not_decoded",
                ),
                Column("detail", "VARCHAR", "why it is not applied; null for applied"),
                Column("images", "BIGINT", "number of images to which it is applied"),
            ),
            is_view=True,
        ),
        Table(
            "image_tensors",
            "One row per decoded image: the tensor, and measurements of the image and its mask.",
            _TENSORS,
        ),
        Table(
            "recipe_tensors",
            "One row per image, further recipe and tile: the tensor. `samples_at(recipe)` adds the labels.",
            _RECIPE_TENSORS,
        ),
        Table(
            "recipes",
            "One row per source dataset and recipe of its tensors.",
            (
                _RECIPE,
                replace(_SOURCE_DATASET, nullable=False),
                Column(
                    "transform", "VARCHAR", "name of the transform of its tensors", nullable=False
                ),
                Column(
                    "is_common",
                    "BOOLEAN",
                    "true for the recipe of image_tensors and samples, which all datasets have",
                    nullable=False,
                ),
                Column(
                    "named_by",
                    "VARCHAR",
                    "origin of the recipes of this dataset: ANOMALY_SIZES, declaration, or upgrade if an "
                    "earlier release made its tensors",
                    nullable=False,
                ),
            ),
        ),
        Table(
            "recipe_statistics",
            "Mean and standard deviation per recipe, category and channel, as in pixel_statistics.",
            (
                replace(_RECIPE, nullable=True),
                _SOURCE_DATASET,
                _CATEGORY,
                Column(
                    "images", "BIGINT", "good images measured, of the splits train and unassigned"
                ),
                Column("channel_means", "DOUBLE[]", "mean per channel, 0 to 1"),
                Column(
                    "channel_standard_deviations",
                    "DOUBLE[]",
                    "population standard deviation per channel",
                ),
            ),
            is_view=True,
        ),
        Table(
            "facts",
            "One row per decoded image, with properties of its files. "
            "Rows are written in the same transaction as the tensor.",
            _FACTS,
        ),
        Table(
            "image_previews",
            "One row per decoded image: a small picture of its tensor. Join it by image_id.",
            (
                *(_OF_TENSOR[name] for name in ("image_id", "content_sha256", "transform")),
                Column(
                    "preview",
                    "BLOB",
                    "WebP picture of the tensor, at most 96 pixels high and wide",
                    nullable=False,
                ),
            ),
        ),
        Table(
            "rejected_images",
            "One row per image or mask that could not be decoded. "
            "The row disappears once the file is fixed.",
            (
                Column("image_id", "VARCHAR", "foreign key to images", nullable=False),
                Column(
                    "relative_path",
                    "VARCHAR",
                    "path of the rejected file: the image, or its mask",
                    nullable=False,
                ),
                Column("file_version", "VARCHAR", "version of the rejected file", nullable=False),
                Column("transform", "VARCHAR", "recipe of the tensor", nullable=False),
                Column(
                    "reason",
                    "VARCHAR",
                    "keyword, such as damaged_image or unreadable",
                    nullable=False,
                ),
                Column("detail", "VARCHAR", "description of the error"),
                Column(
                    "rejected_at", "TIMESTAMP WITH TIME ZONE", "time of the attempt", nullable=False
                ),
            ),
            key=2,
        ),
        Table(
            "samples",
            "One row per usable image, with labels, tensor and mask: the table to train from.",
            _SAMPLES,
            is_view=True,
        ),
        Table(
            "samples_without_tensors",
            "One row per usable image, as in samples, without the pixels: for every question about labels, "
            "sizes and counts.",
            tuple(column for column in _SAMPLES if column.type != "BLOB"),
            is_view=True,
        ),
        Table(
            "splits",
            "One row per image and split assignment that has it: its fold.",
            (
                _ASSIGNMENT,
                *_picked(_TENSORS, "image_id", "content_sha256"),
                *_picked(_ASSIGNED, "fold", "decided_by", "unit"),
            ),
            is_view=True,
            key=2,
        ),
        Table(
            "dataset_summary",
            "Images, bytes, masks, sizes and modes per dataset, category, split, label and defect type.",
            (
                _SOURCE_DATASET,
                _CATEGORY,
                Column("split", "VARCHAR", "train, test, validation or unassigned"),
                Column("label", "VARCHAR", "good, anomalous or unknown"),
                Column("defect_type", "VARCHAR", "kind of defect; null for good"),
                Column("images", "BIGINT", "catalogued images"),
                Column("tensors", "BIGINT", "images with a tensor"),
                Column("rejected", "BIGINT", "images that could not be decoded"),
                Column("masks", "BIGINT", "images with a mask file"),
                Column("file_bytes", "HUGEINT", "size of the image files, bytes"),
                Column("original_sizes", "VARCHAR[]", "distinct widthxheight of the files"),
                Column("original_modes", "VARCHAR[]", "distinct Pillow modes of the files"),
            ),
            key=5,
            made_from=("images", "image_tensors", "rejected_images"),
        ),
        Table(
            "pixel_statistics",
            "Mean and standard deviation per channel of good tensors of train and unassigned, in 0..1.",
            (
                _SOURCE_DATASET,
                _CATEGORY,
                Column(
                    "images", "BIGINT", "good tensors measured, of the splits train and unassigned"
                ),
                Column("channel_means", "DOUBLE[]", "mean per channel, 0 to 1"),
                Column(
                    "channel_standard_deviations",
                    "DOUBLE[]",
                    "population standard deviation per channel",
                ),
            ),
            key=2,
            made_from=("images", "image_tensors"),
        ),
        Table(
            "defect_summary",
            "Number and size of the defects per dataset, category, split and defect type.",
            (
                _SOURCE_DATASET,
                _CATEGORY,
                Column("split", "VARCHAR", "train, test, validation or unassigned"),
                Column("defect_type", "VARCHAR", "kind of defect"),
                Column("images", "BIGINT", "anomalous images"),
                Column("masks", "BIGINT", "anomalous images with a readable mask"),
                Column("empty_masks", "BIGINT", "masks without any defective pixel"),
                Column(
                    "area_fraction_min",
                    "DOUBLE",
                    "smallest fraction of defective pixels in a mask (0-1)",
                ),
                Column(
                    "area_fraction_median", "DOUBLE", "median fraction of defective pixels (0-1)"
                ),
                Column(
                    "area_fraction_p90",
                    "DOUBLE",
                    "90 % quantile of the fraction of defective pixels (0-1)",
                ),
                Column("area_fraction_max", "DOUBLE", "largest fraction of defective pixels (0-1)"),
                Column(
                    "box_width_median",
                    "DOUBLE",
                    "median width of the defect's box, as a fraction of the image (0-1)",
                ),
                Column(
                    "box_height_median",
                    "DOUBLE",
                    "median height of the defect's box, as a fraction of the image (0-1)",
                ),
            ),
            key=4,
            made_from=("images", "image_tensors"),
        ),
        Table(
            "duplicate_images",
            "One row per image content that several files share.",
            (
                Column("content_sha256", "VARCHAR", "SHA-256 of the shared bytes"),
                Column("copies", "BIGINT", "number of files with these bytes"),
                Column("image_ids", "VARCHAR[]", "the images, sorted"),
                Column("crosses_splits", "BOOLEAN", "true if copies are in two splits: a leak"),
                Column("crosses_categories", "BOOLEAN", "true if copies are in two categories"),
                Column(
                    "crosses_labels", "BOOLEAN", "true if one copy is good and another anomalous"
                ),
            ),
            key=1,
            made_from=("images", "image_tensors"),
        ),
        Table(
            "near_duplicates",
            "One row per pair of images of a category that look like copies and have different bytes.",
            (
                replace(_IMAGES[0], name="image_id_a", meaning="image_id of the first image"),
                replace(_IMAGES[0], name="image_id_b", meaning="image_id of the second image"),
                *_NAMES,
                Column(
                    "distance",
                    "DOUBLE",
                    "1 minus the cosine of what is unusual about both thumbnails: 0 to 0.3",
                    nullable=False,
                ),
                Column(
                    "crosses_splits",
                    "BOOLEAN",
                    "true if the images are in two splits: a leak",
                    nullable=False,
                ),
            ),
            key=2,
        ),
        Table(
            "searched_categories",
            "One row per category that was searched for near duplicates: what was compared.",
            (
                *_NAMES,
                Column("images", "BIGINT", "images that were compared", nullable=False),
                Column(
                    "content",
                    "VARCHAR",
                    "digest of these images; a category with another one is searched again",
                    nullable=False,
                ),
            ),
        ),
        Table(
            "quality",
            "One row per check of an asset, as of the publication: whether it passed, and what to do.",
            (
                replace(_CHECKED, nullable=False),
                replace(_CHECK_NAME, nullable=False),
                Column("passed", "BOOLEAN", "true if nothing is affected", nullable=False),
                Column(
                    "severity",
                    "VARCHAR",
                    "error (nothing is published while it fails) or warning",
                    nullable=False,
                ),
                Column(
                    "affected", "BIGINT", "number of images, files or categories", nullable=False
                ),
                Column(
                    "sentence",
                    "VARCHAR",
                    "what is wrong and what to do; the checked property if it passed",
                    nullable=False,
                ),
                Column("query", "VARCHAR", "SQL that lists what is affected; null if it passed"),
            ),
            key=2,
        ),
        Table(
            "quality_images",
            "One row per image, file or category that a failed check names; at most 10,000 a check.",
            (
                replace(_CHECKED, nullable=False),
                replace(_CHECK_NAME, nullable=False),
                Column("place", "BIGINT", "place in the list of the check, from 1", nullable=False),
                Column("image_id", "VARCHAR", "the image; null for a file, split or category"),
                Column("affected", "VARCHAR", "image, file, split or category", nullable=False),
                Column("detail", "VARCHAR", "what is wrong with it"),
            ),
            key=3,
        ),
        Table(
            "evaluations",
            "One row per category and recipe that the baseline was evaluated on, or why it has no number.",
            (
                *_EVALUATED,
                Column("status", "VARCHAR", "measured, or why there is no number", nullable=False),
                Column(
                    "inputs",
                    "VARCHAR",
                    "digest of contents, labels, masks, roles, recipe, backbone and protocol; a category "
                    "with another one is evaluated again",
                    nullable=False,
                ),
                Column("backbone", "VARCHAR", "network of the features", nullable=False),
                Column("bank_sha256", "VARCHAR", "digest of the bank; null without one"),
                Column("bank_images", "BIGINT", "good training images of the bank", nullable=False),
                Column("bank_patches", "BIGINT", "patches of the bank", nullable=False),
                Column("images_scored", "BIGINT", "images with a score", nullable=False),
                Column("images_good", "BIGINT", "good test images", nullable=False),
                Column("images_anomalous", "BIGINT", "anomalous test images", nullable=False),
                Column(
                    "left_out",
                    "MAP(VARCHAR, BIGINT)",
                    "reason to the number of images that are left out, or left out of some metrics",
                    nullable=False,
                ),
                Column("threshold", "DOUBLE", "score above which an image counts as anomalous"),
                Column(
                    "threshold_source",
                    "VARCHAR",
                    "validation or out_of_fold: the good images that it comes from; null without one",
                ),
                Column(
                    "evaluated_at",
                    "TIMESTAMP WITH TIME ZONE",
                    "time of the evaluation",
                    nullable=False,
                ),
                Column("seconds", "DOUBLE", "duration of the evaluation", nullable=False),
                Column("run_id", "VARCHAR", "Dagster run that evaluated it"),
            ),
            key=3,
        ),
        Table(
            "baseline_scores",
            "One row per image and recipe: the score of the baseline. A higher score is more unusual.",
            (
                _OF_TENSOR["image_id"],
                _RECIPE,
                *_NAMES,
                _OF_TENSOR["content_sha256"],
                Column(
                    "role",
                    "VARCHAR",
                    "bank, validation, test, scored for an unknown label, or left_out",
                    nullable=False,
                ),
                Column("reason", "VARCHAR", "why it is left out or only scored; null for others"),
                Column("label", "VARCHAR", "label when it was scored", nullable=False),
                Column(
                    "score",
                    "DOUBLE",
                    "largest distance of a patch to the nearest one of the bank, for images of the bank to "
                    "those of other folds; null if there is none",
                ),
                Column(
                    "out_of_fold_score",
                    "DOUBLE",
                    "the same for images of the bank; null for others",
                ),
                Column(
                    "above_threshold",
                    "BOOLEAN",
                    "whether the score is above the threshold; null without one of both",
                ),
            ),
            key=2,
        ),
        Table(
            "baseline_metrics",
            "One row per category, recipe, defect type and metric: its value with a 95 % interval (90 % "
            "for image_auroc_gain, the difference from the common recipe).",
            (
                *_EVALUATED,
                Column("defect_type", "VARCHAR", "defect type; empty for all", nullable=False),
                Column("metric", "VARCHAR", "name, such as image_auroc", nullable=False),
                Column("value", "DOUBLE", "value; null if there are too few images"),
                Column("low", "DOUBLE", "lower end of the interval; null without one"),
                Column("high", "DOUBLE", "upper end of the interval; null without one"),
                Column("images_good", "BIGINT", "good images that were measured", nullable=False),
                Column(
                    "images_anomalous",
                    "BIGINT",
                    "anomalous images that were measured",
                    nullable=False,
                ),
                Column("note", "VARCHAR", "restriction, such as weak labels; null for none"),
            ),
            key=5,
        ),
        Table(
            "baseline_maps",
            "One row per image and recipe: where the baseline finds it unusual, for display only.",
            (
                _OF_TENSOR["image_id"],
                _RECIPE,
                *_NAMES,
                Column("height", "INTEGER", "height of the map, pixels", nullable=False),
                Column("width", "INTEGER", "width of the map, pixels", nullable=False),
                Column("low", "DOUBLE", "score of the value 0", nullable=False),
                Column("high", "DOUBLE", "score of the value 255", nullable=False),
                Column("map", "BLOB", "uint8, row-major height x width", nullable=False),
            ),
            key=2,
        ),
        Table(
            "suspect_images",
            "One row per image whose score contradicts its label, or that is worth labelling first.",
            (
                _OF_TENSOR["image_id"],
                _RECIPE,
                Column(
                    "kind",
                    "VARCHAR",
                    "good_like_anomalous, anomalous_like_good or label_first",
                    nullable=False,
                ),
                *_NAMES,
                Column("rank", "BIGINT", "1 for the first one to look at", nullable=False),
                Column("score", "DOUBLE", "score that the rank comes from", nullable=False),
                Column(
                    "is_likely",
                    "BOOLEAN",
                    "whether the score is so unusual that a check warns",
                    nullable=False,
                ),
                Column("reason", "VARCHAR", "why, as a sentence", nullable=False),
            ),
            key=3,
        ),
        Table(
            "baseline_banks",
            "One row per category and recipe: the bank of patches. Kept in the warehouse, not published.",
            (
                *_EVALUATED,
                Column("seed", "BIGINT", "seed of the bank", nullable=False),
                Column("bank_sha256", "VARCHAR", "digest of the bank", nullable=False),
                Column("patches", "BIGINT", "number of patches", nullable=False),
                Column("dimensions", "BIGINT", "numbers per patch", nullable=False),
                Column("folds", "BLOB", "int8, the fold of each patch", nullable=False),
                Column(
                    "bank",
                    "BLOB",
                    "float32, row-major patches x dimensions, little-endian",
                    nullable=False,
                ),
            ),
        ),
        Table(
            "baseline_vectors",
            "One row per image and recipe: its mean feature. Kept in the warehouse, not published.",
            (
                _OF_TENSOR["image_id"],
                _RECIPE,
                *_NAMES,
                Column("vector", "BLOB", "float32, little-endian", nullable=False),
            ),
        ),
        Table(
            "load_history",
            "One row per load of a source dataset that changed something.",
            (
                _SOURCE_DATASET,
                Column("load_id", "VARCHAR", "id of the load; equal to _dlt_load_id of its rows"),
                Column("loaded_at", "TIMESTAMP", "start of the load, in UTC"),
                Column(
                    "rows_inserted",
                    "HUGEINT",
                    "new image rows; after a kill, all rows that the load changed",
                ),
                Column("rows_updated", "HUGEINT", "image rows with other content than before"),
                Column("rows_deleted", "HUGEINT", "image rows whose file was deleted"),
                Column("stray_changes", "HUGEINT", "stray rows inserted, updated or deleted"),
                Column("status", "VARCHAR", "completed, or interrupted if dlt never finished it"),
                Column(
                    "root_uri",
                    "VARCHAR",
                    "root that was listed, without credentials; null if the load was killed before",
                ),
            ),
            is_view=True,
            made_from=("<source_dataset>.images", "<source_dataset>.stray_files"),
        ),
        Table(
            "snapshots",
            "One row per publication: the content of the published database at that time.",
            (
                Column(
                    "snapshot_id",
                    "VARCHAR",
                    "digest of all content, with pixels represented by their hash",
                    nullable=False,
                ),
                Column(
                    "published_at",
                    "TIMESTAMP WITH TIME ZONE",
                    "time of the publication",
                    nullable=False,
                ),
                Column("images", "BIGINT", "catalogued images", nullable=False),
                Column("tensors", "BIGINT", "tensors", nullable=False),
                Column("rejected", "BIGINT", "rejected files", nullable=False),
                Column("transform", "VARCHAR", "recipe of the tensors"),
                Column("run_id", "VARCHAR", "run that published it"),
                Column(
                    "code_version",
                    "VARCHAR",
                    "version of this package, and a digest of its source files",
                ),
                Column(
                    "roots",
                    "MAP(VARCHAR, VARCHAR)",
                    "source dataset to the root of its newest load",
                ),
                Column("load_ids", "MAP(VARCHAR, VARCHAR)", "source dataset to its newest load"),
                Column("row_counts", "MAP(VARCHAR, BIGINT)", "table to its number of rows"),
                Column(
                    "warehouse_id",
                    "VARCHAR",
                    "identity of the warehouse that published it; null for releases before 0.2",
                ),
                Column(
                    "evaluation_id",
                    "VARCHAR",
                    "digest of the results of the baseline that were published with it; null for none",
                ),
            ),
        ),
        Table(
            "source_datasets",
            "One row per loaded source dataset. Views and publishing include the datasets in this table.",
            (
                Column(
                    "source_dataset",
                    "VARCHAR",
                    "key: schema of its tables, and prefix of its image ids",
                    nullable=False,
                ),
                Column("title", "VARCHAR", "display name", nullable=False),
                Column("licence", "VARCHAR", "terms of use of the images", nullable=False),
                Column(
                    "commercial_use",
                    "VARCHAR",
                    "allowed, forbidden or unknown, as declared or by the licence; null: not recorded yet",
                ),
                Column("citation", "VARCHAR", "publication to cite; null if none is declared"),
                Column(
                    "definition_digest",
                    "VARCHAR",
                    "SHA-256 of the declaration; null if a release before 0.2 loaded the dataset",
                ),
                Column(
                    "declaration",
                    "VARCHAR",
                    "every declared key except the root, as JSON; null if a release before 0.2 loaded it",
                ),
                Column("root_uri", "VARCHAR", "last listed root, without credentials"),
                Column(
                    "from_samples",
                    "BOOLEAN",
                    "true if no root was named and the samples of the repository were loaded",
                    nullable=False,
                ),
                Column(
                    "most_images",
                    "BIGINT",
                    "largest number of images accepted since a loss was last accepted",
                    nullable=False,
                ),
                Column(
                    "most_samples",
                    "BIGINT",
                    "largest number of samples published since a loss was last accepted",
                    nullable=False,
                ),
            ),
        ),
        Table(
            "assignments",
            "One row per split assignment, as `anomaly-assets split` makes them.",
            (
                replace(_ASSIGNMENT, nullable=False),
                Column("options", "VARCHAR", "options of the command, as JSON", nullable=False),
                Column(
                    "taken",
                    "VARCHAR[]",
                    "splits of the source whose images are assigned; others stay what they are",
                    nullable=False,
                ),
            ),
        ),
        Table(
            "assigned_contents",
            "One row per split assignment and content: the lines of its file. Use splits for images.",
            _ASSIGNED,
        ),
        Table(
            "consents",
            "One row per consent to fewer images or samples of a source dataset.",
            (
                Column(
                    "source_dataset",
                    "VARCHAR",
                    "the source dataset, which may have been removed",
                    nullable=False,
                ),
                Column(
                    "consented_at",
                    "TIMESTAMP WITH TIME ZONE",
                    "time of the consent",
                    nullable=False,
                ),
                Column(
                    "kind", "VARCHAR", "shrunk_root, fewer_samples or forgotten", nullable=False
                ),
                Column(
                    "images",
                    "BIGINT",
                    "accepted number of images or of samples",
                    nullable=False,
                ),
                Column("run_id", "VARCHAR", "Dagster run with the consent; null for a command"),
            ),
        ),
        Table(
            "run_events",
            "One row per step that was refused, failed, evaluated, read changed corrections or removed "
            "samples. Use history instead.",
            (
                Column(
                    "happened_at",
                    "TIMESTAMP WITH TIME ZONE",
                    "end of the run",
                    nullable=False,
                ),
                Column(
                    "event",
                    "VARCHAR",
                    "refused, failed, corrected, evaluated or removed",
                    nullable=False,
                ),
                Column("source_dataset", "VARCHAR", "source dataset of the step; null for others"),
                Column("detail", "VARCHAR", "reason, and what to do", nullable=False),
                Column("root_uri", "VARCHAR", "root of the run, without credentials"),
                Column("run_id", "VARCHAR", "Dagster run", nullable=False),
                Column("step", "VARCHAR", "step of the run", nullable=False),
            ),
        ),
        Table(
            "history",
            "One row per event: loaded, published, corrected, evaluated, accepted, removed, refused or "
            "failed.",
            (
                Column("happened_at", "TIMESTAMP", "time of the event, in UTC"),
                Column(
                    "event",
                    "VARCHAR",
                    "loaded, published, corrected, evaluated, accepted (a loss), removed, refused or "
                    "failed",
                ),
                Column("source_dataset", "VARCHAR", "source dataset; null if the event has none"),
                Column("detail", "VARCHAR", "numbers or reason, as a sentence"),
                Column("root_uri", "VARCHAR", "root that was listed, without credentials"),
                Column("run_id", "VARCHAR", "Dagster run; null for loads and for commands"),
                Column("id", "VARCHAR", "load_id of a load, snapshot_id of a publication"),
            ),
            is_view=True,
        ),
    )
)
"""Harmonised tables and views, in the schema `main` and, as views, in the schema `anomaly`."""

SUMMARIES: Mapping[str, Table] = _by_name(table for table in TABLES.values() if table.is_summary)
"""Tables that are computed, published and part of the snapshot id."""

STORED: Mapping[str, Table] = _by_name(table for table in TABLES.values() if table.is_stored)
"""Tables whose rows cannot be computed from other tables."""

UNPUBLISHED = ("baseline_banks", "baseline_vectors")
"""Stored tables that a published file does not contain."""

EVALUATION = (
    *("evaluations", "baseline_scores", "baseline_metrics", "baseline_maps", "suspect_images"),
    *UNPUBLISHED,
)
"""Tables that an evaluation writes, with the columns `source_dataset`, `category` and `recipe`."""

DECODED_TABLES = ("image_tensors", "recipe_tensors", "facts", "image_previews", "rejected_images")
"""Tables that decoding writes, with the column `image_id`: their rows go together."""

WIDE = tuple(name for name, table in STORED.items() if "image_tensor" in table.column_names)
"""Stored tables with tensors, which are copied in parts."""

_NOT_COUNTED = {
    *("recipe_statistics", "corrected_fields", "corrections"),  # read all rows to count some
    "run_events",  # a refused run changes it, and nothing that has to be published
    "history",
    "searched_categories",  # no content
    *UNPUBLISHED,
}
COUNTED = tuple(name for name in TABLES if name not in _NOT_COUNTED)
"""Tables and views whose rows are counted and compared at each publication."""
