"""Match the rows of labels files with images of their category and split.

A row belongs to the image with exactly its name. Otherwise these are tried in order, if they are one to
one: the name ignoring case, the last part of a path, and the name without its suffix. A row that matches
no image is no evidence, because it can come from another copy of the dataset.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Container, Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from anomaly_assets.datasets.names import normalized
from anomaly_assets.datasets.record import DeclaredLabels, split_name

_IGNORING_CASE, _LAST_PART, _OTHER_SUFFIX = 1, 2, 3


@dataclass(frozen=True)
class Matches:
    """Rows of the labels files of one category and split, by image.

    Attributes:
        label_index_of: Map of the name of an image to 0 (good) or 1 (anomalous).
        ambiguous: Map of a row to the names of similar images, if it could belong to several of them.
        unclear: Names of images that an ambiguous row may belong to, and that have no row of their own.
        unmatched: Rows that match no image.
    """

    label_index_of: Mapping[str, int] = field(default_factory=dict)
    ambiguous: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    unclear: Collection[str] = frozenset()
    unmatched: Collection[str] = ()


def merged(files: Iterable[DeclaredLabels]) -> dict[str, int]:
    """Merge the rows of several labels files; a name with both labels counts as anomalous."""
    index_of: dict[str, int] = {}
    for labels in files:
        for name, index in labels.label_index_of.items():
            spelling = normalized(name)
            index_of[spelling] = max(index, index_of.get(spelling, 0))
    return index_of


def match(
    index_of: Mapping[str, int],
    images: Collection[str],
    folder: str,
    taken: Container[str],
    elsewhere: Collection[str] = (),
) -> Matches:
    """Match rows with the images of one category and split.

    Args:
        index_of: Map of a name in a row, normalized, to 0 or 1.
        images: Names of the image files.
        folder: Path of the folder with the images.
        taken: Paths of all files, folded: a row about one of them belongs to no image of a similar name.
        elsewhere: Names of other folders, folded, such as another split: a path through one of them matches
            nothing.
    """
    folded: dict[str, set[str]] = defaultdict(set)
    for image in images:
        folded[image.casefold()].add(image)
    declared = {row: index for row, index in index_of.items() if row in images}
    if len(declared) == len(index_of) and len(folded) == len(images):
        return Matches(declared)  # as in the official dataset: no other row, no similar names
    stems: dict[str, set[str]] = defaultdict(set)
    for image in images:
        stems[split_name(image)[0].casefold()].add(image)
    found: dict[tuple[int, str], list[str]] = defaultdict(list)
    ambiguous: dict[str, tuple[str, ...]] = {}
    unmatched: list[str] = []
    for row in index_of:
        if row in declared:
            continue
        is_other = f"{folder}/{row}".casefold() in taken and row.casefold() not in folded
        if is_other:
            unmatched.append(row)
            continue
        for rank, similar in _similar(row, images, folded, stems, elsewhere):
            if len(similar) == 1:
                found[rank, next(iter(similar))].append(row)
            else:
                ambiguous[row] = tuple(sorted(similar))
            break
        else:
            unmatched.append(row)
    exact = frozenset(declared)
    for (rank, image), rows in sorted(found.items()):
        if image in declared:
            continue  # a closer match has decided
        if rank == _IGNORING_CASE or len(rows) == 1:
            declared[image] = max(index_of[row] for row in rows)
        else:
            ambiguous |= dict.fromkeys(rows, (image,))
    unclear = {image for similar in ambiguous.values() for image in similar}
    unclear |= {twin for image in exact for twin in folded[image.casefold()]}
    return Matches(declared, ambiguous, unclear - declared.keys(), unmatched)


def _similar(
    row: str,
    images: Collection[str],
    folded: Mapping[str, Collection[str]],
    stems: Mapping[str, Collection[str]],
    elsewhere: Collection[str],
) -> Iterator[tuple[int, Collection[str]]]:
    """Yield images of a similar name with the rank of the similarity, the closest first."""
    if similar := folded.get(row.casefold()):
        yield _IGNORING_CASE, similar
    name = row
    if "/" in row or "\\" in row:
        *parents, name = row.replace("\\", "/").split("/")
        if any(part.casefold() in elsewhere for part in parents):
            return
        if name in images:
            yield _LAST_PART, (name,)
        elif similar := folded.get(name.casefold()):
            yield _LAST_PART, similar
    for stem in (name, split_name(name)[0]):
        if similar := stems.get(stem.casefold()):
            yield _OTHER_SUFFIX, similar
