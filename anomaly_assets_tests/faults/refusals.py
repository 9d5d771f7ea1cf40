"""Provoke refused runs: exit 1, a message with the run config that helps, and every byte as before."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from anomaly_assets_tests.faults.command import Command, Fault, Workspace
from anomaly_assets_tests.faults.content import LOCK
from anomaly_assets_tests.faults.installed import query
from anomaly_assets_tests.faults.outages import fingerprint

ADOPT = r"published_database\W+config\W(?s:.{0,60}?)adopt\W+true"
"""Pattern for the run config that adopts a file, in YAML or JSON."""


def consent(step: str) -> str:
    """Build a pattern for the run config that accepts a loss, in YAML or JSON."""
    return rf"{step}\W+config\W(?s:.{{0,60}}?)allow_shrink\W+true"


def refused(
    workspace: Workspace,
    *patterns: str,
    select: str = "*",
    config: Mapping[str, Any] | None = None,
    **variables: str,
) -> Command:
    """Run, and check that the run is refused.

    Args:
        workspace: Folder and variables of the run.
        patterns: Regular expressions; the printed output must match each of them.
        select: Selection of assets.
        config: Run config.
        variables: Further environment variables.

    Raises:
        Fault: The run is not refused, does not print a message, or changes a published file.
    """
    before, published = files_beside(workspace.database), described(workspace.database)
    with workspace.start(select, config, **variables) as command:
        code = command.end()
    after = files_beside(workspace.database)
    if code != 1 or after != before:
        changed = sorted(name for name in {*before, *after} if before.get(name) != after.get(name))
        raise Fault(
            f"not refused: exit {code}, changed files: {', '.join(changed) or 'none'}; published "
            f"before: {published}; afterwards: {described(workspace.database)}",
            command.tail(40),
        )
    for pattern in patterns:
        if re.search(pattern, command.output()) is None:
            raise Fault(f"refused, and nothing like {pattern!r} was printed", command.tail(60))
    return command


def files_beside(database: Path) -> dict[str, str | None]:
    """Compute digests of the files in the folder of a published database.

    For a symbolic link it is the name that it points to. Warehouses and locks are left out.
    """
    return {
        path.name: os.readlink(path) if path.is_symlink() else fingerprint(path)
        for path in database.parent.iterdir()
        if not path.name.startswith("warehouse")
        and not LOCK.fullmatch(path.name)
        and (path.is_symlink() or path.is_file())
    }


def described(database: Path) -> str:
    """Describe what a published database holds."""
    if not database.exists():
        return "nothing"
    try:
        rows = query(
            database, "SELECT source_dataset, count(*) FROM samples GROUP BY ALL ORDER BY ALL"
        )
    except Fault:
        return "a file that is no published database"
    return ", ".join(f"{count} samples of {name}" for name, count in rows) or "no sample"
