"""Start servers as child processes: free ports on loopback, a separate folder, stopped by process id."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

HOST = "127.0.0.1"

NPM_FOLDER = Path(__file__).parents[2] / ".venv" / "stores" / "node_modules" / ".bin"
"""Folder into which `make stores` installs npm packages."""

_START_SECONDS = 60.0


class NotInstalledError(RuntimeError):
    """A required server is not installed; the message describes how to install it."""


def installed(program: str, *folders: Path) -> str:
    """Return the path of a program: in one of the folders, beside this Python, or on the PATH.

    Raises:
        NotInstalledError: The program is in none of these places.
    """
    places = [*map(str, folders), str(Path(sys.executable).parent), os.environ.get("PATH", "")]
    found = shutil.which(program, path=os.pathsep.join([*places, "/usr/sbin"]))
    if found is None:
        raise NotInstalledError(f"{program} is not installed: make stores")
    return found


def free_ports(count: int) -> list[int]:
    """Return unused ports below the range that the system gives to clients.

    Processes of one test run use different ranges, because a free port is opened only later.
    """
    ports: list[int] = []
    process = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
    candidate = 20_000 + process % 4 * 2_500 + os.getpid() * 37 % 2_000
    while len(ports) < count:
        candidate += 1
        with socket.socket() as probe:
            if probe.connect_ex((HOST, candidate)) != 0:
                ports.append(candidate)
    return ports


@contextmanager
def temporary_folder() -> Iterator[Path]:
    """Create a folder with a short path, because the paths of Unix sockets may have 107 bytes at most."""
    folder = Path(tempfile.mkdtemp(prefix="store-"))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def running(
    command: Sequence[str],
    answers: Callable[[], bool],
    folder: Path,
    environment: Mapping[str, str] | None = None,
) -> Iterator[None]:
    """Run a server until the block ends.

    Args:
        command: Program and arguments; the program must stay in the foreground.
        answers: Returns whether the server is ready; called repeatedly.
        folder: Its working folder, and home of `server.log`.
        environment: Variables beside those it needs to run at all.
    """
    log = folder / "server.log"
    kept = {name: os.environ[name] for name in ("PATH", "LANG", "TMPDIR") if name in os.environ}
    with log.open("wb") as output:
        process = subprocess.Popen(
            command,
            cwd=folder,
            env={**kept, "HOME": str(folder), **(environment or {})},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    try:
        deadline = time.monotonic() + _START_SECONDS
        while not answers():
            if process.poll() is not None or time.monotonic() > deadline:
                end = log.read_text("utf-8", "replace")[-2000:]
                raise RuntimeError(f"{command[0]} did not start:\n{end}")
            time.sleep(0.05)
        yield
    finally:
        process.kill()  # nothing is worth saving, and SeaweedFS was seen to ignore a request
        process.wait()


def status_of(address: str) -> int | None:
    """Return the status with which a server answers a GET; None if it does not answer."""
    try:
        with urllib.request.urlopen(address, timeout=1) as response:
            return int(response.status)
    except urllib.error.HTTPError as error:
        return error.code
    except OSError:
        return None
