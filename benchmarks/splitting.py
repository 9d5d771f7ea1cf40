"""Measure split assignments: seconds for 5 folds of 21,454 images, and what moves when images arrive.

    python -m benchmarks.splitting

The warehouse has the rows of a catalogue and of facts, and no pixels. After the first assignment, a tenth
of the images is added, a third of those as near duplicates of assigned images, and 2 % are relabelled.
"""

from __future__ import annotations

import argparse
import hashlib
import random
import tempfile
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from resource import RUSAGE_SELF, getrusage
from time import perf_counter
from typing import Any

import duckdb
import pyarrow as pa

from anomaly_assets.arguments import at_least
from anomaly_assets.splitting.plan import Plan
from anomaly_assets.splitting.update import Updated, update
from anomaly_assets.tables.ddl import LABEL_VIEWS, ensure_tables, refresh
from anomaly_assets.tables.registry import CATALOGUE_TABLES
from anomaly_assets_tests.splitting.near import add_near_duplicates

IMAGES = 21_454
"""Images of MVTec AD and DAGM 2007."""

PLANS = {
    "hash": Plan(val=0.2, folds=5, taken=("train", "test")),
    "--by category,label": Plan(
        val=0.2, folds=5, by=("category", "label"), taken=("train", "test")
    ),
    "--group filename": Plan(val=0.2, folds=5, group="filename", taken=("train", "test")),
}
_CATEGORIES = 25
_GROUP_IMAGES = 3
_SOURCE_DATASET = "mvtec_ad"


def main() -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.splitting", description=__doc__)
    parser.add_argument("--images", type=at_least(100), default=IMAGES, help="number of images")
    options = parser.parse_args()
    for name, plan in PLANS.items():
        result = measured(plan, options.images)
        print(f"{name:20} " + ", ".join(f"{key} {value}" for key, value in result.items()))


def measured(plan: Plan, images: int) -> dict[str, Any]:
    """Return seconds and counts of one plan; processor seconds are those of all threads."""
    with tempfile.TemporaryDirectory(prefix="anomaly-splits-") as work, warehouse() as connection:
        add_images(connection, range(images))
        first, wall, processor = _timed(connection, Path(work), plan)
        before = _folds(connection)
        newcomers = range(images, images + images // 10)
        near = add_newcomers(connection, newcomers, images)
        relabel(connection, images // 50)
        second, later_wall, _ = _timed(connection, Path(work), plan)
        after = _folds(connection)
        bridges = {
            frozenset((bridge.image_id, bridge.other_id))
            for bridge in (*first.bridges, *second.bridges)
        }
        return {
            "images": len(before),
            "seconds": round(wall, 2),
            "processor seconds": round(processor, 2),
            "seconds with newcomers": round(later_wall, 2),
            "moved": sum(after[image] != fold for image, fold in before.items()),
            "near duplicates parted": sum(
                after[one] != after[other] and frozenset((one, other)) not in bridges
                for one, other in near
            ),
            "groups parted": _parted(connection, after) if plan.group else 0,
            "bridges": len(bridges),
        }


@contextmanager
def warehouse() -> Iterator[duckdb.DuckDBPyConnection]:
    """Open a warehouse in memory with the tables of a catalogue and of facts."""
    columns = CATALOGUE_TABLES["images"].columns
    described = ", ".join(f"{column.name} {column.type}" for column in columns)
    with duckdb.connect() as connection:
        ensure_tables(connection)
        connection.execute(f"CREATE SCHEMA {_SOURCE_DATASET}")
        connection.execute(f"CREATE TABLE {_SOURCE_DATASET}.images ({described})")
        ensure_tables(connection)
        refresh(connection, *LABEL_VIEWS, "splits")
        yield connection


def add_images(connection: duckdb.DuckDBPyConnection, numbers: Sequence[int]) -> None:
    """Add images to the catalogue and to the facts; three of one category have the same filename."""
    ids = [_id(number) for number in numbers]
    rows = pa.table(
        {
            "image_id": ids,
            "category": [f"c{number % _CATEGORIES}" for number in numbers],
            "split": ["test" if number % 4 == 0 else "train" for number in numbers],
            "filename": [_filename(number) for number in numbers],
            "label_index": [int(number % 12 == 0) for number in numbers],
            "content_sha256": [hashlib.sha256(name.encode()).hexdigest() for name in ids],
        }
    )
    connection.register("added", rows)
    connection.execute(
        f"""
        INSERT INTO {_SOURCE_DATASET}.images BY NAME
        SELECT image_id, '{_SOURCE_DATASET}' AS source_dataset, category, split, filename, label_index,
            label_index AS path_label_index, 'path' AS label_source
        FROM added
        """  # noqa: S608
    )
    connection.execute(
        "INSERT INTO facts BY NAME SELECT image_id, content_sha256, '1' AS file_version FROM added"
    )
    connection.unregister("added")


def add_newcomers(
    connection: duckdb.DuckDBPyConnection, numbers: Sequence[int], known: int
) -> list[tuple[str, str]]:
    """Add images, every third of them as a near duplicate of a known image; return the pairs."""
    add_images(connection, numbers)
    chosen = random.Random(0)
    pairs = [(_id(chosen.randrange(known)), _id(number)) for number in numbers[::3]]
    add_near_duplicates(connection, ((*pair, 0.01) for pair in pairs))
    return pairs


def relabel(connection: duckdb.DuckDBPyConnection, count: int) -> None:
    """Give a number of images the other label."""
    connection.execute(
        f"UPDATE {_SOURCE_DATASET}.images SET path_label_index = 1 - path_label_index WHERE image_id IN "  # noqa: S608
        f"(SELECT image_id FROM {_SOURCE_DATASET}.images ORDER BY hash(image_id) LIMIT ?)",
        [count],
    )


def _timed(
    connection: duckdb.DuckDBPyConnection, folder: Path, plan: Plan
) -> tuple[Updated, float, float]:
    start, used = perf_counter(), getrusage(RUSAGE_SELF)
    made = update(connection, folder, "v1", plan, makes_file=True)
    wall, now = perf_counter() - start, getrusage(RUSAGE_SELF)
    return made, wall, now.ru_utime + now.ru_stime - used.ru_utime - used.ru_stime


def _folds(connection: duckdb.DuckDBPyConnection) -> dict[str, str]:
    return dict(connection.execute("SELECT image_id, fold FROM splits").fetchall())


def _parted(connection: duckdb.DuckDBPyConnection, folds: Mapping[str, str]) -> int:
    """Return the number of groups with images in two folds."""
    groups: dict[str, set[str]] = defaultdict(set)
    found = connection.execute("SELECT filename, image_id FROM effective_images").fetchall()
    for filename, image_id in found:
        groups[filename].add(folds[image_id])
    return sum(len(folds) > 1 for folds in groups.values())


def _filename(number: int) -> str:
    return f"c{number % _CATEGORIES}-{number // _CATEGORIES // _GROUP_IMAGES}.png"


def _id(number: int) -> str:
    return f"{_SOURCE_DATASET}/c{number % _CATEGORIES}/{number:06}.png"


if __name__ == "__main__":
    main()
