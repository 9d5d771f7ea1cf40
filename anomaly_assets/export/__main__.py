"""Command line of exports; see the package."""

from __future__ import annotations

import argparse
import signal
import sys
from types import FrameType

import duckdb

from anomaly_assets.datasets import SOURCE_DATASETS
from anomaly_assets.export import FORMATS, Export, ExportError


def main(arguments: list[str] | None = None) -> int:
    """Run the command and return its exit code."""
    options = _parser().parse_args(arguments)
    before = signal.signal(signal.SIGTERM, _terminate)
    try:
        made = FORMATS[options.format](
            options.out,
            options.database,
            source_dataset=options.source_dataset,
            category=options.category,
            split=options.split,
            label=options.label,
            where=options.where,
            snapshot=options.snapshot,
            overwrite=options.overwrite,
            progress=not options.quiet,
        )
    except KeyboardInterrupt:
        print(f"interrupted: {options.out} is unchanged", file=sys.stderr)
        return 128 + signal.SIGINT
    except (ExportError, LookupError, ValueError, OSError, RuntimeError, duckdb.Error) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    finally:
        signal.signal(signal.SIGTERM, before)
    if not options.quiet:
        print(_sentence(made))
    return 0


def _terminate(number: int, frame: FrameType | None) -> None:
    print("terminated: nothing was exported", file=sys.stderr)
    sys.exit(128 + number)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m anomaly_assets.export",
        description="Export samples of a published database for other tools.",
    )
    parser.add_argument("--format", required=True, choices=FORMATS, help="format to write")
    parser.add_argument("--out", required=True, help="folder to create")
    parser.add_argument("--database", help="the published database (data/anomaly.duckdb)")
    for name, meaning in {
        "source-dataset": " or ".join(SOURCE_DATASETS),
        "category": "a category",
        "split": "train or test",
        "label": "good or anomalous",
    }.items():
        parser.add_argument(
            f"--{name}", action="append", metavar="NAME", help=f"only {meaning}; may be repeated"
        )
    parser.add_argument("--where", metavar="SQL", help="only samples that match this SQL condition")
    parser.add_argument("--snapshot", metavar="ID", help="read this snapshot instead of the newest")
    parser.add_argument("--overwrite", action="store_true", help="replace an existing export")
    parser.add_argument("--quiet", action="store_true", help="print nothing but errors")
    return parser


def _sentence(made: Export) -> str:
    left_out = (
        f", {made.left_out} of them in left_out.parquet because {made.format} does not accept them"
        if made.left_out
        else ""
    )
    return (
        f"{made.format}: {made.samples} images, {made.masks} masks{left_out}, "
        f"{made.file_bytes / 1e6:.1f} MB in {made.folder} (snapshot {(made.snapshot_id or '')[:12]})"
    )


if __name__ == "__main__":
    sys.exit(main())
