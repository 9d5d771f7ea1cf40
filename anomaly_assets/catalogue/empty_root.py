"""Explain why a root contains no image of its source dataset, and what to set instead.

The advice depends on the files that are there: links that leave the root, another suffix, labels without
images, backslashes in names, or the right folders above or below the root.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from urllib.parse import unquote

from anomaly_assets.datasets import SourceDataset
from anomaly_assets.datasets.names import shown
from anomaly_assets.datasets.record import ImageFile, TableFile, split_name
from anomaly_assets.roots.base import FileEntry, Root

_FILE = "file://"
MOST_COMPARED = 20_000
"""Maximum number of files that are compared with the layout, so that a wrong root fails in seconds."""
_MOST_LEVELS = 6
_LEVELS_ABOVE = 3

_PICTURES = frozenset({".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp", ".gif", ".png"})
LINKS = frozenset({"link_out_of_the_root", "linked_folder"})
"""Problems of symbolic links that `<NAME>_LINKS=follow` reads."""


@dataclass(frozen=True)
class EmptyRoot:
    """Explanation of a root without images.

    Attributes:
        message: Error message for the user.
        likely_root: Path or URL of the folder that was probably meant.
    """

    message: str
    likely_root: str | None = None


def explain(
    dataset: SourceDataset,
    root: Root,
    entries: Sequence[tuple[str, FileEntry]],
    reasons: Mapping[str, int],
    declared: int,
) -> EmptyRoot:
    """Explain a root without images.

    Args:
        dataset: The source dataset that it should hold.
        root: The root.
        entries: Its files that are not junk, each with its canonical path.
        reasons: Number of stray files by reason.
        declared: Number of images that its labels files name.
    """
    if not entries:
        return EmptyRoot(
            f"{root.uri} is empty; it should hold {dataset.title}. If it is on a disk or a share, mount "
            f"it; else set {dataset.root_variable} to the folder that contains the category folders."
        )
    files = entries[:MOST_COMPARED]
    counted = ", ".join(f"{count} {reason}" for reason, count in Counter(reasons).most_common(5))
    nothing = f"{root.uri} contains no {dataset.title} images"
    here = [(path, entry) for path, entry in files if _is_image(dataset, _as_image(dataset, path))]
    if reason := _links(dataset, root, here, files) or _problem(here):
        return EmptyRoot(f"{nothing} that can be read. {reason}")
    if reason := _suffix(dataset, here):
        return EmptyRoot(f"{nothing}. {reason}")
    if declared:
        return EmptyRoot(f"{nothing}. {_labels(dataset, files, declared)}")
    if found := _below(dataset, root, files) or _above(dataset, root, files):
        return EmptyRoot(f"{nothing}. {found.message}", found.likely_root)
    if reason := _backslashes(dataset, files):
        return EmptyRoot(f"{nothing}. {reason}")
    declaration = dataset.declaration
    if not (declaration.is_built_in or declaration.like):
        return EmptyRoot(
            f"{nothing} ({counted}): no file matches the key `images` of {shown(declaration.place)}, for "
            f"example '{shown(files[0][1].meant_path)}'. Correct its patterns, or the root; "
            "`anomaly-assets datasets suggest ROOT` writes a declaration for it."
        )
    return EmptyRoot(
        f"{nothing} ({counted}). Set {dataset.root_variable} to the folder that contains the category "
        f"folders, for example above '{shown(files[0][1].meant_path)}'."
    )


def _links(
    dataset: SourceDataset,
    root: Root,
    here: Sequence[tuple[str, FileEntry]],
    files: Sequence[tuple[str, FileEntry]],
) -> str | None:
    """Return a message if all images are links, or most files if no file has the path of an image."""
    links = [entry for _, entry in here or files if entry.problem in LINKS]
    if root.follows_links or len(links) < (len(here) or max(1, len(files) / 2)):
        return None
    what = "file is a symbolic link" if len(links) == 1 else "files or folders are symbolic links"
    return (
        f"{len(links)} {what} that a run does not follow, such as '{shown(links[0].meant_path)}'. If the "
        f"targets are your files, set {dataset.links_variable}=follow, or copy them with cp -rL."
    )


def _problem(here: Sequence[tuple[str, FileEntry]]) -> str | None:
    """Return an error message if no image can be read because of problems such as broken links."""
    problems = Counter(entry.problem for _, entry in here if entry.problem)
    if not here or problems.total() < len(here):
        return None
    counted = ", ".join(f"{count} {problem}" for problem, count in problems.most_common(5))
    remedy = (
        " Broken links come from a download cache or from git-annex or DVC without the content: fetch it."
        if "broken_link" in problems
        else ""
    )
    return f"The files have the right names, but problems: {counted}.{remedy}"


def _suffix(dataset: SourceDataset, here: Sequence[tuple[str, FileEntry]]) -> str | None:
    suffixes = Counter(split_name(path)[1] for path, _ in here)
    allowed = dataset.suffixes
    if not suffixes or not suffixes.keys() - set(allowed):
        return None
    counted = ", ".join(f"{count} {suffix}" for suffix, count in suffixes.most_common(5))
    return (
        f"Its folders are those of {dataset.title}, but its images are {counted}, and only "
        f"{' and '.join(allowed)} files are read: convert them."
    )


def _labels(
    dataset: SourceDataset, files: Sequence[tuple[str, FileEntry]], declared: int
) -> str | None:
    named = [
        entry.meant_path
        for path, entry in files
        if isinstance(_classified(dataset, path), TableFile)
    ]
    more = f" and {len(named) - 1} more" if len(named) > 1 else ""
    images = "image, which is" if declared == 1 else "images, of which none is"
    return (
        f"Its labels files ('{shown(named[0])}'{more}) name {declared} {images} there. The root is right: "
        "download or copy the images into it (in a checkout with Git LFS, run git lfs pull)."
    )


def _below(
    dataset: SourceDataset, root: Root, files: Sequence[tuple[str, FileEntry]]
) -> EmptyRoot | None:
    """Return advice if folders below the root have the layout: the root is too high."""
    found = Counter(
        around
        for path, _ in files
        if (around := _folder_of(dataset, _as_image(dataset, path))) is not None
    )
    if not found:
        return None
    folder, _ = found.most_common(1)[0]
    others = f" {len(found) - 1} more folders have it too." if len(found) > 1 else ""
    address = _address(root)
    if address is None:
        return EmptyRoot(
            f"The layout begins in '{shown(folder)}', too deep in the archive.{others} Unpack the archive, "
            f"and set {dataset.root_variable} to that folder."
        )
    likely = f"{address.rstrip('/')}/{folder}"
    return EmptyRoot(
        f"The layout begins in a folder below it.{others} Set {dataset.root_variable}={shown(likely)}.",
        likely,
    )


def _folder_of(dataset: SourceDataset, path: str) -> str | None:
    """Return the folder below which a path has the layout; None if there is none."""
    parts = path.split("/")
    for start in range(1, min(len(parts) - 1, _MOST_LEVELS)):
        record = _classified(dataset, "/".join(parts[start:]))
        if isinstance(record, ImageFile):
            return path[: len(path) - len(record.relative_path)].rstrip("/")
    return None


def _above(
    dataset: SourceDataset, root: Root, files: Sequence[tuple[str, FileEntry]]
) -> EmptyRoot | None:
    """Return advice if the paths have the layout with the names of the folders above: the root is too low.

    Nothing is read for this.
    """
    address = _address(root)
    for names, parent in islice(_parents(address) if address else (), _LEVELS_ABOVE):
        for path, _ in files:
            whole = _as_image(dataset, f"{names}/{path}")
            record = _classified(dataset, whole)
            if isinstance(record, ImageFile) and whole == record.relative_path:
                what = "a category folder" if "/" not in names else "a folder inside a category"
                place = "its parent" if "/" not in names else "the folder of the category folders"
                return EmptyRoot(
                    f"It looks like {what}. Set {dataset.root_variable}={shown(parent)} ({place}).",
                    parent,
                )
    return None


def _parents(address: str) -> Iterator[tuple[str, str]]:
    """Yield the last names of a URL, ever more of them, and the URL without them."""
    names: list[str] = []
    parent = address
    while True:
        parent, _, name = parent.rpartition("/")
        if not name or parent.endswith("/"):  # a whole bucket or server
            return
        names.insert(0, name)
        yield "/".join(names), parent or "/"


def _backslashes(dataset: SourceDataset, files: Sequence[tuple[str, FileEntry]]) -> str | None:
    for _, entry in files:
        path = _as_image(dataset, entry.meant_path.replace("\\", "/"))
        if "\\" in entry.meant_path and (
            _is_image(dataset, path) or _folder_of(dataset, path) is not None
        ):
            return (
                f"Its names contain backslashes instead of folders: '{shown(entry.meant_path)}'. Pack or "
                "copy the files again with a program that writes / between folders."
            )
    return None


def _address(root: Root) -> str | None:
    """Return what a variable of the root can be set to; None for an archive."""
    if root.uri.endswith("!"):
        return None
    if root.uri.startswith(_FILE):
        return unquote(root.uri.removeprefix(_FILE), errors="surrogateescape")
    return root.uri


def _as_image(dataset: SourceDataset, path: str) -> str:
    suffix = split_name(path)[1]
    if suffix in dataset.suffixes or suffix not in _PICTURES or not dataset.suffixes:
        return path
    return path[: -len(suffix)] + dataset.suffixes[0]


def _is_image(dataset: SourceDataset, path: str) -> bool:
    return isinstance(_classified(dataset, path), ImageFile)


def _classified(dataset: SourceDataset, path: str) -> object:
    return dataset.classify(path)
