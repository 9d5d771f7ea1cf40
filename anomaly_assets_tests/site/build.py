"""Building the site, as `make docs` does."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path


def build(project: Path, site: Path) -> subprocess.CompletedProcess[str]:
    """Build the site of a project into a folder; the caller looks at how it went."""
    return subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(site)],
        cwd=project,
        env={**os.environ, "NO_MKDOCS_2_WARNING": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
