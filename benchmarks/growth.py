"""Measure how time and memory grow with the number of images: `make bench-growth`.

Pictures have 16 x 16 pixels, so that everything but decoding is measured. Each figure is measured in a
process of its own. The exponent is that of the processor time between the last two sizes: 1 is linear.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

# Set before dlt is imported.
os.environ["RUNTIME__DLTHUB_TELEMETRY"] = "false"

from anomaly_assets.export import FORMATS
from anomaly_assets.recipes import Recipe
from anomaly_assets.tables import checks
from anomaly_assets.tables.ddl import refresh
from anomaly_assets.warehouse.content import content_id
from anomaly_assets.warehouse.file.warehouse import FileWarehouse
from benchmarks.chart import write_between
from benchmarks.loading import RECIPE as COMMON
from benchmarks.tiny import SIDE, build_tiny_tree, change
from benchmarks.trees import PROJECT

PAGE = PROJECT / "docs" / "scale.md"
DIGESTED = 1_000_000
MOST_EXPONENT = 1.0
MOST_PEAK_RATIO = 1.3
MOST_DIGEST_MEGABYTES = 700

RECIPE = replace(COMMON, height=SIDE, width=SIDE)

RUNS = ("first load", "unchanged refresh", "one changed file")
"""Complete runs of the command, in this order."""


class Measured(NamedTuple):
    """Processor time and peak memory of one process."""

    seconds: float
    megabytes: float


def main() -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.growth", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="small trees, stores nothing")
    parser.add_argument("--folder", type=Path, help="scratch folder, which is deleted")
    parser.add_argument("--figure", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.figure:
        print(json.dumps({"seconds": _figure(options.figure, options.folder)}))
        return
    sizes, digested = ([500, 2_000], 20_000) if options.quick else ([20_000, 200_000], DIGESTED)
    with tempfile.TemporaryDirectory(prefix="anomaly-growth-", dir=options.folder) as folder:
        found: dict[str, list[Measured]] = {}
        for images in sizes:
            size_folder = Path(folder) / str(images)
            for name, measured in _of_size(size_folder, images).items():
                found.setdefault(name, []).append(measured)
            if images != sizes[-1]:
                shutil.rmtree(size_folder)
        multiply = ["-m", "benchmarks.growth", "--figure", f"multiply:{digested}"]
        _measured(
            multiply, size_folder, inside=True
        )  # a large parent counts as the peak of its child
        digest = _measured(
            ["-m", "benchmarks.growth", "--figure", "digest"], size_folder, inside=True
        )
    lines = _table(sizes, found, digested, digest)
    print("", *lines, sep="\n")
    if not options.quick:
        write_between(PAGE, "<!-- growth, written by make bench-growth -->", lines)


def _of_size(folder: Path, images: int) -> dict[str, Measured]:
    """Measure every figure with this number of images."""
    build_tiny_tree(folder / "root", images)
    (folder / "home").mkdir()
    shutil.copy(PROJECT / "dagster.yaml", folder / "home")
    found = {}

    def noted(name: str, arguments: list[str], *, inside: bool = False) -> None:
        found[name] = _measured(arguments, folder, inside=inside)
        print(
            f"{images:>9,} {name:20} {found[name].seconds:8.2f} s {found[name].megabytes:6.0f} MB",
            flush=True,
        )

    for name in RUNS:
        if name == "one changed file":
            change(folder / "root")
        noted(name, ["-m", "anomaly_assets", "materialize"])
    for name in _FIGURES:
        if name != "digest":
            noted(name, ["-m", "benchmarks.growth", "--figure", name], inside=True)
    return found


def _measured(arguments: Sequence[str], folder: Path, *, inside: bool) -> Measured:
    """Run Python in a process of its own; with `inside` it measures its time itself, without imports."""
    output = folder / "output.txt"
    environment = {
        **os.environ,
        "MVTEC_AD_ROOT": str(folder / "root"),
        "DAGM_2007_ROOT": "",
        "ANOMALY_IMAGE_SIZE": str(SIDE),
        "ANOMALY_WAREHOUSE": str(folder / "warehouse.duckdb"),
        "ANOMALY_DATABASE": str(folder / "anomaly.duckdb"),
        "DAGSTER_HOME": str(folder / "home"),
    }
    command = [sys.executable, *arguments, *(["--folder", str(folder)] if inside else [])]
    to_output = [
        (os.POSIX_SPAWN_OPEN, 1, str(output), os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600),
        (os.POSIX_SPAWN_DUP2, 1, 2),
    ]
    process = os.posix_spawn(command[0], command, environment, file_actions=to_output)
    _, status, used = os.wait4(process, 0)
    if status:
        raise RuntimeError(output.read_text("utf-8"))
    seconds = used.ru_utime + used.ru_stime
    if inside:
        seconds = json.loads(output.read_text("utf-8").splitlines()[-1])["seconds"]
    return Measured(seconds, used.ru_maxrss / 1024)


def _figure(name: str, folder: Path) -> float:
    """Return the processor time of one figure in this process; `multiply:` prepares the digest."""
    if name.startswith("multiply:"):
        _multiply(folder, int(name.partition(":")[2]))
        return 0.0
    prepared = _FIGURES[name](folder)
    started = time.process_time()
    prepared()
    return time.process_time() - started


def _publishing(folder: Path) -> Callable[[], object]:
    target = folder / "again.duckdb"

    def publish() -> None:
        warehouse = FileWarehouse(folder / "warehouse.duckdb")
        warehouse.changes_to_publish(target)
        warehouse.publish(target, RECIPE)
        target.unlink()

    return publish


def _export(name: str) -> Callable[[Path], Callable[[], object]]:
    def prepared(folder: Path) -> Callable[[], object]:
        def export() -> None:
            FORMATS[name](folder / "export", folder / "anomaly.duckdb")

        shutil.rmtree(folder / "export", ignore_errors=True)
        return export

    return prepared


def _affected(folder: Path) -> Callable[[], object]:
    """Make every check on images fail for all images, in a copy."""
    copy = folder / "failing.duckdb"
    shutil.copyfile(folder / "warehouse.duckdb", copy)
    warehouse = FileWarehouse(copy)
    with warehouse.connect() as connection:
        for statement in _FAILING:
            connection.execute(statement)
        refresh(connection, "duplicate_images")

    def check() -> None:
        groups = (
            *(checks.IMAGES_CHECKS, checks.TENSOR_CHECKS, checks.LABEL_CHECKS),
            *(checks.REJECTED_CHECKS, checks.DUPLICATE_CHECKS, checks.STRAY_CHECKS),
        )
        with warehouse.connect() as connection:
            for group in groups:
                found = checks.evaluate(
                    connection, *group, source_dataset="mvtec_ad", spec=Recipe(8, 8, 3)
                )
                assert all(len(each.shown) <= checks.MOST_SHOWN for _, each in found)
        copy.unlink()

    return check


_FAILING = (
    "UPDATE facts SET mask_values = 3, mask_area_fraction = 1, mask_width = 1, file_format = 'JPEG'",
    "UPDATE mvtec_ad.images SET file_version = 'x', table_label_index = 1 - label_index",
    """
    UPDATE image_tensors
    SET content_sha256 = md5((hash(image_id) % (SELECT count(*) // 4 FROM facts))::VARCHAR)
    """,
    """
    INSERT INTO rejected_images BY NAME
    SELECT image_id, relative_path, file_version, 'any' AS transform, 'damaged_image' AS reason,
        now() AS rejected_at
    FROM mvtec_ad.images
    """,
    """
    INSERT INTO mvtec_ad.stray_files
    SELECT relative_path || '.x', 'unrecognised_path', NULL, '1' FROM mvtec_ad.images
    UNION ALL
    SELECT relative_path || '.y', 'orphan_mask', NULL, '1' FROM mvtec_ad.images
    """,
)


def _digest(folder: Path) -> Callable[[], object]:
    def digest() -> None:
        with FileWarehouse(folder / "warehouse.duckdb").connect() as connection:
            content_id(connection)

    return digest


_FIGURES = {
    "publishing": _publishing,
    **{f"export: {name}": _export(name) for name in FORMATS},
    "affected files": _affected,
    "digest": _digest,
}


def _multiply(folder: Path, rows: int) -> None:
    """Add copies of all images under other names, up to this number of rows."""
    with FileWarehouse(folder / "warehouse.duckdb").connect() as connection:
        [(images,)] = connection.execute("SELECT count(*) FROM facts").fetchall()
        for table, columns in (
            ("mvtec_ad.images", ("image_id", "relative_path")),
            *((name, ("image_id",)) for name in ("image_tensors", "facts")),
        ):
            changed = ", ".join(f"{name} || '_' || copy AS {name}" for name in columns)
            connection.execute(
                f"INSERT INTO {table} SELECT stored.* REPLACE ({changed}) "  # noqa: S608
                f"FROM {table} AS stored, range(1, {rows // images}) AS copies(copy)"
            )


def _table(
    sizes: Sequence[int], found: dict[str, list[Measured]], digested: int, digest: Measured
) -> list[str]:
    """Return the rows of the table, in Markdown."""
    few, many = sizes[-2:]
    lines = [
        f"| | {few:,} images | {many:,} images | exponent (≤ {MOST_EXPONENT:g}) | peak | "
        f"ratio of peaks (≤ {MOST_PEAK_RATIO:g}) |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for name, measured in found.items():
        before, after = measured[-2:]
        exponent = math.log(max(after.seconds, 1e-3) / max(before.seconds, 1e-3)) / math.log(
            many / few
        )
        ratio = after.megabytes / before.megabytes
        lines.append(
            f"| {name} | {before.seconds:.2f} s | {after.seconds:.2f} s | "
            f"{_judged(exponent, MOST_EXPONENT)} | {before.megabytes:.0f} and {after.megabytes:.0f} MB | "
            f"{_judged(ratio, MOST_PEAK_RATIO)} |"
        )
    peak = _judged(digest.megabytes, MOST_DIGEST_MEGABYTES, ".0f")
    lines.append(
        f"| digest of {digested:,} images | | {digest.seconds:.2f} s | | "
        f"{peak} MB (≤ {MOST_DIGEST_MEGABYTES}) | |"
    )
    return lines


def _judged(value: float, goal: float, form: str = ".2f") -> str:
    return f"{value:{form}}{'' if value <= goal else ', missed'}"


if __name__ == "__main__":
    main()
