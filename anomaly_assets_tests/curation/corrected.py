"""Write correction files for a small project, and read what comes of them."""

from __future__ import annotations

import hashlib
from pathlib import Path

from anomaly_assets.curation.correction_files import as_table, read_corrections
from anomaly_assets.tables.corrections import replace_lines
from anomaly_assets.tables.ddl import LABEL_VIEWS, ensure_tables, refresh
from anomaly_assets_tests.warehouse.project import Project

HEADER = "image_id,content_sha256,field,value,reason,by,at"


def correct(project: Project, *lines: str) -> None:
    """Read these lines as a correction file, as a run does after listing the roots."""
    place = project.folder / "corrections.csv"
    place.write_text("\n".join([HEADER, *lines, ""]))
    with project.warehouse.connect() as connection:
        ensure_tables(connection)
        refresh(connection, *LABEL_VIEWS)
        replace_lines(connection, as_table(read_corrections(place)))


def statuses(project: Project) -> list[str]:
    """Return the status of each line, in the order of the file."""
    return project.column("SELECT status FROM corrections ORDER BY file, line")


def details(project: Project) -> list[str]:
    """Return why each line is not applied, in the order of the file."""
    return project.column("SELECT detail FROM corrections ORDER BY file, line")


def sha256(path: Path) -> str:
    """Return the digest of a file, as `content_sha256` has it."""
    return hashlib.sha256(path.read_bytes()).hexdigest()
