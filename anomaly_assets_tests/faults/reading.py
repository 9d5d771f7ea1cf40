"""Read the published database in a separate process until it is stopped.

It prints a line of JSON each time: the digest of the content, or the error.
"""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path

from anomaly_assets_tests.faults.content import content_of, opened


def read(database: Path) -> dict[str, object]:
    """Read everything twice through one connection; both reads must see the same content."""
    try:
        with opened(database) as connection:
            first = content_of(connection)
            time.sleep(0.05)
            second = content_of(connection)
    except Exception as error:
        return {"error": f"{type(error).__name__}: {error}"}
    if first.digest != second.digest:
        return {"error": f"changed below a reader: {second.differences(first)}"}
    return {"digest": first.digest, "rows": first.rows, "queries": 2 * len(first.tables)}


def main(database: Path, stop: Path) -> None:
    """Read in a loop until `stop` exists or the parent ends."""
    parent = os.getppid()
    while not stop.exists() and os.getppid() == parent:
        if database.exists():
            started = time.monotonic()
            print(json.dumps(read(database)), flush=True)
            # Read half of the time at most, because the runs need the processors too.
            time.sleep(time.monotonic() - started)
        else:
            time.sleep(0.02)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
