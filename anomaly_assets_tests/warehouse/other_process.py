"""Start another process: a run that holds the warehouse, or a program that has a database open."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

PROJECT_ROOT = Path(__file__).parents[2]

HOLDS_THE_LOCK = """
import sys
from pathlib import Path
from anomaly_assets.warehouse.file.warehouse import FileWarehouse
with FileWarehouse(Path(sys.argv[1])).locked():
    print("ready", flush=True)
    sys.stdin.readline()
"""
HAS_IT_OPEN = """
import sys, duckdb
connection = duckdb.connect(sys.argv[1], read_only=sys.argv[2] == "read_only")
for statement in sys.argv[3:]:
    connection.execute(statement)
print("ready", flush=True)
for statement in sys.stdin:
    if not statement.strip():
        break
    print(connection.execute(statement).fetchall(), flush=True)
connection.close()
"""


@dataclass(frozen=True)
class OtherProcess:
    """A script that has reported that it is ready, and waits for lines."""

    process: subprocess.Popen[str]

    @property
    def pid(self) -> int:
        return self.process.pid

    def asked(self, query: str) -> str:
        """Return the answer of a process that has a database open."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(f"{query}\n")
        self.process.stdin.flush()
        return self.process.stdout.readline().strip()

    def let_go_after(self, seconds: float) -> None:
        threading.Timer(seconds, self.let_go).start()

    def let_go(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write("\n")
        self.process.stdin.close()

    def kill(self) -> None:
        """Kill it like `kill -9`: nothing is cleaned up."""
        self.process.kill()
        self.process.wait()


@contextmanager
def other_process(script: str, *arguments: str) -> Iterator[OtherProcess]:
    process = subprocess.Popen(
        [sys.executable, "-c", script, *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=PROJECT_ROOT,
    )
    other = OtherProcess(process)
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        yield other
    finally:
        other.kill()
        for pipe in (process.stdin, process.stdout):
            if pipe is not None and not pipe.closed:
                pipe.close()
