"""Pause the garbage collector of Python while a command imports modules and builds what it keeps."""

import atexit
import gc
import sys
from collections.abc import Iterator
from contextlib import contextmanager


def freeze() -> None:
    """Exempt all present objects from later collections."""
    gc.freeze()
    if sys.version_info >= (3, 14):
        # DuckDB 1.5.5 aborts the process at its end if objects of DuckDB are still frozen.
        atexit.register(gc.unfreeze)


@contextmanager
def uncollected() -> Iterator[None]:
    """Pause the garbage collector, and exempt all objects that exist at the end from later collections.

    Importing Dagster makes hundreds of thousands of objects and hardly any garbage, but the collector
    looks at all of them again and again: a tenth of the processor time of an unchanged refresh.
    """
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        freeze()
        if was_enabled:
            gc.enable()
