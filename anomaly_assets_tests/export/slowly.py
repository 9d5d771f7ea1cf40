"""Run the command line of exports with a pause after every sample, so that it can be interrupted.

python -m anomaly_assets_tests.export.slowly --format anomalib --out …
"""

from __future__ import annotations

import signal
import sys
import time
from collections.abc import Iterator
from unittest import mock

from anomaly_assets.cli.export import main
from anomaly_assets.export import selection

PAUSE_SECONDS = 0.15

_parts = selection.Source.parts


def _slow_parts(source: selection.Source) -> Iterator[selection.Part]:
    for part in _parts(source):
        yield part
        time.sleep(PAUSE_SECONDS)


if __name__ == "__main__":
    # A process that a shell started in the background ignores the signal, and so do its children.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    with (
        mock.patch.object(selection, "_LARGEST_BATCH", 1),
        mock.patch.object(selection.Source, "parts", _slow_parts),
    ):
        sys.exit(main())
