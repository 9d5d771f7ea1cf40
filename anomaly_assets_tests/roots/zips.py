"""Write zip archives with names of arbitrary bytes, like programs of other systems write them."""

from __future__ import annotations

import struct
import zipfile
import zlib
from collections.abc import Iterable
from pathlib import Path

WINDOWS, UNIX = 0, 3
"""Creator code of an archive, in its directory."""


class Member(zipfile.ZipInfo):
    """A member with a name of these bytes, by default without the UTF-8 flag."""

    def __init__(self, name: bytes, *, utf_8: bool = False, made_on: int = UNIX) -> None:
        super().__init__(name.decode("latin-1"), (2020, 1, 2, 3, 4, 6))
        self.bytes_of_name, self.flags_of_name = name, 0x800 if utf_8 else 0
        self.create_system = made_on

    def _encodeFilenameFlags(self) -> tuple[bytes, int]:
        return self.bytes_of_name, self.flags_of_name


def with_unicode_path(name: bytes, unicode_path: str, *, of: bytes | None = None) -> Member:
    """Return a member like Info-ZIP on Windows: a code page in the name, UTF-8 in the extra field.

    Args:
        name: Name in the code page.
        unicode_path: Name in the extra field.
        of: The name that the extra field belongs to, instead of this one.
    """
    member = Member(name, made_on=WINDOWS)
    field = struct.pack("<BL", 1, zlib.crc32(of or name)) + unicode_path.encode()
    member.extra = struct.pack("<HH", 0x7075, len(field)) + field
    return member


def zip_with(archive: Path, members: Iterable[tuple[Member, bytes]]) -> Path:
    """Write an archive and return it."""
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as target:
        for member, content in members:
            target.writestr(member, content)
    return archive
