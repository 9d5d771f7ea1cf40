"""Change the folder of a gallery so that open pages keep working, and never change a folder of others.

The names of data files hold digests, so a file never changes under its name. `snapshot.js` names the index,
and is replaced last. Files that the builds before needed stay until the next builds, because a browser
may have the older page open, and the page compares the snapshots.
"""

from __future__ import annotations

import errno
import json
import os
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from importlib import resources
from pathlib import Path
from typing import Any

from anomaly_assets.atomic import (
    TargetBusyError,
    TargetError,
    only_writer,
    resolved,
    sync,
    sync_tree,
    write_file,
)
from anomaly_assets.errors import AnomalyAssetsError

MARKER = ".anomaly_assets_gallery.json"
"""File that marks a folder as a gallery, and lists the files of each build that is kept."""

SNAPSHOT = "snapshot.js"
_MADE_BY = "anomaly_assets.gallery"
_PAGE = (".html", ".css", ".js")
_DATA = re.compile(r"(data/index-|tiles/[0-9a-f]{8}-|details/)[0-9a-f]{16}\.js")
_UNFINISHED = ".unfinished"
_FOLDERS = ("data", "tiles", "details")
_MOST_OLDER = 2
"""Older snapshots that stay in the folder, to be compared with the newest."""


class GalleryError(AnomalyAssetsError, RuntimeError):
    """The gallery was not written; the message explains why and what to do."""


@dataclass(frozen=True)
class Build:
    """One build of a gallery.

    Attributes:
        inputs: Digest of everything that the build followed from.
        snapshot_id: The snapshot it shows.
        published_at: Time of the publication in UTC; None if not recorded.
        images: Number of images.
        index: Path of the index below the folder.
        files: Paths of its packs.
    """

    inputs: str
    snapshot_id: str
    published_at: str | None
    images: int
    index: str
    files: tuple[str, ...]

    @property
    def paths(self) -> set[str]:
        """Return the paths of all data files."""
        return {self.index, *self.files}


class Folder:
    """Folder of a gallery, locked by this process.

    Attributes:
        path: The folder.
        builds: Builds whose files are in the folder, newest first.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.builds = _builds(path)

    def holds(self, build: Build) -> bool:
        """Return whether the folder shows this build, and all its files exist."""
        return (
            self.builds[:1] == [build]
            and build.paths <= self.existing()
            and _content(self.path / SNAPSHOT) == _snapshot(self.builds)
            and all(_content(self.path / name) == text for name, text in page_files().items())
        )

    def existing(self) -> set[str]:
        """Return the paths of the data files in the folder."""
        found: set[str] = set()
        for name in _FOLDERS:
            with suppress(FileNotFoundError), os.scandir(self.path / name) as entries:
                found.update(f"{name}/{entry.name}" for entry in entries)
        return {path for path in found if _DATA.fullmatch(path)}

    def write(self, path: str, pieces: Iterable[bytes]) -> None:
        """Write a data file; it appears under its name when it is complete."""
        unfinished = self.path / f"{path}{_UNFINISHED}"
        with unfinished.open("wb") as file:
            file.writelines(pieces)
        os.replace(unfinished, self.path / path)

    def finish(self, build: Build) -> None:
        """Show a build whose data files are written, and remove files that no kept build needs."""
        kept = _kept(build, self.builds)
        for name, text in page_files().items():
            if _content(self.path / name) != text:
                write_file(self.path / name, text)
        # The names must not reach the disk before the content that they promise.
        sync_tree(self.path)
        self._note(kept)
        write_file(self.path / SNAPSHOT, _snapshot(kept))
        sync(self.path / SNAPSHOT)
        sync(self.path)
        needed = {path for each in kept for path in each.paths}
        for path in self.existing() - needed:
            (self.path / path).unlink(missing_ok=True)

    def begin(self) -> None:
        """Mark the folder as a gallery, and make the folders of its files."""
        for name in _FOLDERS:
            (self.path / name).mkdir(parents=True, exist_ok=True)
            for leftover in (self.path / name).glob(f"*{_UNFINISHED}"):  # of a killed build
                leftover.unlink(missing_ok=True)
        if not (self.path / MARKER).exists():
            self._note(self.builds)

    def _note(self, builds: list[Build]) -> None:
        facts = {"made_by": _MADE_BY, "builds": [asdict(build) for build in builds]}
        write_file(self.path / MARKER, json.dumps(facts).encode())
        self.builds = builds


@contextmanager
def opened_folder(out: str | Path) -> Iterator[Folder]:
    """Lock the folder of a gallery, and yield it.

    Args:
        out: A folder that does not exist, is empty, or holds a gallery.

    Raises:
        GalleryError: `out` is something else, is being written by another process, or cannot be written.
            What it showed stays.
    """
    try:
        target = resolved(out)
        if target == target.parent:
            raise GalleryError(f"{target} is the root of the file system. Name a folder in it.")
        target.parent.mkdir(parents=True, exist_ok=True)
        with only_writer(target):
            _refuse_what_is_not_ours(target)
            yield Folder(target)
    except TargetBusyError:
        raise GalleryError(
            f"Another process is writing {target}. Wait for it, or name another folder."
        ) from None
    except TargetError as error:
        raise GalleryError(str(error)) from None
    except OSError as error:
        advice = (
            " Free some space, or leave the details out with --no-details."
            if error.errno in (errno.ENOSPC, errno.EDQUOT)
            else " Name a folder that you may write to."
        )
        reason = error.strerror or str(error)
        raise GalleryError(f"{out} was not written: {reason}.{advice}") from error


def page_files() -> dict[str, bytes]:
    """Return the files of the page by name."""
    files = resources.files("anomaly_assets.gallery").joinpath("page").iterdir()
    return {file.name: file.read_bytes() for file in files if file.name.endswith(_PAGE)}


def _refuse_what_is_not_ours(target: Path) -> None:
    if not target.exists() or (target.is_dir() and not any(target.iterdir())):
        return
    if _facts(target) is None:
        raise GalleryError(
            f"{target} exists and is not a gallery of this project, so it is not changed. Name a "
            "new folder."
        )


def _facts(folder: Path) -> dict[str, Any] | None:
    """Return the content of the marker; None for a folder that is no gallery."""
    try:
        facts = json.loads((folder / MARKER).read_text("utf-8"))
    except (FileNotFoundError, NotADirectoryError, ValueError):
        return None
    return facts if isinstance(facts, dict) and facts.get("made_by") == _MADE_BY else None


def _builds(folder: Path) -> list[Build]:
    try:
        return [
            Build(**{**build, "files": tuple(build["files"])})
            for build in (_facts(folder) or {}).get("builds", ())
        ]
    except (TypeError, KeyError):  # written by another release
        return []


def _kept(build: Build, before: list[Build]) -> list[Build]:
    """Return the builds whose files stay: this one, the one before, and those of older snapshots."""
    others = [each for each in before if each.index != build.index]
    older: dict[str, Build] = {}
    for each in others:
        if each.snapshot_id != build.snapshot_id:
            older.setdefault(each.snapshot_id, each)
    wanted = [*others[:1], *list(older.values())[:_MOST_OLDER]]
    return [build, *(each for each in others if each in wanted)]


def _snapshot(builds: list[Build]) -> bytes:
    """Return `snapshot.js`: the build to show, and the builds of older snapshots."""
    from anomaly_assets.gallery.index import FORMAT
    from anomaly_assets.gallery.scripts import call

    newest = builds[0]
    previous: dict[str, dict[str, Any]] = {}
    for each in builds[1:]:
        if each.snapshot_id != newest.snapshot_id:
            about = {"id": each.snapshot_id, "published_at": each.published_at}
            previous.setdefault(each.snapshot_id, {**about, "index": each.index})
    shown = {
        "id": newest.snapshot_id,
        "published_at": newest.published_at,
        "images": newest.images,
    }
    facts = {"format": FORMAT, "index": newest.index, "snapshot": shown}
    return call("snapshot", {**facts, "previous": [*previous.values()]})


def _content(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return None
