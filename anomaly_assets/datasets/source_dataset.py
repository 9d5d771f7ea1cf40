"""What the pipeline has to know about a source dataset; its own module in this folder says it."""

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
from typing import Any, TypeAlias

from anomaly_assets.datasets.record import DeclaredLabels, Record, Split

Counts: TypeAlias = Mapping[str, Mapping[Split, tuple[int, int]]]
"""Category and split to the number of good and of anomalous images."""

_NAME = re.compile(r"[a-z][a-z0-9]*(_[a-z0-9]+)*")
_MOST_CHARACTERS = 40

TAKEN_NAMES_FILE = "taken_names.json"
"""Names that stand for something else; `anomaly_assets_tests/datasets/taken.py` writes it."""


@dataclass(frozen=True)
class SourceDataset:
    """One source dataset.

    Attributes:
        name: Schema in the database, group in the asset graph, prefix of every `image_id`, and the name
            of the module that defines it: lower-case words joined by single underscores.
        title: The name people use.
        licence: Under which terms the images may be used.
        classify: Relative path to what the file is; pure, never raises.
        parse_labels: Content of a labels file to what it declares, where the dataset has such files.
        max_labels_bytes: The largest labels file that is given to `parse_labels`; a larger one is a
            stray. A row of DAGM's takes 30 bytes, and parsing up to 30 times as much memory as the file.
        formats: What images and masks may be encoded as, in Pillow's names; nothing else is decoded.
        training_is_good: Whether the authors say that no training image is anomalous; it is checked.
        official_counts: How many images the authors published; what is there is compared with it.
        default_root: The root when the environment names none; without it, the dataset is left out.

    Raises:
        ValueError: The name is too long, is no name of a schema, or stands for something else already.
    """

    name: str
    title: str
    licence: str
    classify: Callable[[str], Record]
    parse_labels: Callable[[bytes], DeclaredLabels] | None = None
    max_labels_bytes: int = 4 * 1024 * 1024
    formats: tuple[str, ...] = ("PNG",)
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
        is_name = _NAME.fullmatch(self.name) and len(self.name) <= _MOST_CHARACTERS
        if not is_name or self.name.endswith("_staging"):
            raise ValueError(
                f"{self.name[: 2 * _MOST_CHARACTERS]!r} cannot be the name of a source dataset: use "
                "lower-case words joined by single underscores, such as pill_inspection, with at most "
                f"{_MOST_CHARACTERS} characters and no _staging at the end."
            )

    @cached_property
    def definition_digest(self) -> str:
        """SHA-256 of what defines this source dataset: its module and the facts given here."""
        module = inspect.getsourcefile(self.classify)
        facts = (self.name, self.title, self.licence, self.formats, self.training_is_good)
        digest = hashlib.sha256(repr(facts).encode())
        digest.update(Path(module).read_bytes() if module else b"")
        return digest.hexdigest()

    @property
    def root_variable(self) -> str:
        """Environment variable that names the root of this source dataset."""
        return f"{self.name.upper()}_ROOT"


@cache
def taken_names() -> Mapping[str, str]:
    """Return names that no source dataset can have, each with what it stands for.

    They are the words of SQL, the schemas of DuckDB, what Dagster keeps for itself, and the tables, assets,
    groups and databases of this project: as a schema, an op or a group they would be ambiguous.
    """
    listed = json.loads(resources.files(__package__).joinpath(TAKEN_NAMES_FILE).read_text("utf-8"))
    return {name: what for what, each in listed.items() for name in each}


@cache
def published_facts() -> Mapping[str, Any]:
    """What the authors of MVTec AD and DAGM 2007 published: sizes, modes, images per kind, masks.

    Sources: for MVTec AD the paper's table 1 and counted copies, for DAGM 2007 counted copies.
    """
    text = resources.files(__package__).joinpath("official_counts.json").read_text("utf-8")
    facts: Mapping[str, Any] = json.loads(text)
    return facts
