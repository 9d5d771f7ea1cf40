"""Define the description of a source dataset; each source dataset has a module in this folder."""

from __future__ import annotations

import hashlib
import inspect
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache, cached_property
from importlib import resources
from pathlib import Path
from typing import Any, Literal, TypeAlias

from anomaly_assets.datasets.record import DeclaredLabels, Record, Split

Counts: TypeAlias = Mapping[str, Mapping[Split, tuple[int, int]]]
"""Numbers of good and of anomalous images, by category and split."""

_NAME = re.compile(r"[a-z][a-z0-9]*(_[a-z0-9]+)*")
_MOST_CHARACTERS = 40

TAKEN_NAMES_FILE = "taken_names.json"
"""File of names that have another meaning; `anomaly_assets_tests/datasets/taken.py` writes it."""


@dataclass(frozen=True)
class SourceDataset:
    """A source dataset.

    Attributes:
        name: Schema in the database, group in the asset graph, prefix of every `image_id`, and the name
            of the module that defines it: lower-case words joined by single underscores.
        title: Name for people.
        licence: Licence of the images.
        classify: Function from a relative path to a record; pure, never raises.
        folders: Names of folders that `classify` matches exactly; see `respelled`.
        parse_labels: Function that parses a labels file, if the dataset has such files.
        labels_format: What a line of a labels file contains, for messages.
        max_labels_bytes: Size limit of `parse_labels`; a larger labels file is a stray. A row of DAGM's
            takes 30 bytes, and parsing needs up to 30 times the memory of the file.
        formats: Allowed file formats of images and masks, in Pillow's names, whatever the suffix;
            nothing else is decoded.
        unmasked: Label of an image without other evidence, in a category with at least one mask, or one row
            of a labels file that names an image. Masks in folders of defects do not count for other images.
        training_is_good: Whether the authors promise that no training image is anomalous; a check tests it.
        official_counts: Function that returns the image counts of the authors, for a check.
        default_root: The root if no variable names one; without it, the dataset is left out.

    Raises:
        ValueError: The name is too long, not a valid schema name, or already has another meaning.
    """

    name: str
    title: str
    licence: str
    classify: Callable[[str], Record]
    folders: tuple[str, ...] = ()
    parse_labels: Callable[[bytes], DeclaredLabels] | None = None
    labels_format: str = ""
    max_labels_bytes: int = 4 * 1024 * 1024
    formats: tuple[str, ...] = ("PNG", "JPEG", "BMP", "TIFF", "WEBP")
    unmasked: Literal["good", "unknown"] = "unknown"
    training_is_good: bool = False
    official_counts: Callable[[], Counts] | None = None
    default_root: str | None = None

    def __post_init__(self) -> None:
        taken = taken_names().get(self.name)
        if taken is not None:
            raise ValueError(
                f"{self.name!r} cannot be the name of a source dataset, because it is {taken}: choose "
                "another one."
            )
        if fault := name_fault(self.name):
            raise ValueError(
                f"{self.name[: 2 * _MOST_CHARACTERS]!r} cannot be the name of a source dataset: {fault}"
            )

    def respelled(self, path: str) -> str:
        """Return a path with the case of the layout in the names of its folders below the first.

        For DAGM 2007, `Class1/train/label/1.png` becomes `Class1/Train/Label/1.png`.
        """
        parts = path.split("/")
        for position in range(1, len(parts) - 1):
            parts[position] = self._spellings.get(parts[position].casefold(), parts[position])
        return "/".join(parts)

    @cached_property
    def _spellings(self) -> dict[str, str]:
        return {folder.casefold(): folder for folder in self.folders}

    @cached_property
    def definition_digest(self) -> str:
        """Return the SHA-256 of the definition of this source dataset: its module and some attributes."""
        module = inspect.getsourcefile(self.classify)
        facts = (self.name, self.title, self.licence, self.formats, self.training_is_good)
        digest = hashlib.sha256(repr(facts).encode())
        digest.update(Path(module).read_bytes() if module else b"")
        return digest.hexdigest()

    @property
    def root_variable(self) -> str:
        """Return the environment variable that names the root of this source dataset."""
        return f"{self.name.upper()}_ROOT"

    @property
    def links_variable(self) -> str:
        """Return the environment variable that decides whether symbolic links may leave the root."""
        return f"{self.name.upper()}_LINKS"


def name_fault(name: str) -> str | None:
    """Return what to write instead of a name that is not a valid schema name; None for a valid one."""
    is_name = _NAME.fullmatch(name) and len(name) <= _MOST_CHARACTERS
    if is_name and not name.endswith("_staging"):
        return None
    return (
        "use lower-case words joined by single underscores, such as pill_inspection, with at most "
        f"{_MOST_CHARACTERS} characters and no _staging at the end."
    )


@cache
def taken_names() -> Mapping[str, str]:
    """Return names that no source dataset can have, each with its existing meaning.

    They are SQL keywords, DuckDB's schemas, names reserved by Dagster, and the tables, assets, groups
    and databases of this project. As a schema, an op or a group they would be ambiguous.
    """
    listed = json.loads(resources.files(__package__).joinpath(TAKEN_NAMES_FILE).read_text("utf-8"))
    return {name: what for what, each in listed.items() for name in each}


@cache
def published_facts() -> Mapping[str, Any]:
    """Return published facts about MVTec AD and DAGM 2007: sizes, modes, images per kind, masks."""
    text = resources.files(__package__).joinpath("official_counts.json").read_text("utf-8")
    facts: Mapping[str, Any] = json.loads(text)
    return facts
