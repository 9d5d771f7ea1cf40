"""Turn what an annotation tool returned into corrections."""

from __future__ import annotations

import getpass
import sys
from datetime import datetime, timezone
from pathlib import Path

import click

from anomaly_assets.cli.running import (
    UsageError,
    begin_work,
    examples,
    expected,
    not_empty,
    warn_of_unknown_variables,
)
from anomaly_assets.datasets.names import counted
from anomaly_assets.settings import Settings


@click.group()
def command() -> None:
    """Review and add corrections of labels and masks."""


@command.command(
    "import",
    epilog=examples(
        "anomaly-assets corrections import project-1.json --export export/review",
        "anomaly-assets corrections import project-1.json --export export/review --write",
        "anomaly-assets corrections import annotations.json --export export/coco --by ana",
    ),
)
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@click.option(
    "--export",
    "folder",
    type=click.Path(path_type=Path, file_okay=False),
    help="Folder of the export that the tool got; by default the folder of FILE.",
    metavar="DIR",
)
@click.option(
    "--corrections",
    "target",
    callback=not_empty,
    metavar="CSV",
    help="File that gets the corrections (ANOMALY_CORRECTIONS, else corrections.csv).",
)
@click.option("--by", metavar="NAME", help="Author, if the file names none (your login name).")
@click.option("--reason", metavar="TEXT", help="Reason, if the annotator gave none.")
@click.option("--write", is_flag=True, help="Write the corrections; without it, print them only.")
def import_file(
    file: Path,
    folder: Path | None,
    target: str | None,
    by: str | None,
    reason: str | None,
    write: bool,
) -> int:
    """Compare FILE with the export that an annotation tool got, and print the differences as corrections.

    FILE is a JSON export of Label Studio, or a COCO file. The output is a diff of the file of corrections.
    With --write, the corrections are added to it, and corrected masks are written as PNG files beside it.
    """
    from anomaly_assets.export.annotation.corrections_file import edits
    from anomaly_assets.export.annotation.returned import returned

    begin_work()
    warn_of_unknown_variables()
    path, others = _files(target)
    with expected(OSError):
        found = returned(
            file,
            folder or file.parent,
            by=by or getpass.getuser(),
            at=datetime.now(timezone.utc).isoformat(timespec="seconds"),
            reason=reason or f"annotated in {file.name}",
        )
        changed = edits(path, found.lines, others)
        if write:
            for name, content in found.masks.items():
                (path.parent / name).parent.mkdir(parents=True, exist_ok=True)
                (path.parent / name).write_bytes(content)
            for edit in changed:
                edit.write()
    for edit in changed:
        print(edit.diff(), end="")
    for problem in found.problems:
        print(f"warning: {problem}", file=sys.stderr)
    print(_sentence(len(found.lines), len(found.masks), found.images, bool(changed), write, path))
    if found.lines and Settings.from_environment().corrections is None:
        print(
            f"ANOMALY_CORRECTIONS is not set: set it to {path}, or no run reads these corrections."
        )
    return 0


def _files(target: str | None) -> tuple[Path, list[Path]]:
    """Return the file that gets the corrections, and all files that are in use."""
    place = Settings.from_environment().corrections
    if place is None or not place.is_dir():
        return Path(target or place or "corrections.csv"), []
    if target is None:
        raise UsageError(
            f"ANOMALY_CORRECTIONS names the folder {place}. Name a file in it: --corrections "
            f"{place / 'annotated.csv'}"
        )
    from anomaly_assets.curation.correction_files import files_in

    return Path(target), files_in(place)


def _sentence(
    lines: int, masks: int, images: int, has_changed: bool, written: bool, path: Path
) -> str:
    numbers = (
        f"{counted(images, 'annotated image')}, {counted(lines, 'correction')}, {masks:,} of masks"
    )
    if not lines:
        return f"{numbers}: nothing differs from the export"
    if not has_changed:
        return f"{numbers}: {path} has all of them already"
    return f"{numbers}: written to {path}" if written else f"{numbers}; --write adds them to {path}"
