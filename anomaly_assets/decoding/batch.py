"""Run one decoding task: read and decode images into an Arrow record batch.

A task depends only on its arguments, so any `concurrent.futures.Executor` can run it.
"""

from __future__ import annotations

import errno
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import datetime, timezone

import numpy as np
import pyarrow as pa

from anomaly_assets.buffers import Buffers
from anomaly_assets.datasets.names import shown
from anomaly_assets.decoding.mask_reading import Picture, decode_read_mask
from anomaly_assets.decoding.tensors import Tensor, UInt8Array
from anomaly_assets.decoding.thumbnail import thumbnail_of
from anomaly_assets.decoding.transform import (
    NEEDS_BIT_DEPTH,
    DecodedImage,
    DecodedMask,
    UnusableImageError,
    decode_image,
    decode_mask,
)
from anomaly_assets.drawing import TILE_SIDE, webp_within
from anomaly_assets.errors import AnomalyAssetsError
from anomaly_assets.linux import keep_freed_memory
from anomaly_assets.recipes import Recipe
from anomaly_assets.roots.base import (
    MAX_FILE_BYTES,
    FileChangedError,
    FileUnreadableError,
    Root,
    RootError,
    changed,
)
from anomaly_assets.roots.open import open_root
from anomaly_assets.settings import depth_variable
from anomaly_assets.tables.arrow import arrow_schema
from anomaly_assets.tables.corrections import CORRECTED_MASK, version_of_mask
from anomaly_assets.tables.registry import TABLES

TENSORS_SCHEMA = arrow_schema(TABLES["image_tensors"])
"""Columns of `image_tensors`."""

_RECIPES_SCHEMA = arrow_schema(TABLES["recipe_tensors"])
RECIPES_SCHEMA = _RECIPES_SCHEMA.set(
    _RECIPES_SCHEMA.get_field_index("image_tensor"),
    pa.field("image_tensor", pa.large_binary(), nullable=False),
)
"""Columns of `recipe_tensors`; the tiles of a batch may have more than 2 GiB."""

FACTS_SCHEMA = arrow_schema(TABLES["facts"])
"""Columns of `facts`."""

PREVIEWS_SCHEMA = arrow_schema(TABLES["image_previews"])
"""Columns of `image_previews`."""

UNREADABLE = "unreadable"
"""Reason of a file that could not be read at all."""

CHANGED = "changed_while_reading"
"""Reason of a file that was written to or replaced after it was listed."""

TRANSIENT = (UNREADABLE, CHANGED)
"""Reasons that are not about the content of the listed file: every run tries such a file again."""

PIXELS = Buffers(most_free=8)
"""Memory of the pixels of decoded batches. Code that decodes many batches clears it at the end."""

_TIMESTAMP = pa.timestamp("us", tz="UTC")
_NOT_MEASURED = frozenset({"image_tensor", "mask_tensor", "loaded_at", "run_id"})


@dataclass(frozen=True, slots=True)
class StaleImage:
    """An image to decode: the columns of the catalogue that decoding needs.

    `formats` are the formats that its source dataset allows, in Pillow's names. The formats are sent with
    the image, because a worker of a cluster may not have the module that defines the source dataset.
    `depth` is the number of bits of its 16-bit files, if set; with None, each file states its own. `common`
    is True if the tensor of the common recipe is to be made. `further` are the further recipes to make.
    """

    image_id: str
    source_dataset: str
    relative_path: str
    source_uri: str
    file_size_bytes: int
    file_version: str
    mask_relative_path: str | None
    mask_source_uri: str | None
    mask_file_version: str | None
    mask_reading: str | None
    formats: tuple[str, ...]
    depth: int | None = None
    common: bool = True
    further: tuple[Recipe, ...] = ()


IMAGE_COLUMNS = [
    column.name
    for column in fields(StaleImage)
    if column.name not in ("formats", "depth", "common", "further")
]
"""Columns of the catalogue that decoding needs."""


@dataclass(frozen=True, slots=True)
class Rejection:
    """A file that could not be used, with the reason: a row of `rejected_images`, except `of_mask`.

    Attributes:
        of_mask: Whether the file is the mask; then the image itself has a tensor.
    """

    image_id: str
    relative_path: str
    file_version: str
    transform: str
    reason: str
    detail: str
    of_mask: bool = False

    def columns(self) -> dict[str, str]:
        """Return the values of the columns of `rejected_images`."""
        return {name: getattr(self, name) for name in self.__slots__ if name != "of_mask"}


class DecodingError(AnomalyAssetsError, RuntimeError):
    """An image could not be decoded, for a reason outside its bytes; the message explains what to do."""


@dataclass(frozen=True)
class DecodedBatch:
    """Result of one decoding task.

    Attributes:
        tensors: Rows of `TENSORS_SCHEMA` without `run_id`, which the writer adds.
        recipe_tensors: Rows of `RECIPES_SCHEMA`, in the same way; one for each tile.
        facts: Rows of `FACTS_SCHEMA` about the images of `tensors`, in the same order.
        previews: Rows of `PREVIEWS_SCHEMA`, in the same way.
        rejections: Files of this batch that could not be used.
        images: Number of images that the task tried.
        seconds: Duration, reading included.
    """

    tensors: pa.RecordBatch
    recipe_tensors: pa.RecordBatch
    facts: pa.RecordBatch
    previews: pa.RecordBatch
    rejections: list[Rejection]
    images: int
    seconds: float


def decode_batch(
    images: Sequence[StaleImage], roots: Mapping[str, Root], spec: Recipe
) -> DecodedBatch:
    """Read and decode images one after the other; the task that an executor runs.

    Raises:
        DecodingError: This machine or its packages are the cause, not a file.
        RootError: The root is gone, or its store does not answer.
    """
    try:
        return _decode_batch(images, roots, spec)
    except (DecodingError, RootError):
        raise
    except Exception as error:
        raise DecodingError(_what_to_do("a batch of images", error)) from error


def _decode_batch(
    images: Sequence[StaleImage], roots: Mapping[str, Root], spec: Recipe
) -> DecodedBatch:
    keep_freed_memory()
    started = time.monotonic()
    common = _Rows(TENSORS_SCHEMA, sum(image.common for image in images) * spec.tensor_bytes)
    planned = sum(recipe.tensor_bytes for image in images for recipe in image.further)
    further = _Rows(RECIPES_SCHEMA, planned)
    facts: list[dict[str, object]] = []
    previews: list[dict[str, object]] = []
    rejections: list[Rejection] = []
    for image in images:
        try:
            decoded, mask = _decoded(image, roots, spec, rejections)
        except (UnusableImageError, FileUnreadableError) as error:
            rejections.append(_rejection(image, error, spec))
            continue
        except RootError:
            raise
        except Exception as error:
            raise DecodingError(_what_to_do(shown(image.image_id), error)) from error
        measured = _measured(image, decoded, mask)
        if image.common:
            facts.append(measured | {"thumbnail": thumbnail_of(decoded.pixels)})
        masks = mask.masks if mask else [None] * len(decoded.tensors)
        if image.further:
            further.reserve(sum(each.pixels.size for each in decoded.tensors[image.common :]))
        for number, (tensor, pixels) in enumerate(zip(decoded.tensors, masks, strict=True)):
            row = measured | _of_tensor(image, decoded, tensor)
            if image.common and not number:
                common.add(row, tensor.pixels, pixels)
                previews.append(row | {"preview": webp_within(tensor.pixels, TILE_SIDE)})
            else:
                further.add(row, tensor.pixels, pixels)
    return DecodedBatch(
        common.record_batch(),
        further.record_batch(),
        pa.record_batch(_columns(facts, FACTS_SCHEMA), schema=FACTS_SCHEMA),
        pa.record_batch(_columns(previews, PREVIEWS_SCHEMA), schema=PREVIEWS_SCHEMA),
        rejections,
        len(images),
        time.monotonic() - started,
    )


def _decoded(
    image: StaleImage,
    roots: Mapping[str, Root],
    spec: Recipe,
    rejections: list[Rejection],
) -> tuple[DecodedImage, DecodedMask | None]:
    """Read and decode an image and its mask; an unusable mask is added to the rejections."""
    content = _read(
        roots, image, image.source_uri, image.file_version, image.file_size_bytes or MAX_FILE_BYTES
    )
    first, *further = (spec, *image.further) if image.common else image.further
    decoded = decode_image(
        content,
        first,
        image.formats,
        further=further,
        depth=image.depth,
        depth_variable=depth_variable(image.source_dataset),
    )
    if image.mask_source_uri is None:
        return decoded, None
    try:
        recipes = [first, *further]
        return decoded, _mask(image, image.mask_source_uri, content, decoded, roots, recipes)
    except (UnusableImageError, FileUnreadableError) as error:
        rejections.append(_rejection(image, error, spec, of_mask=True))
        return decoded, None


def _mask(
    image: StaleImage,
    uri: str,
    content: bytes,
    decoded: DecodedImage,
    roots: Mapping[str, Root],
    recipes: Sequence[Recipe],
) -> DecodedMask:
    def read(uri: str, version: str | None) -> bytes:
        if version is not None and version.startswith(CORRECTED_MASK):
            return _read_corrected(uri, version)
        return _read(roots, image, uri, version, MAX_FILE_BYTES)

    size = decoded.original_width, decoded.original_height
    if image.mask_reading is None:
        mask = read(uri, image.mask_file_version)
        return decode_mask(mask, recipes[0], further=recipes[1:], picture_size=size)
    return decode_read_mask(
        image.mask_reading,
        uri,
        image.mask_file_version,
        read,
        Picture(content, *size),
        recipes,
    )


def _read_corrected(uri: str, version: str) -> bytes:
    """Read a corrected mask, which is beside its correction file and not below a root."""
    folder, _, name = uri.rpartition("/")
    try:
        root = open_root(folder)
    except RootError as error:
        raise FileUnreadableError(str(error)) from error
    content = root.read(str(root.path_of(f"{root.uri}/{name}")))
    if version_of_mask(content) != version:
        raise changed(uri)
    return content


def _read(
    roots: Mapping[str, Root], image: StaleImage, uri: str, version: str | None, most_bytes: int
) -> bytes:
    root = roots[image.source_dataset]
    path = root.path_of(uri)
    if path is None:
        raise FileUnreadableError(f"{shown(uri)} is not below {root.uri}; reload its category")
    return root.read(path, version, min(most_bytes, MAX_FILE_BYTES))


def _what_to_do(what: str, error: Exception) -> str:
    """Return a message for a failure that no file caused, with its remedy."""
    if isinstance(error, MemoryError) or getattr(error, "errno", None) == errno.ENOMEM:
        remedy = "There is too little memory: end other programs, or set ANOMALY_WORKERS=1, then run again."
    elif isinstance(error, OSError):
        remedy = "Fix the problem of this machine that the error names, then run again."
    else:
        remedy = (
            "Install the versions of requirements.lock; if they are, report this with the file."
        )
    said = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
    return (
        f"Decoding {what} failed, and no file is the cause ({shown(said)[:500]}). Committed rows are kept, "
        f"and the next run continues from there. {remedy}"
    )


def _rejection(
    image: StaleImage, error: Exception, spec: Recipe, *, of_mask: bool = False
) -> Rejection:
    reason = _reason(error)
    needs_depth = reason == NEEDS_BIT_DEPTH
    return Rejection(
        image_id=image.image_id,
        relative_path=str(image.mask_relative_path if of_mask else image.relative_path),
        file_version=str(image.mask_file_version if of_mask else image.file_version),
        transform=deep_transform(spec, image.depth) if needs_depth else spec.transform,
        reason=reason,
        detail=shown(error),
        of_mask=of_mask,
    )


def deep_transform(spec: Recipe, depth: int | None) -> str:
    """Return the transform of a file with more than 8 bits; another depth makes its tensor stale."""
    return f"{spec.transform}-depth-{depth or 'file'}"


def _reason(error: Exception) -> str:
    if isinstance(error, UnusableImageError):
        return error.reason
    return CHANGED if isinstance(error, FileChangedError) else UNREADABLE


def _measured(
    image: StaleImage, decoded: DecodedImage, mask: DecodedMask | None
) -> dict[str, object]:
    """Return the values of an image and its files by column."""
    return {
        "image_id": image.image_id,
        "file_version": image.file_version,
        "mask_file_version": image.mask_file_version,
        "content_sha256": decoded.content_sha256,
        "original_width": decoded.original_width,
        "original_height": decoded.original_height,
        "original_mode": decoded.original_mode,
        "mask_area_fraction": mask.area_fraction if mask else None,
        "mask_width": mask.width if mask else None,
        "mask_height": mask.height if mask else None,
        "file_format": decoded.file_format,
        "bit_depth": decoded.bit_depth,
        "mask_file_format": mask.file_format if mask else None,
        "mask_values": mask.values if mask else None,
        "mask_box": mask.box if mask else None,
    }


def _of_tensor(image: StaleImage, decoded: DecodedImage, tensor: Tensor) -> dict[str, object]:
    """Return the values of a tensor by column."""
    recipe, (height, width, channels) = tensor.recipe, tensor.pixels.shape
    return {
        "recipe": recipe.name,
        "tile": tensor.tile,
        "box": tensor.box,
        "transform": deep_transform(recipe, image.depth) if decoded.is_deep else recipe.transform,
        "height": height,
        "width": width,
        "channels": channels,
        "channel_sums": tensor.channel_sums,
        "channel_square_sums": tensor.channel_square_sums,
    }


class _Rows:
    """Rows of tensors; their pixels are copied into one buffer, which Arrow takes over without a copy.

    Tiles may need more than was planned.

    Args:
        schema: Columns of the rows.
        planned: Expected number of bytes of all pixels.
    """

    def __init__(self, schema: pa.Schema, planned: int) -> None:
        self._schema = schema
        self._pixels = PIXELS.array((planned,))
        self._ends = [0]
        self._masks: list[bytes | None] = []
        self._rows: list[dict[str, object]] = []

    def reserve(self, size: int) -> None:
        """Make room for the pixels of the next rows, in bytes."""
        start = self._ends[-1]
        if start + size > len(self._pixels):
            larger = PIXELS.array((start + size,))
            larger[:start] = self._pixels[:start]
            self._pixels = larger

    def add(self, row: dict[str, object], pixels: UInt8Array, mask: UInt8Array | None) -> None:
        """Append a row with its tensor and mask."""
        start = self._ends[-1]
        end = start + pixels.size
        self._pixels[start:end].reshape(pixels.shape)[:] = pixels
        self._ends.append(end)
        self._masks.append(None if mask is None else mask.tobytes())
        self._rows.append(row)

    def record_batch(self) -> pa.RecordBatch:
        """Return the rows; `loaded_at` is now, and `run_id` null."""
        count = len(self._rows)
        columns = _columns(self._rows, self._schema)
        kind = self._schema.field("image_tensor").type
        offsets = np.array(self._ends, np.int32 if kind == pa.binary() else np.int64)
        columns["image_tensor"] = pa.Array.from_buffers(
            kind, count, [None, pa.py_buffer(offsets), pa.py_buffer(self._pixels)]
        )
        columns["mask_tensor"] = pa.array(self._masks, pa.binary())
        columns["loaded_at"] = pa.array([datetime.now(timezone.utc)] * count, _TIMESTAMP)
        columns["run_id"] = pa.nulls(count, pa.string())
        return pa.record_batch([columns[name] for name in self._schema.names], schema=self._schema)


def _columns(rows: list[dict[str, object]], schema: pa.Schema) -> dict[str, pa.Array]:
    """Return the measured columns of a schema."""
    return {
        field.name: pa.array([row[field.name] for row in rows], field.type)
        for field in schema
        if field.name not in _NOT_MEASURED
    }
