"""Swap two snapshots between any two steps of a reader.

`python -m anomaly_assets_tests.reader.swapping 2000` opens them by their ids, and prints the outcomes.
"""

from __future__ import annotations

import hashlib
import itertools
import os
import random
import sys
import tempfile
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from anomaly_assets.reader import Samples, open_samples, selection
from anomaly_assets.reader.pixels import blocks as stored
from anomaly_assets.warehouse import open_published as opened
from anomaly_assets.warehouse.file import snapshots
from anomaly_assets.warehouse.file.snapshots import kept_path
from anomaly_assets_tests.reader.published import publish_rows


@dataclass
class Swapped:
    """A published database whose name is given to its two snapshots in turn.

    Attributes:
        database: The name.
        files: Snapshot id to a file that holds it and is never replaced.
        images: Snapshot id to its images.
        ids: Snapshot id to its image ids.
        swaps: How often the name was given to the other one.
    """

    database: Path
    files: dict[str, Path] = field(default_factory=dict)
    images: dict[str, npt.NDArray[Any]] = field(default_factory=dict)
    ids: dict[str, list[str]] = field(default_factory=dict)
    swaps: int = 0

    def add(self) -> str:
        """Remember the currently published snapshot."""
        with open_samples(self.database) as samples:
            snapshot_id = str(samples.snapshot_id)
            self.images[snapshot_id] = samples.images[:]
            self.ids[snapshot_id] = samples.table["image_id"].to_pylist()
        self.files[snapshot_id] = self.database.with_name(f"{len(self.files)}.held")
        os.link(self.database, self.files[snapshot_id])
        return snapshot_id

    def is_right(self, samples: Samples) -> bool:
        """Return whether ids and pixels are those of the snapshot that the samples name."""
        snapshot_id = str(samples.snapshot_id)
        return samples.table["image_id"].to_pylist() == self.ids[snapshot_id] and np.array_equal(
            samples.images[:], self.images[snapshot_id]
        )

    def swap(self) -> None:
        """Publish the other snapshot as publishing does: keep the old one, replace it, discard the copy."""
        old, new = list(self.files)[:: 1 if self.swaps % 2 else -1]
        self.swaps += 1
        beside = self.database.with_name("beside")
        for name, snapshot_id in ((kept_path(self.database, old), old), (self.database, new)):
            os.link(self.files[snapshot_id], beside)
            os.replace(beside, name)
        beside.unlink(missing_ok=True)  # which stays where both names were the same file already
        kept_path(self.database, new).unlink(missing_ok=True)

    def swap_at_each_step(self, read: Callable[[], object]) -> int:
        """Read once for each step of reading, with one swap at that step; returns the number of steps."""
        for chosen in itertools.count():
            steps, before = itertools.count(), self.swaps
            with pytest.MonkeyPatch.context() as patch:
                self.hook(patch, lambda: self.swap() if next(steps) == chosen else None)  # noqa: B023
                read()
            if self.swaps == before:
                return chosen
        raise AssertionError

    def hook(self, patch: pytest.MonkeyPatch, swap: Callable[[], None]) -> None:
        """Call `swap` between the steps of every reader."""
        patch.setattr(opened, "HeldFile", around(opened.HeldFile, swap))
        # DuckDB resolves the path of a descriptor to a name, and opens what has that name a moment later.
        literal = opened.sql_literal

        def resolved(address: str) -> str:
            name = os.path.realpath(address)
            swap()
            return literal(name if os.path.exists(name) else address)

        patch.setattr(opened, "sql_literal", resolved)
        for module, name in (
            (opened, "_has_opened"),
            (snapshots, "kept_paths"),
            (snapshots, "hold"),
            (snapshots, "open_file"),
            (snapshots, "newest_noted"),
            (selection, "_statistics"),
            (stored, "find_blobs"),
        ):
            patch.setattr(module, name, around(getattr(module, name), swap))


def around(function: Callable[..., Any], step: Callable[[], object]) -> Callable[..., Any]:
    """Return a function that calls `step` before and after another one."""

    def called(*arguments: Any, **named: Any) -> Any:
        step()
        result = function(*arguments, **named)
        step()
        return result

    return called


def swapped(folder: Path) -> Swapped:
    """Publish two snapshots of 62 images in the same rows and blocks, which differ in all pixels."""
    made = Swapped(folder / "anomaly.duckdb")
    for letter in ("A", "a"):
        snapshot_id = hashlib.sha256(letter.encode()).hexdigest()
        written = publish_rows(folder / "written", 62, 64, snapshot_id=snapshot_id, letter=letter)
        os.replace(written, made.database)
        made.add()
    for _ in made.files:
        made.swap()  # so that the other one is beside it
    return made


def open_by_id(made: Swapped, opens: int, seed: int) -> Counter[str]:
    """Open both snapshots by id, in turn and while they are swapped; return counts of the outcomes."""
    outcomes: Counter[str] = Counter()
    chance = random.Random(seed)
    with pytest.MonkeyPatch.context() as patch:
        made.hook(patch, lambda: made.swap() if chance.random() < 0.3 else None)
        for number in range(opens):
            wanted = list(made.files)[number % 2]
            given = wanted if number % 4 < 2 else wanted[:12]
            try:
                samples = open_samples(made.database, snapshot=given)
            except LookupError:
                outcomes["LookupError"] += 1
                continue
            with samples:
                right = samples.snapshot_id == wanted and made.is_right(samples)
            outcomes["right" if right else "wrong"] += 1
    return outcomes


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        both = swapped(Path(folder))
        print(dict(open_by_id(both, int(sys.argv[1]), seed=0)), "with", both.swaps, "swaps")
