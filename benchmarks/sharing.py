"""Measure the figures of docs/sharing.md: file, lake in a folder and lake on S3, side by side.

    python -m benchmarks.sharing --images 4096

Dagster's command loads each place in a separate process; it is then read with the statements suited to
it. The servers run on this machine, so the figures contain no network.
"""

from __future__ import annotations

import argparse
import os
import random
import subprocess
import sys
import tempfile
from collections.abc import Callable
from contextlib import ExitStack, closing
from pathlib import Path

import duckdb

from anomaly_assets.arguments import at_least
from anomaly_assets.warehouse.copying.copy import copy_database
from anomaly_assets.warehouse.lake.connect import connect_lake
from anomaly_assets_tests.stores.s3 import seaweedfs
from anomaly_assets_tests.warehouse.lake.postgres import PASSWORD, postgresql
from benchmarks.bench import seconds
from benchmarks.trees import Tree, build_tree, pictures

STRETCH = 512
"""Number of samples per statement: 100 MB of tensors at the default size."""


def measure(images: int) -> dict[str, dict[str, float]]:
    """Return figures by place and name, in seconds or MB."""
    with ExitStack() as stack:
        work = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="sharing-")))
        server, store = stack.enter_context(postgresql()), stack.enter_context(seaweedfs())
        os.environ.update(store.environment(), PGPASSWORD=PASSWORD)
        store.put("lake/.keep", b"")
        for database in ("folder", "s3", "copy"):
            server.create(database)
        tree = build_tree(work, "tree", pictures(work), images)
        file = work / "anomaly.duckdb"
        places: dict[str, tuple[str, str]] = {
            "file": (str(work / "warehouse.duckdb"), ""),
            "DuckLake, folder": (server.location("folder"), str(work / "lake")),
            "DuckLake, S3": (server.location("s3"), store.location("lake")),
        }
        found = {}
        for name, (location, data) in places.items():
            print(f"{name} …", file=sys.stderr, flush=True)
            found[name] = {
                "first load": _refresh(tree, work, location, data),
                "unchanged refresh": _refresh(tree, work, location, data),
                **_read(file if name == "file" else location),
            }
        found["file"]["size, MB"] = file.stat().st_size / 1e6
        found["DuckLake, folder"]["size, MB"] = _size(work / "lake")
        there, back = server.location("copy"), str(work / "back.duckdb")
        found["DuckLake, folder"]["copied from the file"] = seconds(
            lambda: copy_database(str(file), there, lake_data=str(work / "copy"), log=_quiet)
        )
        found["file"]["copied from the lake"] = seconds(
            lambda: copy_database(there, back, log=_quiet)
        )
        return found


def _refresh(tree: Tree, work: Path, location: str, data: str) -> float:
    home = work / "home"
    home.mkdir(exist_ok=True)
    variables = {
        "ANOMALY_WAREHOUSE": location,
        "ANOMALY_LAKE_DATA": data,
        "ANOMALY_DATABASE": str(work / "anomaly.duckdb"),
        "DAGSTER_HOME": str(home),
    }
    command = [sys.executable, "-m", "dagster", "asset", "materialize"]
    command += ["-m", "anomaly_assets.definitions", "--select", "*"]
    environment = {**os.environ, **tree.environment, **variables}
    return seconds(
        lambda: subprocess.run(command, env=environment, check=True, capture_output=True)
    )


def _read(place: Path | str) -> dict[str, float]:
    with closing(_opened(place)) as connection:
        connection.execute("SET threads = 1")
        ids = [
            image_id
            for (image_id,) in connection.execute(
                "SELECT image_id FROM image_tensors ORDER BY ALL"
            ).fetchall()
        ]
        chosen = random.Random(0).sample(ids, 64)
        marks = ", ".join("?" * len(chosen))

        def epoch() -> None:
            for start in range(0, len(ids), STRETCH):
                stretch = ids[start : start + STRETCH]
                bounds = [stretch[0], stretch[-1]]
                rows = connection.execute(_STRETCH_OF_IDS, bounds).to_arrow_table().num_rows
                assert rows == len(stretch)

        def some() -> None:
            query = f"SELECT image_id, image_tensor FROM image_tensors WHERE image_id IN ({marks})"  # noqa: S608
            assert connection.execute(query, chosen).to_arrow_table().num_rows == len(chosen)

        return {"epoch": _best(epoch), "64 random images": _best(some)}


_STRETCH_OF_IDS = """
SELECT image_id, image_tensor, mask_tensor FROM image_tensors WHERE image_id BETWEEN ? AND ?
"""


def _opened(place: Path | str) -> duckdb.DuckDBPyConnection:
    if isinstance(place, str):
        return connect_lake(place)
    return duckdb.connect(str(place), read_only=True)


def _best(call: Callable[[], object]) -> float:
    return min(seconds(call) for _ in range(3))


def _size(folder: Path) -> float:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) / 1e6


def _quiet(_: str) -> None:
    """Discard a log message."""


def main() -> None:
    """Measure and print a table in Markdown."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.sharing", description=__doc__)
    parser.add_argument("--images", type=at_least(1), default=4096)
    found = measure(parser.parse_args().images)
    figures = list(dict.fromkeys(figure for each in found.values() for figure in each))
    print(f"| | {' | '.join(found)} |\n| --- |{' --- |' * len(found)}")
    for figure in figures:
        cells = [f"{each[figure]:.3g}" if figure in each else "" for each in found.values()]
        print(f"| {figure} | {' | '.join(cells)} |")


if __name__ == "__main__":
    main()
