"""Open the root at a location; only this module imports every kind of root."""

from __future__ import annotations

import os
import re
from pathlib import Path
from urllib.parse import unquote

from anomaly_assets.datasets import SourceDataset
from anomaly_assets.datasets.names import shown
from anomaly_assets.locations import is_file, shown_scheme
from anomaly_assets.roots.archive import LocalArchive, ZipRoot
from anomaly_assets.roots.base import Root, RootError
from anomaly_assets.roots.folder import FolderRoot

_UNPACK_FIRST = (".tar", ".tgz", ".tar.gz", ".tar.xz", ".tar.bz2", ".7z", ".rar")


_QUOTES = "\"'`\u2018\u2019\u201c\u201d"
"""Straight and curved quotes, which may be pasted with a path."""


def open_root(location: str, *, follow_links: bool = False) -> Root:
    """Open the root at `location`.

    Args:
        location: A folder, a `.zip` file, or an fsspec URL of either.
        follow_links: Whether symbolic links may leave a folder; other roots have no links.

    Raises:
        RootError: The location does not exist, or its kind is not supported.
    """
    if _is_remote(location):
        # Imported lazily: fsspec and tenacity would slow down every import of the definitions.
        from anomaly_assets.roots.retries import safe_address
        from anomaly_assets.roots.store import open_store

        _refuse_other_archives(safe_address(location))
        return open_store(location)
    path = _local_path(location)
    if path.is_dir():
        return FolderRoot(path, follow_links=follow_links)
    if not path.exists():
        if not is_file(location):  # meant as a URL, which may contain a password
            raise RootError(
                f"{shown_scheme(location)}: this is neither a path that exists nor a URL. A URL "
                "has two slashes, such as s3://bucket/prefix or https://host/folder/."
                f"{_about_quotes(location)}"
            )
        _refuse_other_archives(shown(path))
        raise RootError(f"{shown(path)} does not exist.{_about_quotes(location)}")
    _refuse_other_archives(shown(path))
    if path.suffix.lower() == ".zip":
        return ZipRoot(LocalArchive(str(path)))
    raise RootError(f"{shown(path)} is neither a folder nor a .zip archive.")


def same_place(one: str, other: str) -> bool:
    """Return whether two URIs of roots name one place, also through symbolic links."""
    if one == other:
        return True
    paths = [_local_path(uri) for uri in (one, other) if uri.startswith("file://")]
    return len(paths) == 2 and os.path.realpath(paths[0]) == os.path.realpath(paths[1])


def shown_root(location: str) -> str:
    """Return the location of a root for a message, without user, password and signature."""
    if _is_remote(location):
        from anomaly_assets.roots.retries import shown_address

        return shown_address(location)
    if is_file(location) or _local_path(location).exists():
        return shown(location)
    return shown_scheme(location)


def _about_quotes(location: str) -> str:
    """Return a hint if quotes surround a location, as in an .env file whose reader keeps them."""
    text = location.strip()
    is_quoted = len(text) > 1 and text[0] in _QUOTES and text[-1] in _QUOTES
    return " The quotes around it are part of the value: remove them." if is_quoted else ""


def _local_path(location: str) -> Path:
    if location[:7].lower() == "file://":
        location = unquote(re.sub("^localhost/", "/", location[7:]), errors="surrogateescape")
    return Path(os.path.abspath(Path(location).expanduser()))


def refuse_bad_root(dataset: SourceDataset, location: str) -> None:
    """Raise an error for a root that is certainly unusable, without a request to a store.

    Raises:
        RootError: The local path does not exist, or its kind is not supported.
    """
    if _is_remote(location):
        return
    try:
        open_root(location)
    except RootError as error:
        raise root_error(dataset, location, error, "Nothing was changed. ") from error


def root_error(
    dataset: SourceDataset, location: str, error: RootError, consequence: str = ""
) -> RootError:
    """Return an error with the problem of a root and the variable that names it.

    Args:
        dataset: The source dataset.
        location: The root.
        error: The problem.
        consequence: A sentence about what was done, with a space at its end.
    """
    samples = (
        f"This is the default, the samples of a checkout: set {dataset.root_variable} to the folder of "
        "your images. "
        if location == dataset.default_root
        else ""
    )
    is_declared = location == dataset.declaration.root
    named = shown(dataset.declaration.place) if is_declared else dataset.root_variable
    return RootError(
        f"{dataset.title} ({named}): {error} {consequence}{samples}To leave this dataset "
        f"out, set {dataset.root_variable} to the empty string."
    )


def _is_remote(location: str) -> bool:
    """Return whether a location is a URL; a later `://` is part of a path."""
    scheme = re.match(r"([A-Za-z][A-Za-z0-9+.-]*)://", location)
    return scheme is not None and scheme[1].lower() != "file"


def _refuse_other_archives(address: str) -> None:
    if address.lower().endswith(_UNPACK_FIRST):
        raise RootError(
            f"{address} is an archive that cannot be read in place: unpack it and give the folder, "
            "or repack it as .zip."
        )
