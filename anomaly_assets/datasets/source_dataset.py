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
_TAKEN = frozenset({"anomaly", "harmonised", "main", "shared", "summaries", "system", "temp"})


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
        formats: What images and masks may be encoded as, in Pillow's names; nothing else is decoded.
        training_is_good: Whether the authors say that no training image is anomalous; it is checked.
        official_counts: How many images the authors published; what is there is compared with it.
        default_root: The root when the environment names none; without it, the dataset is left out.

    Raises:
        ValueError: The name cannot be that of a schema, or already is one.
    """

    name: str
    title: str
    licence: str
    classify: Callable[[str], Record]
    parse_labels: Callable[[bytes], DeclaredLabels] | None = None
    formats: tuple[str, ...] = ("PNG",)
    training_is_good: bool = False
    official_counts: Callable[[], Counts] | None = None
    default_root: str | None = None

    def __post_init__(self) -> None:
        if not _NAME.fullmatch(self.name) or self.name in _TAKEN or self.name.endswith("_staging"):
            raise ValueError(
                f"{self.name!r} cannot be the name of a source dataset: use lower-case words joined by "
                f"single underscores, none of {', '.join(sorted(_TAKEN))}, and no _staging at the end."
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
def published_facts() -> Mapping[str, Any]:
    """What the authors of MVTec AD and DAGM 2007 published: sizes, modes, images per kind, masks.

    Sources: for MVTec AD the paper's table 1 and counted copies, for DAGM 2007 counted copies.
    """
    text = resources.files(__package__).joinpath("official_counts.json").read_text("utf-8")
    facts: Mapping[str, Any] = json.loads(text)
    return facts
