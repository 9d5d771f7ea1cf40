"""Measure a gallery of as many images as MVTec AD and DAGM 2007 have: time, processor time and size.

    python -m benchmarks.gallery                  # 21,454 images, 5 GB below TMPDIR
    python -m benchmarks.gallery --images 2000

Some images of a tree of the official shape are decoded. Copies of their rows are the others, because only
the number and the size of stored images matter.
"""

from __future__ import annotations

import argparse
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from unittest.mock import patch

import duckdb

from anomaly_assets.arguments import at_least
from anomaly_assets.gallery import build
from anomaly_assets.gallery.build import Gallery, build_gallery
from anomaly_assets.previews.tiles import update_previews
from anomaly_assets.recipes import SIMD, Recipe
from anomaly_assets_tests.warehouse.project import Project
from benchmarks.trees import build_tree, pictures

_WORKERS = 2
_MB = 1e6
_GOALS = {"build_seconds": 90, "unchanged_seconds": 3, "tile_mb": 60, "detail_mb": 250}


def main(arguments: Sequence[str] | None = None) -> int:
    """Print a line per figure; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gallery", description=__doc__)
    parser.add_argument("--images", type=at_least(100), default=21454, help="number of images")
    parser.add_argument("--decoded", type=at_least(100), default=1000, help="number to decode")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as folder:
        database = _published(Path(folder), options.images, min(options.images, options.decoded))
        out = Path(folder) / "gallery"
        made = _measured("build", lambda: _built(out, database))
        for name, size in {
            "tiles": made.tile_bytes,
            "details": made.detail_bytes,
            "index": made.index_bytes,
        }.items():
            print(f"{name:34} {size / _MB:8.1f} MB", flush=True)
        _measured("unchanged", lambda: _built(out, database))
        with patch.object(build, "code_version", lambda: "another"):
            _measured("unchanged, by another release", lambda: _built(out, database))
        _change_a_label(database)
        with patch.object(build, "code_version", lambda: "a third"):
            changed = _measured("one label changed", lambda: _built(out, database))
        print(f"{'packs written for it':34} {changed.tile_packs + changed.detail_packs:8}")
        shutil.rmtree(out)
        _measured("build without details", lambda: _built(out, database, details=False))
    print(f"goals: {_GOALS}")
    return 0


def _built(out: Path, database: Path, *, details: bool = True) -> Gallery:
    return build_gallery(out, str(database), details=details, workers=_WORKERS)


def _measured(name: str, work: Callable[[], Gallery]) -> Gallery:
    started, cpu = time.monotonic(), time.process_time()
    made = work()
    print(
        f"{name:34} {time.monotonic() - started:8.1f} s, {time.process_time() - cpu:6.1f} s of CPU time",
        flush=True,
    )
    return made


def _published(folder: Path, images: int, decoded: int) -> Path:
    """Return a published database with about as many images."""
    tree = build_tree(folder, "tree", pictures(folder), decoded)
    project = Project.at(folder, tree.mvtec_ad.parent)
    project.list_files()
    project.build(Recipe(resize=SIMD))
    project.refresh_all()
    with project.warehouse.connect() as connection:
        connection.execute("DELETE FROM image_previews")  # as in a warehouse of an earlier release
        started, cpu = time.monotonic(), time.process_time()
        update_previews(connection, _WORKERS)
        each = (time.process_time() - cpu) / tree.images * 1e3
        print(
            f"{'previews':34} {time.monotonic() - started:8.1f} s for {tree.images}, {each:.2f} ms of "
            "processor time each",
            flush=True,
        )
    database = folder / "published.duckdb"
    project.warehouse.publish(database, Recipe(resize=SIMD))
    project.warehouse.path.unlink()
    with _written(database) as connection:
        for copy in range(1, round(images / tree.images)):
            for table in (
                "mvtec_ad.images",
                "dagm_2007.images",
                "image_tensors",
                "facts",
                "image_previews",
            ):
                paths = "replace(image_id, '.', $copy || '.') AS image_id"
                if table.endswith(".images"):
                    paths += ", replace(relative_path, '.', $copy || '.') AS relative_path"
                connection.execute(
                    f"INSERT INTO {table} SELECT * REPLACE ({paths}) FROM {table} "  # noqa: S608
                    "WHERE image_id NOT SIMILAR TO '.*-copy[0-9]+\\.[a-zA-Z]+'",
                    {"copy": f"-copy{copy}"},
                )
    return database


@contextmanager
def _written(database: Path) -> Iterator[duckdb.DuckDBPyConnection]:
    with duckdb.connect(config={"threads": 1}) as connection:
        connection.execute(f"ATTACH '{database}' AS published (ROW_GROUP_SIZE 2048)")
        connection.execute("USE published.main")
        yield connection


def _change_a_label(database: Path) -> None:
    with _written(database) as connection:
        connection.execute(
            "UPDATE mvtec_ad.images SET defect_type = 'another' WHERE image_id = "
            "(SELECT min(image_id) FROM mvtec_ad.images WHERE label = 'anomalous')"
        )


if __name__ == "__main__":
    raise SystemExit(main())
