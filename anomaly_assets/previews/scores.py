"""Draw the scores of a category: image, truth and map of each, the worst misses first."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
from PIL import Image

from anomaly_assets.atomic import write_file
from anomaly_assets.datasets.names import shown
from anomaly_assets.drawing import (
    ANOMALOUS,
    FAINT_INK,
    GOOD,
    INK,
    MARGIN,
    WIDTH,
    Pixels,
    UInt8Array,
    as_jpeg,
    blank,
    fitted,
    thumbnail,
    webp_of_this_size,
    write,
)
from anomaly_assets.evaluation.inputs import Key
from anomaly_assets.previews.sheets import file_name
from anomaly_assets.reader.database import Database, explained
from anomaly_assets.reader.open import category_samples

MOST_MISSES = 12
MOST_ALARMS = 6
"""Anomalous images with the lowest scores, and good images with the highest, on the sheet of a category."""

_DRAWING = 1
"""Version of the drawing code. Raise it when sheets look different: those on disk are then redrawn."""

_NOTE = "drawn.json"
_SIDE = (WIDTH - 4 * MARGIN) // 3
_CAPTION = 18
_TITLE = 44


@dataclass(frozen=True)
class ScoreSheets:
    """Sheets of all categories.

    Attributes:
        files: Map of category and recipe to the file of its sheet.
        drawn: Number of sheets that were drawn now; the others were up to date.
    """

    files: Mapping[Key, Path]
    drawn: int


@dataclass(frozen=True)
class _Scored:
    """Image on a sheet.

    Attributes:
        image_id: The image.
        label: Its label when it was scored.
        score: Its score.
        above_threshold: Whether that is above the threshold; None without one.
        heat: float32 height x width, the map in scores.
    """

    image_id: str
    label: str
    score: float
    above_threshold: bool | None
    heat: np.ndarray[Any, Any]


def current_score_sheets(database: Database, folder: Path) -> ScoreSheets:
    """Draw the sheets whose results have changed, remove those of categories that are gone, return all.

    Args:
        database: The published database.
        folder: Folder of the sheets.
    """
    with explained(database.location), database.unchanged() as opened, opened.cursor() as cursor:
        try:
            found = cursor.execute(_SHEETS).fetchall()
        except duckdb.CatalogException:  # published by an earlier release
            return ScoreSheets({}, 0)
        return _current(database, cursor, folder, found)


def _current(
    database: Database,
    cursor: duckdb.DuckDBPyConnection,
    folder: Path,
    found: list[tuple[Any, ...]],
) -> ScoreSheets:
    wanted = {
        Key(*key): hashlib.sha256(repr((_DRAWING, *inputs)).encode()).hexdigest()
        for *key, inputs in found
    }
    files = {key: folder / _name(key) for key in wanted}
    noted, drawn = _noted(folder / _NOTE), 0
    for key, path in files.items():
        if noted.get(_name(key)) == wanted[key] and path.exists():
            continue
        path.parent.mkdir(parents=True, exist_ok=True)
        write_file(path, as_jpeg(_sheet(database, cursor, key)))
        drawn += 1
    names = {_name(key): digest for key, digest in wanted.items()}
    for gone in noted.keys() - names:
        (folder / gone).unlink(missing_ok=True)
    if noted != names:
        folder.mkdir(parents=True, exist_ok=True)
        write_file(folder / _NOTE, json.dumps(names, indent=1).encode())
    return ScoreSheets(files, drawn)


def small_sheet(path: Path, most_bytes: int) -> bytes | None:
    """Return the upper part of a sheet as WebP within a byte budget; None if no row fits."""
    with Image.open(path) as sheet:
        for rows in (6, 3, 2, 1):
            height = min(sheet.height, _TITLE + rows * (_SIDE + _CAPTION + MARGIN))
            part = sheet.crop((0, 0, sheet.width, height))
            if (content := webp_of_this_size(part, most_bytes)) is not None:
                return content
    return None


def _name(key: Key) -> str:
    return f"{key.source_dataset}/{file_name(key.category)} {key.recipe.replace('/', '-')}.jpg"


def _noted(note: Path) -> dict[str, str]:
    with suppress(OSError, ValueError):
        found = json.loads(note.read_text("utf-8"))
        if isinstance(found, dict):
            return {str(name): str(digest) for name, digest in found.items()}
    return {}


def _sheet(database: Database, cursor: duckdb.DuckDBPyConnection, key: Key) -> Image.Image:
    """Draw the sheet of a category: the anomalous images with the lowest scores, then good ones."""
    scored = [*_scored(cursor, key)]
    row_height = _SIDE + _CAPTION + MARGIN
    sheet = blank(_TITLE + max(1, len(scored)) * row_height)
    write(sheet, (MARGIN, MARGIN), fitted(str(key), WIDTH - 2 * MARGIN, 13), size=13)
    for column, heading in enumerate(("image", "truth", "map of the baseline")):
        left = MARGIN + column * (_SIDE + MARGIN)
        write(sheet, (left, MARGIN + 20), heading, ink=FAINT_INK)
    if not scored:
        write(sheet, (MARGIN, _TITLE), "No test image has a score.", ink=FAINT_INK)
        return sheet
    low, high = _limits(cursor, key)
    pixels = _pixels(database, key, scored)
    for row, one in enumerate(scored):
        top = _TITLE + row * row_height
        image = pixels[one.image_id]
        pictures = (
            thumbnail(Pixels(image.image, None), _SIDE),
            thumbnail(image, _SIDE),
            _overlay(image.image, one.heat, low, high),
        )
        for column, picture in enumerate(pictures):
            sheet.paste(picture, (MARGIN + column * (_SIDE + MARGIN), top))
        ink = {"good": GOOD, "anomalous": ANOMALOUS}.get(one.label, INK)
        place = (MARGIN, top + _SIDE + 3)
        write(sheet, place, fitted(_caption(one), WIDTH - 2 * MARGIN, 11), ink=ink)
    return sheet


def _scored(cursor: duckdb.DuckDBPyConnection, key: Key) -> Iterator[_Scored]:
    limits = {"misses": MOST_MISSES, "alarms": MOST_ALARMS}
    for row in cursor.execute(_WORST, {**key._asdict(), **limits}).fetchall():
        image_id, label, score, above, height, width, low, high, content = row
        levels = np.frombuffer(content, np.uint8).reshape(height, width)
        heat = low + (high - low) * (levels.astype(np.float32) / 255)
        yield _Scored(image_id, label, score, above, heat)


def _limits(cursor: duckdb.DuckDBPyConnection, key: Key) -> tuple[float, float]:
    """Return the scores of the coldest and of the hottest colour: the same on the whole sheet."""
    [(low, high)] = cursor.execute(_SCALE, key._asdict()).fetchall()
    return low, max(high, low + 1e-6)


def _pixels(database: Database, key: Key, scored: list[_Scored]) -> dict[str, Pixels]:
    with category_samples(database, *key) as samples:
        batch = samples.take([one.image_id for one in scored])
    return {
        image_id: Pixels(
            batch.images[at], batch.masks[at] if batch.mask_from_file[at] else None
        ).within(_SIDE)
        for at, image_id in enumerate(batch.image_ids)
    }


def _overlay(image: UInt8Array, heat: np.ndarray[Any, Any], low: float, high: float) -> Image.Image:
    """Return the grey image, with colours from yellow to red where the map is above the coldest score."""
    base = thumbnail(Pixels(image, None), _SIDE).convert("L").convert("RGB")
    scaled = np.clip((heat - low) / (high - low), 0, 1).astype(np.float32)
    grown = Image.fromarray(scaled).resize((_SIDE, _SIDE), Image.Resampling.BILINEAR)
    strength = np.asarray(grown)[:, :, None]
    colour = np.concatenate(
        [np.full_like(strength, 255), 220 * (1 - strength), np.zeros_like(strength)], axis=2
    )
    mixed = np.asarray(base) * (1 - 0.7 * strength) + colour * 0.7 * strength
    return Image.fromarray(mixed.astype(np.uint8))


def _caption(one: _Scored) -> str:
    said = {
        ("anomalous", False): "missed",
        ("anomalous", True): "found",
        ("good", True): "false alarm",
    }.get((one.label, bool(one.above_threshold)), "not above the threshold")
    verdict = "" if one.above_threshold is None else f", {said}"
    path = shown(one.image_id.partition("/")[2])
    return f"{one.label}{verdict}, score {one.score:.3g}: {path}"


_SHEETS = """
SELECT source_dataset, category, recipe, inputs
FROM evaluations
WHERE (source_dataset, category, recipe) IN (SELECT (source_dataset, category, recipe) FROM baseline_maps)
ORDER BY ALL
"""

# Only images that still have the content that was scored.
_WORST = """
SELECT image_id, label, score, above_threshold, height, width, low, high, map
FROM (
    SELECT
        scores.*,
        row_number() OVER (
            PARTITION BY label ORDER BY CASE WHEN label = 'anomalous' THEN score ELSE -score END, image_id
        ) AS place
    FROM baseline_scores AS scores
    JOIN (SELECT image_id, content_sha256 FROM samples_without_tensors) AS samples
        USING (image_id, content_sha256)
    WHERE source_dataset = $source_dataset AND category = $category AND recipe = $recipe AND role = 'test'
) AS scores
JOIN baseline_maps USING (image_id, recipe)
WHERE place <= CASE WHEN label = 'anomalous' THEN $misses WHEN label = 'good' THEN $alarms ELSE 0 END
ORDER BY label, place
"""

_SCALE = """
SELECT
    coalesce(median(high) FILTER (label = 'good'), min(low)), coalesce(max(high), 1)
FROM baseline_maps
JOIN (SELECT image_id, recipe, label FROM baseline_scores) USING (image_id, recipe)
WHERE source_dataset = $source_dataset AND category = $category AND recipe = $recipe
"""
