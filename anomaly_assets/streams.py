"""Keep a command running after its output is lost: a closed pipe, a closed descriptor, a full disk.

`anomaly-assets materialize | head -1` must not end the run. So writing to standard output and standard
error never fails: what cannot be written is dropped. Each write is tried, because Dagster redirects both
descriptors into files while steps run, and those may be on a full disk.
"""

from __future__ import annotations

import errno
import io
import os
import sys
from typing import TextIO

_FIRST_DESCRIPTORS = (0, 1, 2)


class Forgiving(io.RawIOBase):
    """Write to a descriptor, and drop what cannot be written.

    Attributes:
        error: First write error; None if there was none.
    """

    def __init__(self, descriptor: int) -> None:
        super().__init__()
        self._descriptor = descriptor
        self.error: OSError | None = None

    def write(self, data: object) -> int:
        """Write bytes; returns their number even if they were dropped."""
        view = memoryview(data).cast("B")  # type: ignore[arg-type]  # any buffer
        written = 0
        while written < len(view):
            try:
                written += os.write(self._descriptor, view[written:])
            except OSError as error:
                self.error = self.error or error
                break
        return len(view)

    def fileno(self) -> int:
        """Return the descriptor."""
        return self._descriptor

    def isatty(self) -> bool:
        """Return whether the descriptor is a terminal."""
        return os.isatty(self._descriptor)

    def writable(self) -> bool:
        """Return True."""
        return True


def forgiving(descriptor: int, like: TextIO | None = None, *, by_line: bool = False) -> TextIO:
    """Return a text stream to a descriptor whose writes never fail.

    Args:
        descriptor: An open descriptor; closing the stream does not close it.
        like: A stream whose encoding is used.
        by_line: Write each line when it is complete, as always on a terminal.
    """
    raw = Forgiving(descriptor)
    return io.TextIOWrapper(
        io.BufferedWriter(raw),
        encoding=getattr(like, "encoding", None) or "utf-8",
        errors="backslashreplace",
        line_buffering=by_line or raw.isatty(),
    )


def forgive_lost_screens() -> None:
    """Replace standard output and error by streams whose writes never fail.

    A closed descriptor is opened on the null device first: otherwise the next file that is opened, such as
    a database, would get its number, and the output of libraries would be written into that file.
    """
    for descriptor in _FIRST_DESCRIPTORS:
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest free number
    sys.stdout = forgiving(1, sys.stdout)
    sys.stderr = forgiving(2, sys.stderr, by_line=True)


def lost_output() -> str | None:
    """Return why standard output could not be written; None if it was, or if its reader has ended."""
    if sys.stdout is not None:
        sys.stdout.flush()
    raw = getattr(getattr(sys.stdout, "buffer", None), "raw", None)
    error = raw.error if isinstance(raw, Forgiving) else None
    return None if error is None or error.errno == errno.EPIPE else error.strerror
