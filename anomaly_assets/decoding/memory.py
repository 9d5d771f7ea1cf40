"""Memory that decoding frees and wants again a moment later."""

from __future__ import annotations

import ctypes
from functools import cache

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3
_KEPT_BYTES = 96 * 1024 * 1024
_LARGEST_BYTES = 32 * 1024 * 1024
"""The most that glibc takes."""


@cache
def keep_freed_memory() -> None:
    """Ask glibc to keep memory that was freed; does nothing where there is no glibc.

    A decoded picture takes some megabytes, which glibc gives back to the system at once and gets again
    for the next picture, as new pages that are filled with zeros first. That was measured to cost as much
    as a faster decoder saves. Some 20 MB more stay in memory.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):
        return
    mallopt(_M_TRIM_THRESHOLD, _KEPT_BYTES)
    mallopt(_M_MMAP_THRESHOLD, _LARGEST_BYTES)
