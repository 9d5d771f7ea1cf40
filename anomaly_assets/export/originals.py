"""Decode the files of the selected samples again, in their own size."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import duckdb
import numpy as np
import numpy.typing as npt

from anomaly_assets.decoding.batch import IMAGE_COLUMNS, StaleImage, decode_batch
from anomaly_assets.decoding.batches import stale_images
from anomaly_assets.export.errors import ExportError
from anomaly_assets.export.selection import Source
from anomaly_assets.recipes import NATIVE, Recipe
from anomaly_assets.roots.base import Root, RootError
from anomaly_assets.roots.open import open_root
from anomaly_assets.settings import Settings

UInt8Array = npt.NDArray[np.uint8]


class Originals:
    """Files of the selected samples; several threads may read at once.

    Args:
        source: The samples.

    Raises:
        ExportError: The root of a source dataset is not set, or cannot be opened; or another snapshot was
            published since the samples were selected.
    """

    def __init__(self, source: Source) -> None:
        settings, table = Settings.from_environment(), source.table
        self._roots = _opened(table["source_dataset"].unique().to_pylist(), settings)
        image_ids = table["image_id"].to_pylist()
        with source.selection.cursor() as cursor:
            try:
                rows = cursor.execute(
                    _ROWS, {"columns": IMAGE_COLUMNS, "ids": image_ids}
                ).fetchall()
            except (duckdb.BinderException, duckdb.CatalogException) as error:
                raise ExportError(
                    "An earlier release published this database, without what --originals (originals=True) "
                    "needs. Run `anomaly-assets materialize`, which publishes it again, or leave "
                    "--originals out."
                ) from error
        found = [row for (row,) in rows]
        images = {image.image_id: image for image in stale_images(found, settings.depths)}
        if len(images) != len(image_ids):
            raise ExportError("Another snapshot was published meanwhile. Export again.")
        self._images = [images[image_id] for image_id in image_ids]
        self._facts = table.select(["content_sha256", "original_height", "original_width"])

    def __getitem__(self, position: int) -> tuple[UInt8Array, UInt8Array]:
        """Return the pixels of an image, and its mask of 0 and 1; zeros without a mask.

        The pixels are those that tensors are made from: 8 bits, in the orientation of the file.

        Raises:
            ExportError: The file is not the one of the snapshot any more, or cannot be read.
        """
        image = self._images[position]
        (facts,) = self._facts.slice(position, 1).to_pylist()
        size = facts["original_height"], facts["original_width"]
        whole = replace(image, common=False, further=(Recipe(*size, NATIVE),))
        try:
            decoded = decode_batch([whole], self._roots, Recipe())
        except RootError as error:
            raise ExportError(f"{image.image_id}: {error}") from error
        if decoded.rejections:
            raise _unusable(image, decoded.rejections[0].detail)
        (row,) = decoded.recipe_tensors.to_pylist()
        if row["content_sha256"] != facts["content_sha256"]:
            raise _unusable(image, "the file has other content than in the snapshot")
        pixels = np.frombuffer(row["image_tensor"], np.uint8).reshape(*size, -1)
        if row["mask_tensor"] is None:
            return pixels, np.zeros(size, np.uint8)
        return pixels, np.frombuffer(row["mask_tensor"], np.uint8).reshape(size)


def _opened(names: Sequence[str], settings: Settings) -> Mapping[str, Root]:
    roots = {}
    for name in sorted(names):
        location = settings.roots.get(name)
        if location is None:
            raise ExportError(
                f"--originals (originals=True) reads the files of {name}, whose root is not set. Set "
                f"{name.upper()}_ROOT, or leave --originals out to export the tensors of the database."
            )
        try:
            roots[name] = open_root(location, follow_links=name in settings.followed_links)
        except RootError as error:
            raise ExportError(f"{name.upper()}_ROOT: {error}") from error
    return roots


def _unusable(image: StaleImage, problem: str) -> ExportError:
    return ExportError(
        f"{image.image_id}: {problem}. Run `anomaly-assets materialize` and export again, or leave "
        "--originals out to export the tensors of the database."
    )


_ROWS = """
SELECT images FROM (SELECT COLUMNS($columns) FROM effective_images) AS images
WHERE images.image_id IN (SELECT unnest($ids))
"""
