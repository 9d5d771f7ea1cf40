"""Test files of a root in columns: their order, their spellings, and the memory that a listing takes."""

from __future__ import annotations

import subprocess
import sys
from datetime import datetime, timezone

import pytest

from anomaly_assets.catalogue.entries import PIECE, Entries
from anomaly_assets.roots.base import FileEntry

NOW = datetime(2024, 1, 2, tzinfo=timezone.utc)


def entry(path: str, **values: str) -> FileEntry:
    return FileEntry(path, 1, NOW, "v", **values)


def test_shallow_files_come_first_and_the_canonical_spelling_before_another_one() -> None:
    files = [entry("b/c.png"), entry("a\\c.png"), entry("z.png"), entry("a/c.png")]
    entries = Entries(files)
    assert [each.path for _, each in entries] == ["z.png", "a/c.png", "a\\c.png", "b/c.png"]
    assert [*entries.paths()] == ["z.png", "a/c.png", "a/c.png", "b/c.png"]


def test_a_file_is_the_one_that_was_listed_whatever_bytes_its_name_has() -> None:
    files = [entry("x\udcff/\u00e9.png"), entry("e\u0301.png"), entry("\ud800.png")]
    files += [entry("cp437.zip", name="\u00e9.zip"), entry("link", problem="broken_link")]
    entries = Entries(files)
    assert {each.path: each for _, each in entries} == {each.path: each for each in files}
    assert [entries[position] for position in range(len(entries))] == [*entries]
    assert dict(entries.with_problems())["link"] == "broken_link"


def test_pieces_do_not_matter() -> None:
    names = [f"{number:05d}.png" for number in range(2 * PIECE + 1)]
    entries = Entries(map(entry, reversed(names)))
    assert [*entries.paths()] == names
    assert [path for path, _ in entries.at([PIECE, 0, PIECE - 1])] == [
        names[PIECE],
        names[0],
        names[PIECE - 1],
    ]
    assert [path for path, _ in entries[-2:]] == names[-2:]


def test_no_files_are_no_error() -> None:
    assert [*Entries([])] == []


LISTING = """
import resource, sys
from anomaly_assets.catalogue.listing import list_catalog, listing_digest
from anomaly_assets.datasets import SOURCE_DATASETS
from anomaly_assets.roots.base import FileEntry, Root

class Made(Root):
    uri = "file:///made"
    def files(self):
        for number in range(int(sys.argv[1])):
            folder = "test/scratch" if number % 10 else "ground_truth/scratch"
            name = f"{number:06d}" if number % 10 else f"{number + 1:06d}_mask"
            yield FileEntry(f"bolt/{folder}/{name}.png", number, None, f"{number}-1700000000000000000")
    def read(self, path, version=None, most_bytes=0):
        raise NotImplementedError

catalog = list_catalog(SOURCE_DATASETS["mvtec_ad"], Made())
listing_digest(catalog)
print(catalog.images.num_rows, catalog.images["mask_source_uri"].null_count)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


@pytest.mark.slow
def test_a_listing_takes_a_kilobyte_per_file_and_no_objects() -> None:
    few, many = (_listed(number) for number in (20_000, 100_000))
    assert many[0] == 90_000
    assert many[1] == 80_000
    assert (many[2] - few[2]) * 1024 / 80_000 < 900  # 2,280 as objects


def _listed(number: int) -> list[int]:
    command = [sys.executable, "-c", LISTING, str(number)]
    found = subprocess.run(command, capture_output=True, text=True, check=True)
    return [int(value) for value in found.stdout.split()]
