"""Build the site, like `make docs`."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path


def build(project: Path, site: Path) -> subprocess.CompletedProcess[str]:
    """Build the site of a project into a folder; the caller checks the result."""
    return subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(site)],
        cwd=project,
        env={**os.environ, "NO_MKDOCS_2_WARNING": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
