"""Refresh in a separate process: `python -m anomaly_assets_tests.warehouse.lake.refresher JOB [ROWS]`.

It prints one line of JSON: the publication, or the error. ROWS is the number of tensors per
transaction.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

PROJECT_ROOT = Path(__file__).parents[3]


@dataclass
class Refresher:
    """A process that refreshes."""

    process: subprocess.Popen[str]

    def result(self) -> dict[str, Any]:
        """Return its output after it has ended."""
        printed, errors = self.process.communicate(timeout=300)
        assert printed, errors[-3000:]
        return json.loads(printed.splitlines()[-1])

    def kill(self) -> None:
        """Kill it like `kill -9`: nothing is cleaned up."""
        self.process.kill()
        self.process.communicate()


def refresher(job: str, *, rows: int | None = None, **variables: str) -> Refresher:
    """Start a refresh."""
    arguments = [] if rows is None else [str(rows)]
    return Refresher(
        subprocess.Popen(
            [sys.executable, "-m", __name__, job, *arguments],
            cwd=PROJECT_ROOT,
            env={**os.environ, **variables},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
    )


def main() -> None:
    """Run the job and print its result."""
    from anomaly_assets.decoding import open as compute
    from anomaly_assets.warehouse.file import duckdb_settings as instance
    from anomaly_assets_tests.assets.runs import run_job

    if len(sys.argv) > 2:
        instance.ROW_GROUP_SIZE = int(sys.argv[2])
        compute.BATCH_IMAGES = 1
    run = run_job(sys.argv[1])
    published = run.materialized.get("published_database", {})
    told = {
        "success": run.success,
        "failures": run.failures,
        "published": {
            name: published.get(name) for name in ("snapshot_id", "written", "lake_version")
        },
    }
    print(json.dumps(told))


if __name__ == "__main__":
    main()
