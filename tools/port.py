"""Check that a port is free before `make ui` starts: `python -m tools.port 3000`.

`dagster dev` prints the address of the web server first. If the port is in use, only the web server
ends, and the daemon keeps running without it.
"""

from __future__ import annotations

import os
import socket
import sys

HOST = "127.0.0.1"
_MOST = 65535


def obstacle(text: str) -> str | None:
    """Return why a server cannot listen on a port of this machine, with the remedy; None if it can.

    Args:
        text: The port, as given to `make`.
    """
    if not (text.isascii() and text.isdecimal() and 0 < int(text) <= _MOST):
        return f"PORT={text} is not a port. Give a number from 1 to {_MOST}, such as make ui PORT=3001."
    port = int(text)
    other = f"choose another port: make ui PORT={port + 1 if port < _MOST else port - 1}"
    try:
        # With SO_REUSEADDR, as the web server does: connections of a stopped server do not count.
        socket.create_server((HOST, port)).close()
    except PermissionError:
        return f"You have no permission to listen on port {port} of {HOST}: {other}"
    except OSError as error:
        reason = os.strerror(error.errno or 0)
        return (
            f"Port {port} of {HOST} cannot be used ({reason}). If it belongs to another `make ui`, stop "
            "that one with Ctrl-C: two daemons on one Dagster home disturb each other. If it belongs to "
            f"another program, {other}"
        )
    return None


def main() -> int:
    """Print why the port cannot be used, if it cannot, and return the exit code."""
    found = obstacle(sys.argv[1] if len(sys.argv) == 2 else "")
    if found is not None:
        print(found, file=sys.stderr)
    return int(found is not None)


if __name__ == "__main__":
    sys.exit(main())
