"""Collect the details of images: every column but local addresses, a larger image, outline and heat map."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import PurePosixPath
from typing import Any

from anomaly_assets.gallery.content import SCORES, Content, opened
from anomaly_assets.gallery.pictures import maps_of, pictures_of
from anomaly_assets.reader.database import Database
from anomaly_assets.tables.sql_text import column_names

_ADDRESS = "source_uri"
"""Column that belongs to the machine that loaded the image; `relative_path` is its useful part."""


@dataclass(frozen=True)
class DetailSource:
    """Source of the details, which are made for a few images at a time.

    Attributes:
        database: The database, for queries.
        content: What the gallery shows.
        maps: Version of the heat map of each image that has one, by image id.
    """

    database: Database
    content: Content
    maps: Mapping[str, str]

    @classmethod
    def of(cls, database: Database, content: Content) -> DetailSource:
        """Read which images have heat maps."""
        return cls(database, content, _map_versions(database, content))

    def inputs(self, rows: range) -> list[Any]:
        """Return what the details of consecutive images follow from, as values of JSON."""
        texts = self._texts(rows)
        return [[text, self.maps.get(text["columns"]["image_id"])] for text in texts]

    def details_of(self, rows: range) -> list[dict[str, Any]]:
        """Return the details of consecutive images."""
        texts, maps = self._texts(rows), dict[str, str]()
        ids = [text["columns"]["image_id"] for text in texts]
        with_map = [image_id for image_id in ids if image_id in self.maps]
        if with_map and self.content.recipe is not None:
            with opened(self.database) as cursor:
                maps = maps_of(cursor, with_map, self.content.recipe)
        pictures = pictures_of(self.content.samples, rows)
        return [
            {**text, **picture, "map": maps.get(image_id)}
            for image_id, text, picture in zip(ids, texts, pictures, strict=True)
        ]

    def _texts(self, rows: range) -> list[dict[str, Any]]:
        """Return `columns` and `attributes` of consecutive images."""
        texts = []
        for row in self.content.table.slice(rows.start, len(rows)).to_pylist():
            attributes = row.pop("attributes", None) or {}
            columns = {name: value for name, value in row.items() if name != _ADDRESS}
            columns["relative_path"] = row["image_id"].partition("/")[2]
            columns["modified_at"] = _moment(row.get("modified_at"))
            columns["mask_relative_path"] = _relative(row.get("mask_relative_path"))
            texts.append({"columns": _as_values(columns), "attributes": _as_values(attributes)})
        return texts


def _map_versions(database: Database, content: Content) -> dict[str, str]:
    """Return a digest of each heat map by image id; images that were replaced since have none."""
    with opened(database) as cursor:
        if content.recipe is None or not column_names(cursor, "baseline_maps"):
            return {}
        found = cursor.execute(_MAP_VERSIONS, {"recipe": content.recipe}).fetchall()
    return dict(found)


_MAP_VERSIONS = f"""
SELECT image_id, md5(map)
FROM baseline_maps SEMI JOIN ({SCORES}) AS scores USING (image_id)
WHERE recipe = $recipe
"""  # noqa: S608


def _as_values(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return values that JSON can hold."""
    return {name: _as_value(value) for name, value in row.items()}


def _as_value(value: Any) -> Any:
    if isinstance(value, datetime):
        return f"{value:%Y-%m-%d %H:%M:%S}"
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _relative(path: str | None) -> str | None:
    """Return a path below a root as it is; of an address in a correction, the name of the file."""
    if path is None or not (PurePosixPath(path).is_absolute() or re.match(r"\w+:", path)):
        return path
    return re.split(r"[/\\]", path)[-1]


def _moment(seconds: int | None) -> str | None:
    if seconds is None:
        return None
    return f"{datetime.fromtimestamp(seconds, timezone.utc):%Y-%m-%d %H:%M:%S}"
