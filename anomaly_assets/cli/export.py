"""Export samples of the published database for other tools."""

from __future__ import annotations

import signal
import sys
from types import FrameType
from typing import TYPE_CHECKING, Any

import click

from anomaly_assets.cli.running import (
    CommandError,
    begin_work,
    examples,
    expected,
    interrupted,
    not_empty,
    old_name,
    warn_of_unknown_variables,
)
from anomaly_assets.datasets import SOURCE_DATASETS
from anomaly_assets.datasets.names import counted

if TYPE_CHECKING:
    from anomaly_assets.export import Export

_HOW_TO_INCLUDE = "Add --include-unknown to export them."
_FORMATS = ("parquet", "anomalib", "mvtec", "imagefolder", "label-studio", "coco")


@click.command(
    epilog=examples(
        "anomaly-assets export --format parquet --out export/parquet",
        "anomaly-assets export --format anomalib --out export/bolt --category bolt",
        "anomaly-assets export --format mvtec --out export/mvtec --source-dataset mvtec_ad",
        "anomaly-assets export --format imagefolder --out export/hf --where 'mask_area_fraction > 0.01'",
        "anomaly-assets export --format label-studio --out export/review --check labels_agree --originals",
    )
)
@click.option(
    "--format", "file_format", required=True, type=click.Choice(_FORMATS), help="Format to write."
)
@click.option("--out", required=True, callback=not_empty, metavar="DIR", help="Folder to create.")
@click.option(
    "--database",
    callback=not_empty,
    metavar="FILE",
    help="The published database (data/anomaly.duckdb).",
)
@click.option(
    "--source-dataset",
    multiple=True,
    metavar="NAME",
    help=f"Only {' or '.join(SOURCE_DATASETS)}; may be repeated.",
)
@click.option(
    "--category", multiple=True, metavar="NAME", help="Only this category; may be repeated."
)
@click.option(
    "--split",
    multiple=True,
    metavar="NAME",
    help="Only this split, such as train; may be repeated.",
)
@click.option(
    "--label",
    multiple=True,
    metavar="NAME",
    help="Only good, anomalous or unknown; may be repeated.",
)
@click.option("--where", metavar="SQL", help="Only samples that match this SQL condition.")
@click.option(
    "--check", metavar="NAME", help="Only images that this check names, such as labels_agree."
)
@click.option("--snapshot", metavar="ID", help="Read this snapshot instead of the newest.")
@click.option(
    "--size",
    type=click.IntRange(1, 4096),
    help="Tensors of this side in pixels; for others, --recipe.",
)
@click.option("--recipe", metavar="NAME", help="Tensors of this recipe, such as 512x512x1.")
@click.option(
    "--originals",
    is_flag=True,
    help="Export the files of the roots in their own size; label-studio and coco only.",
)
@click.option(
    "--assignment", metavar="NAME", help="The folds of this split assignment are the splits."
)
@click.option(
    "--fold", multiple=True, metavar="NAME", help="Only this fold, such as val; may be repeated."
)
@click.option("--include-unknown", is_flag=True, help="Export images without a label too.")
@click.option(
    "--commercial",
    is_flag=True,
    help="Refuse datasets that are not known to allow commercial use.",
)
@click.option("--overwrite", is_flag=True, help="Replace an existing export.")
@click.option("--quiet", is_flag=True, help="Print nothing but errors.")
def command(file_format: str, out: str, quiet: bool, **options: Any) -> int:
    """Export samples of a published database for other tools.

    An export is complete or does not exist; docs/exporting.md describes the files of each format.
    """
    import duckdb

    with expected(ImportError):
        from anomaly_assets.export import FORMATS
        from anomaly_assets.reader.selection import HOW_TO_INCLUDE

    begin_work()
    warn_of_unknown_variables()
    for name in ("source_dataset", "category", "split", "label", "fold"):
        options[name] = list(options[name]) or None
    terminated: list[int] = []

    def terminate(number: int, frame: FrameType | None) -> None:
        print("terminated: nothing was exported", file=sys.stderr)
        terminated.append(128 + number)
        sys.exit(terminated[0])

    before = signal.signal(signal.SIGTERM, terminate)
    try:
        with expected(LookupError, ValueError, OSError, RuntimeError, duckdb.Error):
            made = FORMATS[file_format](out, options.pop("database"), progress=not quiet, **options)
    except CommandError as error:
        if terminated:  # DuckDB raises an error of its own if the signal comes during a query
            return terminated[0]
        in_python = str(error)
        raise CommandError(in_python.replace(HOW_TO_INCLUDE, _HOW_TO_INCLUDE)) from error
    except KeyboardInterrupt:
        return interrupted(f"interrupted: {out} is unchanged")
    finally:
        signal.signal(signal.SIGTERM, before)
    if not quiet:
        print(_sentence(made))
    return 0


def _sentence(made: Export) -> str:
    thing = "tile" if made.are_tiles else "image"
    parts = [
        f"{made.format}: {counted(made.samples, thing)}, {counted(made.masks, 'mask')}, "
        f"{made.file_bytes / 1e6:.1f} MB in "
        f"{made.folder} (snapshot {(made.snapshot_id or '')[:12]})"
    ]
    if made.left_out:
        parts.append(made.left_out_sentence)
    if made.unknown:
        their = "its" if made.unknown == 1 else "their"
        parts.append(
            f"{counted(made.unknown, f'more {thing}')} not exported because {their} label is unknown"
        )
    if made.without_split:
        have = "has" if made.without_split == 1 else "have"
        parts.append(
            f"{counted(made.without_split, thing)} {have} no split: `anomaly-assets split --name v1 --val "
            "0.2` assigns them to folds, and --assignment v1 exports these"
        )
    return "; ".join(parts)


main = old_name(command, "python -m anomaly_assets.export")
