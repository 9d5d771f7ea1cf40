"""Define a source dataset: a declaration with compiled patterns and the names that follow from it."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache, cached_property
from importlib import resources

from anomaly_assets.datasets.classify import Classifier, suffixes_of
from anomaly_assets.datasets.declaration import Declaration
from anomaly_assets.datasets.record import Record

_NAME = re.compile(r"[a-z][a-z0-9]*(_[a-z0-9]+)*")
_MOST_CHARACTERS = 40

TAKEN_NAMES_FILE = "taken_names.json"
"""File of names that have another meaning; `anomaly_assets_tests/datasets/taken.py` writes it."""


@dataclass(frozen=True)
class SourceDataset:
    """A source dataset: all facts about it that other packages use.

    Attributes:
        declaration: Content of its table in the TOML file.
        default_root: The root if nothing is configured: samples of the repository.
    """

    declaration: Declaration
    default_root: str | None = None

    @property
    def name(self) -> str:
        """Return the schema in the database, the asset group, and the prefix of every `image_id`."""
        return self.declaration.name

    @property
    def title(self) -> str:
        """Return the name for people."""
        return self.declaration.title

    @property
    def licence(self) -> str:
        """Return the licence of the images."""
        return self.declaration.licence

    @property
    def training_is_good(self) -> bool:
        """Return whether the authors promise that no training image is anomalous; a check tests it."""
        return self.declaration.training_is_good

    @property
    def formats(self) -> tuple[str, ...]:
        """Return the allowed file formats of images and masks, in Pillow's names, whatever the suffix."""
        return tuple(name.upper() for name in self.declaration.formats)

    @cached_property
    def classifier(self) -> Classifier:
        """Return the compiled patterns."""
        return Classifier(self.declaration)

    @cached_property
    def loose_classifier(self) -> Classifier:
        """Return the compiled patterns, which match folders in any case."""
        return Classifier(self.declaration, ignore_case=True)

    def classify(self, path: str) -> Record:
        """Classify a relative path; never raises."""
        return self.classifier.classify(path)

    @cached_property
    def suffixes(self) -> tuple[str, ...]:
        """Return the suffixes of images, in lower case with their dot; empty if all are allowed."""
        found: set[str] = set()
        for entry in self.declaration.images:
            found |= suffixes_of(entry, self.declaration) or set()
        return tuple(sorted(found))

    @cached_property
    def folders(self) -> frozenset[str]:
        """Return the names of folders that the patterns spell out."""
        declaration = self.declaration
        entries = (
            *declaration.images,
            *declaration.masks,
            *declaration.tables,
        )
        return frozenset(
            part[0]
            for entry in entries
            for part in entry.pattern.parts[:-1]
            if part and len(part) == 1 and isinstance(part[0], str)
        )

    @property
    def definition_digest(self) -> str:
        """Return the SHA-256 of the declaration, without its root."""
        return self.declaration.digest

    @property
    def root_variable(self) -> str:
        """Return the environment variable that names the root of this source dataset."""
        return f"{self.name.upper()}_ROOT"

    @property
    def links_variable(self) -> str:
        """Return the environment variable that decides whether symbolic links may leave the root."""
        return f"{self.name.upper()}_LINKS"

    @property
    def depth_variable(self) -> str:
        """Return the environment variable that sets how many bits the 16-bit files use."""
        return f"{self.name.upper()}_DEPTH"


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
