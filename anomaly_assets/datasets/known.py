"""Read the source datasets of a process: the built-in ones, and those of TOML files."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from anomaly_assets.datasets.declaration import SplitCounts
from anomaly_assets.datasets.declaration_files import BUILT_IN, built_in_declaration, read
from anomaly_assets.datasets.declaration_table import Problem
from anomaly_assets.datasets.source_dataset import SourceDataset

VARIABLE = "ANOMALY_DATASETS"
"""Environment variable with the TOML files, separated like PATH."""

DEFAULT_FILE = "datasets.toml"
"""TOML file in the working folder that is read if the variable is not set and the file exists."""

_WITH_SAMPLES = ("mvtec_ad", "dagm_2007")


@dataclass(frozen=True)
class Known:
    """Source datasets of a process.

    Attributes:
        files: The TOML files.
        source_datasets: Source datasets by name; those of the files first.
        problems: What is wrong with the files; a table with a problem is in no dataset.
    """

    files: tuple[str, ...]
    source_datasets: Mapping[str, SourceDataset]
    problems: tuple[Problem, ...]

    @property
    def broken(self) -> Mapping[str, tuple[Problem, ...]]:
        """Return the problems by the name of their table, or of their file if they are in none."""
        found: dict[str, tuple[Problem, ...]] = {}
        for problem in self.problems:
            name = problem.name or problem.file
            found[name] = (*found.get(name, ()), problem)
        return found


@dataclass(frozen=True, slots=True)
class OfficialCount:
    """Number of images that the authors published.

    Attributes:
        source_dataset: Name of the source dataset.
        category: Category; None for the whole dataset.
        split: Split; `all` for the images of all splits together.
        label: Label; `all` for the images of all labels together.
        images: Number of images.
    """

    source_dataset: str
    category: str | None
    split: str
    label: str
    images: int


def files_named(environment: Mapping[str, str]) -> tuple[str, ...]:
    """Return the TOML files that the environment names, or the one of the working folder."""
    named = environment.get(VARIABLE)
    if named is None:
        return (DEFAULT_FILE,) if Path(DEFAULT_FILE).exists() else ()
    return tuple(file.strip() for file in named.split(os.pathsep) if file.strip())


def read_known(environment: Mapping[str, str]) -> Known:
    """Return the source datasets of an environment, the built-in ones first; problems are no errors."""
    files = files_named(environment)
    found = read(files)
    declared = {each.name: each for each in found.declarations}
    broken = {problem.name for problem in found.problems}
    built_in = {
        name: SourceDataset(
            declared.pop(name) if name in declared else built_in_declaration(name),
            default_root=f"data/samples/{name}" if name in _WITH_SAMPLES else None,
        )
        for name in BUILT_IN
        if name not in broken
    }
    own = {name: SourceDataset(declaration) for name, declaration in declared.items()}
    return Known(files, {**built_in, **own}, found.problems)


def official_counts(datasets: Iterable[SourceDataset]) -> Iterator[OfficialCount]:
    """Yield the published image counts of the complete datasets, for those that have them."""
    for dataset in datasets:
        counts = dataset.declaration.counts
        if counts is None:
            continue
        by_category: dict[str | None, SplitCounts] = dict(counts.category.items())
        if counts.total is not None:
            by_category[None] = counts.total
        for category, splits in by_category.items():
            for split, (good, anomalous) in splits.items():
                yield OfficialCount(dataset.name, category, split, "good", good)
                yield OfficialCount(dataset.name, category, split, "anomalous", anomalous)
        if counts.images is not None:
            yield OfficialCount(dataset.name, None, "all", "all", counts.images)
