"""Which version of this package runs, to the last changed line."""

from __future__ import annotations

import hashlib
from functools import cache
from pathlib import Path

__version__ = "0.1.0"


@cache
def code_version() -> str:
    """Return the package's version and a digest of its source files, such as `0.1.0+3f2a91c04d7e`.

    The digest tells two working copies of one version apart. It is taken once in the life of a process, by
    the first call: a run calls this when it begins, and a worker when it loads what decodes, because
    afterwards the files on the disk may be others than those that were loaded. Not at import: it takes 10
    ms, and the code location never needs it.
    """
    folder = Path(__file__).parent
    digest = hashlib.sha256()
    for file in sorted(each for each in folder.rglob("*") if each.suffix in _SOURCES):
        digest.update(file.relative_to(folder).as_posix().encode() + b"\0" + file.read_bytes())
    return f"{__version__}+{digest.hexdigest()[:12]}"


_SOURCES = {".py", ".sql", ".json"}
