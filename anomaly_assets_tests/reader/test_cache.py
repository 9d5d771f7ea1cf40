"""Test selections in memory-mapped files: the same samples, complete or absent."""

from __future__ import annotations

import os
import pickle
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from anomaly_assets.reader import (
    CachedSelection,
    CacheError,
    Samples,
    cache,
    cached_selections,
    open_cache,
    open_samples,
)
from anomaly_assets.reader import cache as caching
from anomaly_assets_tests.disk import record_calls
from anomaly_assets_tests.reader.published import publish_rows
from anomaly_assets_tests.reader.swapping import around
from anomaly_assets_tests.reader.test_connect import replace_published
from anomaly_assets_tests.warehouse.project import Project


def assert_same(cached: Samples, samples: Samples) -> None:
    assert cached.table.equals(samples.table)
    assert (cached.shape, cached.snapshot_id) == (samples.shape, samples.snapshot_id)
    assert cached.images.dtype == samples.images.dtype
    for seed in (None, 3):
        both = zip(cached.batches(4, shuffle=seed), samples.batches(4, shuffle=seed), strict=True)
        for ours, theirs in both:
            assert ours.image_ids == theirs.image_ids
            for name in ("images", "masks", "has_mask", "mask_from_file", "label_indices"):
                assert np.array_equal(getattr(ours, name), getattr(theirs, name)), name


def test_cached_samples_are_the_same_samples(database: Path, tmp_path: Path) -> None:
    samples = open_samples(database)
    cached = samples.cache(tmp_path / "cache")
    assert_same(cached, samples)
    assert_same(cached[3:11], samples[3:11])
    assert np.array_equal(cached.images[[5, 1, 1]], samples.images[[5, 1, 1]])
    assert cached[4].image_id == samples[4].image_id


def test_normalised_samples_stay_so_in_a_cache(database: Path, tmp_path: Path) -> None:
    raw = open_samples(database, category=["bottle", "carpet"])
    assert_same(raw.normalised().cache(tmp_path), raw.normalised())
    assert_same(raw.cache(tmp_path).normalised(), raw.normalised())
    assert len(cached_selections(tmp_path)) == 1


def test_cached_samples_need_the_database_no_more(project: Project, tmp_path: Path) -> None:
    path = project.folder / "anomaly.duckdb"
    with open_samples(path) as samples:
        images = samples.images[:]
        cached = pickle.loads(pickle.dumps(samples.cache(tmp_path / "cache")))
    path.unlink()
    assert np.array_equal(cached.images[:], images)
    (entry,) = cached_selections(tmp_path / "cache")
    assert np.array_equal(open_cache(entry.folder).images[:], images)


def test_a_selection_is_written_once(database: Path, tmp_path: Path) -> None:
    samples = open_samples(database, category="bottle")
    samples.cache(tmp_path)
    (entry,) = cached_selections(tmp_path)
    written = {path: path.stat().st_mtime_ns for path in entry.folder.iterdir()}
    open_samples(database, where="category = 'bottle'").cache(tmp_path)
    (entry,) = cached_selections(tmp_path)
    assert {path: path.stat().st_mtime_ns for path in entry.folder.iterdir()} == written


def test_every_selection_and_order_has_a_folder_of_its_own(database: Path, tmp_path: Path) -> None:
    samples = open_samples(database)
    for chosen in (samples, samples[:5], samples[4::-1]):
        assert_same(chosen.cache(tmp_path), chosen)
    assert sorted(entry.samples for entry in cached_selections(tmp_path)) == [5, 5, 14]


@pytest.mark.slow
def test_every_snapshot_has_a_folder_and_stale_ones_can_be_removed(
    project: Project, tmp_path: Path
) -> None:
    path, directory = project.folder / "anomaly.duckdb", tmp_path / "cache"
    old = open_samples(path)
    cached = old.cache(directory)
    replace_published(project)
    new = open_samples(path)
    assert_same(new.cache(directory), new)
    assert [entry.snapshot_id for entry in cached_selections(directory)] == [
        old.snapshot_id,
        new.snapshot_id,
    ]
    for entry in cached_selections(directory):
        if entry.snapshot_id != new.snapshot_id:
            entry.remove()
    (left,) = cached_selections(directory)
    assert (left.snapshot_id, left.samples, left.asked_for) == (new.snapshot_id, 15, "no filter")
    assert left.size_bytes > 15 * 8 * 6 * 3
    assert_same(cached, old)  # an open cache stays readable


WRITES = """
import sys, time
from anomaly_assets.reader import open_samples
from anomaly_assets.reader import cache
if len(sys.argv) > 3:
    from anomaly_assets.reader.samples import Samples
    whole = Samples.batches
    def slowly(self, *arguments, **options):
        for batch in whole(self, *arguments, **options):
            yield batch
            print("wrote", flush=True)
            time.sleep(60)
    Samples.batches = slowly
print(open_samples(sys.argv[1]).cache(sys.argv[2]).images[:].sum())
"""


@pytest.mark.slow
def test_what_a_killed_writer_left_counts_for_nothing_and_can_be_removed(
    tmp_path: Path,
) -> None:
    path = publish_rows(tmp_path / "rows.duckdb", 100, 16)
    directory = tmp_path / "cache"
    command = [sys.executable, "-c", WRITES, str(path), str(directory), "slowly"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as writer:
        assert writer.stdout is not None
        assert writer.stdout.readline() == "wrote\n"
        writer.send_signal(signal.SIGKILL)
    (left,) = cached_selections(directory)
    assert not left.complete
    samples = open_samples(path)
    assert_same(samples.cache(directory), samples)
    assert [entry.complete for entry in cached_selections(directory)] == [True]


@pytest.mark.parametrize("name", [".unfinished-0123", f".0123-4567.{'0' * 32}.unfinished"])
def test_a_half_written_cache_is_listed_with_its_size_and_can_be_removed(
    tmp_path: Path, name: str
) -> None:
    content = tmp_path / name / "content" if name.startswith(".0") else tmp_path / name
    content.mkdir(parents=True)
    (content / "about.json").write_text('{"samples": 3}')
    (entry,) = cached_selections(tmp_path)
    assert (entry.complete, entry.samples, entry.size_bytes) == (False, 0, 14)
    entry.remove()
    assert cached_selections(tmp_path) == []


def test_a_cache_is_on_the_disk_before_it_has_its_name(
    database: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = record_calls(monkeypatch)
    open_samples(database).cache(tmp_path)
    (entry,) = cached_selections(tmp_path)
    files = ("masks.npy", "images.npy", "samples.arrow", "about.json")
    assert calls == [
        *(("fsync", name) for name in files),
        ("fsync", "content"),
        ("rename", "content", entry.folder.name),
        ("fsync", tmp_path.name),
    ]


def test_the_first_of_two_that_write_the_same_is_kept(
    database: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    samples, write, first = open_samples(database), caching._write, list[int]()

    def write_while_another_one_does(folder: Path, *arguments: Any) -> None:
        write(folder, *arguments)
        if not first:
            first.append(0)
            assert_same(samples.cache(tmp_path), samples)
            (entry,) = (each for each in cached_selections(tmp_path) if each.complete)
            first[0] = entry.folder.stat().st_ino

    monkeypatch.setattr(caching, "_write", write_while_another_one_does)
    assert_same(samples.cache(tmp_path), samples)
    (entry,) = cached_selections(tmp_path)
    assert entry.folder.stat().st_ino == first[0]


def test_a_cache_that_goes_away_while_caches_are_listed_is_left_out(
    database: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    samples = open_samples(database)
    samples.cache(tmp_path)
    samples[:2].cache(tmp_path)
    entry_of, gone = caching._entry, list[Path]()

    def removed_before(folder: Path) -> CachedSelection:
        if not gone:
            gone.append(folder)
            shutil.rmtree(folder)
        return entry_of(folder)

    monkeypatch.setattr(caching, "_entry", removed_before)
    (left,) = cached_selections(tmp_path)
    assert left.folder != gone[0]


def test_a_cache_behind_a_link_to_a_disk_that_is_not_mounted_is_refused(
    database: Path, tmp_path: Path
) -> None:
    (tmp_path / "link").symlink_to("disk")
    with pytest.raises(OSError, match=r"link is a symbolic link to .*disk.*: mount or make"):
        open_samples(database).cache(tmp_path / "link" / "cache")
    assert os.listdir(tmp_path) == ["link"]


@pytest.mark.slow
def test_several_processes_may_write_the_same_at_once(database: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-c", WRITES, str(database), str(tmp_path / "cache")]
    writers = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(3)]
    printed = {writer.communicate()[0] for writer in writers}
    assert [writer.returncode for writer in writers] == [0, 0, 0]
    assert printed == {f"{open_samples(database).images[:].sum()}\n"}
    assert [entry.complete for entry in cached_selections(tmp_path / "cache")] == [True]


def test_a_failed_write_leaves_nothing(
    database: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        open_samples(database).cache(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_disk_that_is_too_small_is_noticed_before_anything_is_written(
    database: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shutil.disk_usage", lambda _: _Free)
    with pytest.raises(OSError, match=r"The cache needs 0.0 GB, and 0.0 GB are free"):
        open_samples(database).cache(tmp_path)
    assert list(tmp_path.iterdir()) == []


class _Free:
    free = 100


@pytest.mark.parametrize("name", ["images.npy", "masks.npy", "samples.arrow", "about.json"])
def test_a_damaged_cache_is_named_with_what_to_do(
    database: Path, tmp_path: Path, name: str
) -> None:
    open_samples(database).cache(tmp_path)
    (entry,) = cached_selections(tmp_path)
    content = (entry.folder / name).read_bytes()
    (entry.folder / name).write_bytes(content[: len(content) // 2])
    with pytest.raises(CacheError, match=rf"{entry.folder.name} is not a cached .* Delete it"):
        open_samples(database).cache(tmp_path)


def test_a_cache_that_is_removed_while_others_are_listed_is_left_out(
    database: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    samples = open_samples(database)
    samples.cache(tmp_path)
    samples[:2].cache(tmp_path)
    first, second = cached_selections(tmp_path)
    monkeypatch.setattr(
        cache,
        "_description",
        around(cache._description, lambda: shutil.rmtree(second.folder, True)),
    )
    assert cached_selections(tmp_path) == [first]
    with pytest.raises(
        FileNotFoundError,
        match=r"none does not exist\. Name the directory that was passed to Sampl",
    ):
        cached_selections(tmp_path / "none")


def test_a_process_whose_cache_was_removed_says_so(database: Path, tmp_path: Path) -> None:
    pickled = pickle.dumps(open_samples(database).cache(tmp_path))
    (entry,) = cached_selections(tmp_path)
    entry.remove()
    with pytest.raises(CacheError, match=rf"{entry.folder.name} is not a cached .* Delete it"):
        pickle.loads(pickled)


def test_nothing_is_not_cached(database: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no samples to cache"):
        open_samples(database)[:0].cache(tmp_path)


def test_other_folders_are_left_alone(tmp_path: Path) -> None:
    (tmp_path / "somebody else's").mkdir()
    (tmp_path / "file").touch()
    assert cached_selections(tmp_path) == []


@pytest.mark.parametrize("content", ["{", "[]", ""])
def test_a_damaged_description_hides_no_other_cache_and_can_be_removed(
    database: Path, tmp_path: Path, content: str
) -> None:
    samples = open_samples(database)
    samples.cache(tmp_path)
    samples[:2].cache(tmp_path)
    damaged, _ = cached_selections(tmp_path)
    (damaged.folder / "about.json").write_text(content)
    with pytest.raises(CacheError, match="is damaged"):
        open_cache(damaged.folder)
    found = cached_selections(tmp_path)
    assert sorted(each.complete for each in found) == [False, True]
    next(each for each in found if not each.complete).remove()
    assert len(cached_selections(tmp_path)) == 1
