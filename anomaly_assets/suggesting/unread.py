"""Explain files that name images or belong to them, and that no key of a declaration reads as they are."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from anomaly_assets.datasets.names import counted, shown
from anomaly_assets.suggesting.layout import fixed
from anomaly_assets.suggesting.tree import File, Reader, spread
from anomaly_assets.suggesting.written import listed

_MOST_COLUMNS = 6
_MOST_VALUES = 4
_MOST_CHARACTERS = 40
_SAMPLE = 3

_YOLO = re.compile(r"\d+(?:\s+-?\d*\.?\d+(?:e-?\d+)?){4,}", re.ASCII | re.IGNORECASE)


@dataclass(frozen=True)
class Boxes:
    """Files with boxes or polygons, one for each image.

    Attributes:
        files: The files.
        sentence: Kind of the files, and what to write instead.
        pattern: Pattern of them.
    """

    files: frozenset[File]
    sentence: str
    pattern: str


def boxes_in(
    found: Sequence[File], pictures: Sequence[File], reader: Reader, taken: frozenset[File]
) -> list[Boxes]:
    """Return files of YOLO and Pascal VOC, by their names and by the content of a few.

    Args:
        found: All files.
        pictures: Pictures.
        reader: Reader of files.
        taken: Files that are read as something else.
    """
    stems = {picture.stem for picture in pictures}
    result = []
    for suffix, title, fits in ((".txt", "YOLO", _is_yolo), (".xml", "Pascal VOC", _is_voc)):
        files = [
            file
            for file in found
            if file.suffix == suffix and file.stem in stems and file not in taken
        ]
        with_text = [file for file in files if file.size]
        sample = [reader.content(file) for file in spread(with_text, _SAMPLE)]
        if not sample or not all(content is not None and fits(content) for content in sample):
            continue
        folders = {file.folders[-1] if file.folders else "" for file in files}
        folder = folders.pop() if len(folders) == 1 else ""
        pattern = "/".join(["**", *([fixed(folder)] if folder else []), f"*{suffix}"])
        sentence = (
            f"{counted(len(files), 'file')} such as {shown(files[0].path)} with boxes or polygons of "
            f"{title}: they are not read. Write a CSV with the columns image and label instead, a row for "
            "each image: " + _in_a_table("labels.csv", "image", "label")
        )
        result.append(Boxes(frozenset(files), sentence, pattern))
    return result


def _is_yolo(content: bytes) -> bool:
    lines = content.decode("ascii", "replace").split("\n")
    found = [line.strip() for line in lines if line.strip()]
    return bool(found) and all(_YOLO.fullmatch(line) for line in found)


def _is_voc(content: bytes) -> bool:
    return b"<annotation" in content and (b"<bndbox" in content or b"<filename" in content)


def no_known_column(path: str, image: str, cells: Mapping[str, Sequence[str]]) -> str:
    """Return the sentence for a table that names images, and whose other columns are unknown.

    Args:
        path: The file.
        image: Column with the images.
        cells: Cells by column, that of the images included.
    """
    others = [column for column in cells if column != image]
    start = f"{shown(path)}: the column {_quoted(image)} names your images"
    if not others:
        return f"{start}, and there is no other column."
    columns = ", ".join(
        f"{_quoted(each)} ({_values(cells[each])})" for each in others[:_MOST_COLUMNS]
    )
    more = " …" if len(others) > _MOST_COLUMNS else ""
    fewest = min(others, key=lambda column: len(set(filter(None, cells[column]))))
    return (
        f"{start}, and no other column has known words for a label or a split: {columns}{more}. If one of "
        f"them gives the label, write {_in_a_table(path, image, fewest)} and its words, such as "
        'words = { good = [".."], anomalous = [".."] }.'
    )


def without_suffix(path: str, column: str, cell: str, picture: File) -> str:
    """Return the sentence for a table that has the names of images without their suffix."""
    return (
        f"{shown(path)}: the column {_quoted(column)} names your images without their suffix, such as "
        f"{_quoted(cell)}. Write whole names, such as {_quoted(picture.stem + picture.suffix)}."
    )


def separated_by_spaces(path: str, cells: Sequence[str]) -> str:
    """Return the sentence for a table whose columns are separated by spaces."""
    return (
        f"{shown(path)} names your images, and its columns are separated by spaces "
        f"({', '.join(map(_quoted, cells[:_MOST_COLUMNS]))}), which is not read. Save it with commas, and "
        f"with the names of the columns in the first line: {_in_a_table(path, 'image', 'label')}."
    )


def list_in_an_object(path: str, key: str) -> str:
    """Return the sentence for JSON whose rows are in a list of an object."""
    return (
        f"{shown(path)} has its rows in the list {_quoted(key)} of an object, which `rows` cannot read. "
        'Save that list alone, as [{"image": "a.png", "label": "good"}, ..], or as a CSV.'
    )


def names_as_keys(path: str) -> str:
    """Return the sentence for JSON that has the names of images as keys."""
    return (
        f"{shown(path)} has the names of your images as keys, which is not read. Save a list instead, as "
        '[{"image": "a.png", "label": "good"}, ..], or a CSV.'
    )


def _in_a_table(path: str, image: str, label: str) -> str:
    columns = f"{{ image = {_quoted(image)}, label = {_quoted(label)} }}"
    return f"tables = [{{ path = {_quoted(path)}, columns = {columns} }}]"


def _values(cells: Sequence[str]) -> str:
    values = list(dict.fromkeys(filter(None, cells)))
    if not values:
        return "empty"
    more = " …" if len(values) > _MOST_VALUES else ""
    return listed((each[:_MOST_CHARACTERS] for each in values[:_MOST_VALUES]), _MOST_VALUES) + more


def _quoted(text: str) -> str:
    return json.dumps(shown(text), ensure_ascii=False)
