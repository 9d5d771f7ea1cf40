"""Suggest a declaration for a folder that has none: `suggest`.

A built-in declaration that explains nearly all pictures is enough. Otherwise masks are found first, then
tables, then what the folders of the images mean. Nothing is claimed without evidence: an image of which
nothing gives a label stays unknown, and every guess is a comment.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from anomaly_assets.datasets.declaration_files import declared
from anomaly_assets.datasets.names import counted, shown
from anomaly_assets.suggesting import known, layout, masks, name_parts, tables, unread
from anomaly_assets.suggesting.composed import Composed, composed
from anomaly_assets.suggesting.names import valid_name
from anomaly_assets.suggesting.tree import PICTURES, File, Reader, files_of
from anomaly_assets.suggesting.written import comment, listed, value

_FEW = 0.03
_MOST_LEFT_OUT = 20


@dataclass(frozen=True)
class Suggestion:
    """A suggested declaration.

    Attributes:
        toml: The declaration; empty if nothing can be suggested.
        sentences: All that was guessed, and what only a person can know.
        cannot: Why nothing can be suggested, with what to write by hand; else None.
    """

    toml: str
    sentences: tuple[str, ...]
    cannot: str | None = None


def suggest(
    name: str,
    files: Sequence[tuple[str, int]],
    read: Callable[[str], bytes],
    *,
    root: str | None = None,
) -> Suggestion:
    """Suggest a declaration for a folder.

    Args:
        name: Name of the folder.
        files: Path below the folder, with `/`, and size in bytes of each file.
        read: Function that reads a file by its path; OSError is allowed. At most 200 files are read.
        root: Value of the key `root`; without it, the key is left out.
    """
    found = files_of(files)
    pictures = [file for file in found if file.suffix in PICTURES]
    if not pictures:
        return Suggestion("", (), f"No picture that can be read is among the files ({len(found)}).")
    reader = Reader(read)
    like = known.best(found)
    if like is not None and not _has_more_tables(like, found, pictures, reader):
        return _as(like, valid_name(name, [like.name]), root)
    parts = _parts(found, pictures, reader)
    if not parts.has_evidence:
        return Suggestion("", (), _cannot(pictures, parts))
    title = valid_name(name)
    text = parts.toml(title, root)
    problems = declared({f"{title}.toml": text.encode()}).problems
    if problems:
        reasons = "\n".join(map(str, problems))
        return Suggestion("", (), f"Names of this folder cannot be written as patterns:\n{reasons}")
    return Suggestion(text, tuple(parts.sentences))


def _has_more_tables(
    like: known.Known, found: Sequence[File], pictures: Sequence[File], reader: Reader
) -> bool:
    """Return whether the folder has a table about its images that a built-in declaration does not read."""
    others = [file for file in tables.candidates(found) if file.path not in like.read]
    return bool(tables.find(others, pictures, reader)[0])


def _as(like: known.Known, name: str, root: str | None) -> Suggestion:
    """Return two lines that name a built-in declaration."""
    sentences = [f"guessed: the layout is that of {like.title}"]
    lines = [*comment(sentences[0]), f"[{name}]"]
    if root is not None:
        lines.append(f"root = {value(root)}")
    lines.append(f'like = "{like.name}"')
    if like.unmasked and not like.is_copy:
        sentences.append(
            f"{counted(like.unmasked, 'image')} without a mask. Remove the line below if all of them "
            "are good"
        )
        lines += [*comment(sentences[1]), 'unmasked = "unknown"']
    return Suggestion("\n".join(lines) + "\n", tuple(sentences))


def _parts(found: Sequence[File], pictures: Sequence[File], reader: Reader) -> Composed:
    """Find masks, tables and patterns of images, in this order."""
    jsons = [file for file in found if file.suffix == ".json"]
    drawn = masks.find(pictures, jsons, reader)
    shapes = {mask for group in drawn.groups for mask in group.masks}
    labels = {file for file in found if file.stem.lower() == "labels"}  # labels files of DAGM
    boxes = unread.boxes_in(found, pictures, reader, frozenset(shapes | labels))
    boxed = {file for each in boxes for file in each.files}
    possible = [file for file in tables.candidates(found) if file not in shapes | boxed]
    described, sentences = tables.find(possible, pictures, reader)
    sentences += [each.sentence for each in boxes]
    second = {mask for table in described for mask in table.masks}
    images = [image for image in drawn.images if image not in second]
    paired = {image for group in drawn.groups for _, image in group.pairs}
    rows = {image for table in described for image in table.listed}
    groups = layout.groups_of(images)
    if _is_ambiguous(groups, paired):
        groups = layout.groups_of(images, explicit=True)
    labelled = {image for table in described if table.has_label for image in table.listed}
    groups = [
        part
        for group in groups
        for part in ([group] if _is_labelled(group, labelled) else name_parts.divided(group))
    ]
    kept, left_out = [], []
    for group in groups:
        is_small = len(group.images) <= max(1, min(_MOST_LEFT_OUT, _FEW * len(images)))
        has_meaning = group.is_labelled or group.has_split or not rows.isdisjoint(group.images)
        if is_small and not has_meaning and len(group.images) < len(images):
            left_out += group.images
        else:
            kept.append(group)
    layout.without_single_category(kept)
    if left_out:
        paths = listed(image.path for image in left_out)
        sentences.append(f"left out, because their folders are unlike the others: {paths}")
    parts = composed(kept, drawn, described, reader, sentences)
    suffixes = {file.suffix for table in described for file in table.files}
    parts.strays += [
        {"path": each.pattern}
        for each in boxes
        if suffixes.isdisjoint({file.suffix for file in each.files})
    ]
    return parts


def _is_labelled(group: layout.Group, labelled: set[File]) -> bool:
    """Return whether paths or tables give the label of most images."""
    return group.is_labelled or 2 * len(labelled.intersection(group.images)) > len(group.images)


def _is_ambiguous(groups: Sequence[layout.Group], paired: set[File]) -> bool:
    """Return whether images with masks have the same name in folders without a meaning."""
    for group in groups:
        if any("*" in level for level in group.levels) and not paired.isdisjoint(group.images):
            texts = [tuple(sorted(found.items())) for _, found in group.texts()]
            if len(set(texts)) < len(texts):
                return True
    return False


def _cannot(pictures: Sequence[File], parts: Composed) -> str:
    """Return what was seen and what to write by hand."""
    folders = {"/".join(picture.folders) or "." for picture in pictures}
    seen = f"{len(pictures)} pictures in {len(folders)} folders ({listed(folders, 4)})"
    more = "".join(f" {sentence}" for sentence in parts.notes.get("", ()))
    depth = max(len(picture.folders) for picture in pictures)
    pattern = "/".join(["**"] * bool(depth) + ["{name}"])
    example = shown(pictures[0].path)
    return (
        f"{seen}, and nothing that gives a split or a label: no folder or name is a word for one, no mask "
        f"and no table belongs to them.{more} Write by hand what their folders mean, such as "
        f'images = ["{pattern}"] for "{example}", and put labels into a CSV with the columns image and '
        'label: tables = [{ path = "labels.csv", columns = { image = "image", label = "label" } }].'
    )
