"""Compute the version of this package, including a digest of its source files."""

from __future__ import annotations

import hashlib
from functools import cache
from pathlib import Path

__version__ = "0.1.0"


@cache
def code_version() -> str:
    """Return the package's version and a digest of its source files, such as `0.1.0+3f2a91c04d7e`.

    The digest distinguishes working copies of one version. The first call in a process computes it:
    when a run begins, and when a worker loads the decoding code. Later the files on the disk may differ
    from the loaded ones. The digest is not computed at import, because it takes 10 ms and the code location
    does not need it.
    """
    folder = Path(__file__).parent
    digest = hashlib.sha256()
    for file in sorted(each for each in folder.rglob("*") if each.suffix in _SOURCES):
        digest.update(file.relative_to(folder).as_posix().encode() + b"\0" + file.read_bytes())
    return f"{__version__}+{digest.hexdigest()[:12]}"


_SOURCES = {".py", ".sql", ".json", ".toml"}
