"""Start `anomaly-assets`, also in an environment that only reads and has no click.

`info` works there. Every other sub-command prints which package is missing.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit code."""
    try:
        from anomaly_assets.cli.app import main as run
    except ModuleNotFoundError as error:
        if error.name != "click":
            raise
        return _without_click(sys.argv[1:] if arguments is None else list(arguments))
    return run(arguments)


def _without_click(arguments: Sequence[str]) -> int:
    if list(arguments) == ["info"]:
        from anomaly_assets.cli.described import main as info

        return info()
    print(
        "error: anomaly-assets needs click: pip install click. Without it, only anomaly-assets info works.",
        file=sys.stderr,
    )
    return 1
