"""Test collated batches of tensors, read here and by workers of each kind."""

from __future__ import annotations

import gc
import itertools
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from anomaly_assets.reader import Samples, open_samples
from anomaly_assets_tests.reader import vision
from anomaly_assets_tests.reader.published import SHAPE, publish_rows

torch = pytest.importorskip("torch")
vision.make_importable()

COUNT, SIDE, SIZE = 90, 16, 7
WORKERS = [
    pytest.param({}, id="no worker"),
    pytest.param({"num_workers": 2, "multiprocessing_context": "fork"}, id="fork"),
    pytest.param(
        {"num_workers": 1, "multiprocessing_context": "spawn"}, id="spawn", marks=pytest.mark.slow
    ),
    pytest.param({"num_workers": 1, "multiprocessing_context": "forkserver"}, id="forkserver"),
]
FORKED: dict[str, Any] = {"num_workers": 2, "multiprocessing_context": "fork"}


@pytest.fixture(scope="module")
def samples(tmp_path_factory: pytest.TempPathFactory) -> Samples:
    return open_samples(publish_rows(tmp_path_factory.mktemp("rows") / "rows.duckdb", COUNT, SIDE))


def assert_is(batch: dict[str, Any], expected: Any) -> None:
    assert batch["image_id"] == expected.image_ids
    assert np.array_equal(batch["image"].numpy(), expected.images.transpose(0, 3, 1, 2))
    assert np.array_equal(batch["mask"].numpy(), expected.masks)
    assert batch["has_mask"].tolist() == expected.has_mask.tolist()
    assert batch["label"].tolist() == expected.label_indices.tolist()
    assert batch["category"] == expected.categories
    assert batch["split"] == expected.splits
    assert batch["defect_type"] == expected.defect_types


@pytest.mark.parametrize("options", WORKERS)
@pytest.mark.parametrize("drop_last", [False, True])
def test_an_epoch_has_the_batches_of_its_seed(
    samples: Samples, options: dict[str, Any], drop_last: bool
) -> None:
    loader = samples.to_loader(SIZE, shuffle=3, drop_last=drop_last, **options)
    for epoch in (0, 1):
        expected = list(samples.batches(SIZE, shuffle=3 + epoch, drop_last=drop_last))
        found = list(loader)  # more batches than slots
        assert len(found) == len(expected) == len(loader) == (12 if drop_last else 13)
        for batch, wanted in zip(found, expected, strict=True):
            assert_is(batch, wanted)


def test_the_epoch_can_be_set_and_without_a_seed_the_order_is_kept(samples: Samples) -> None:
    loader = samples.to_loader(COUNT, shuffle=0)
    loader.set_epoch(5)
    assert repr(loader) == f"<{len(loader)} batches of up to {COUNT} of {samples!r}>"
    assert_is(next(iter(loader)), next(samples.batches(COUNT, shuffle=5)))
    assert_is(next(iter(samples.to_loader(COUNT))), next(samples.batches(COUNT)))


@pytest.mark.parametrize("options", [{}, FORKED], ids=["no worker", "fork"])
@pytest.mark.parametrize("channels_last", [True, False])
@pytest.mark.parametrize("normalised", [True, False])
def test_types_and_memory_formats_are_the_documented_ones(
    database: Path, options: dict[str, Any], channels_last: bool, normalised: bool
) -> None:
    bottles = open_samples(database, category="bottle")
    bottles = bottles.normalised() if normalised else bottles
    height, width, channels = SHAPE
    start = 0
    for batch in bottles.to_loader(4, channels_last=channels_last, **options):
        image, count = batch["image"], len(batch["image_id"])
        assert image.shape == (count, channels, height, width)
        assert image.dtype == (torch.float32 if normalised else torch.uint8)
        form = torch.channels_last if channels_last else torch.contiguous_format
        assert image.is_contiguous(memory_format=form)
        assert (batch["mask"].dtype, batch["mask"].shape) == (torch.uint8, (count, height, width))
        assert (batch["label"].dtype, batch["has_mask"].dtype) == (torch.int64, torch.bool)
        assert_is(batch, bottles.batch(range(start, start + count)))
        start += count
    assert start == len(bottles)


@pytest.mark.slow
@pytest.mark.parametrize("options", [{}, FORKED], ids=["no worker", "fork"])
def test_what_refers_to_a_batch_keeps_its_memory(samples: Samples, options: dict[str, Any]) -> None:
    """Keep the memory for views, arrays of views and memory views after the tensors are deleted."""
    kept = []
    keep = (
        lambda batch: batch["image"][2:, 1],
        lambda batch: batch["image"].numpy()[2:, 1],
        lambda batch: np.asarray(memoryview(batch["image"].numpy()))[2:, 1],
        lambda batch: torch.from_numpy(batch["image"].numpy()[2:, 1]),
        lambda batch: torch.from_dlpack(batch["image"])[2:, 1],
    )
    for number, batch in enumerate(samples.to_loader(SIZE, drop_last=True, **options)):
        kept.append(keep[number % len(keep)](batch))
        del batch
        gc.collect()
    images = samples.images[:]
    for number, part in enumerate(kept):
        expected = images[number * SIZE : (number + 1) * SIZE].transpose(0, 3, 1, 2)[2:, 1]
        assert np.array_equal(np.asarray(part), expected)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("options", "persistent"),
    [({}, False), (FORKED, False), (FORKED, True)],
    ids=["no worker", "fork", "persistent"],
)
def test_batches_that_are_dropped_leave_their_memory_to_later_ones(
    samples: Samples, options: dict[str, Any], persistent: bool
) -> None:
    """Count the batches of one epoch, and of all epochs unless each of them has its own workers."""
    loader = samples.to_loader(SIZE, drop_last=True, persistent_workers=persistent, **options)
    epochs = [{batch["image"].data_ptr() for batch in loader} for _ in range(3)]
    if options and not persistent:
        assert max(map(len, epochs)) <= 7
    else:
        assert len(set.union(*epochs)) <= (7 if options else 3)


@pytest.mark.slow
@pytest.mark.parametrize("persistent", [True, False])
def test_an_epoch_that_is_left_early_spoils_no_later_one(
    samples: Samples, persistent: bool
) -> None:
    loader = samples.to_loader(SIZE, persistent_workers=persistent, **FORKED)
    first = next(iter(loader))
    for _ in range(4):
        third = next(itertools.islice(loader, 2, None))
    assert_is(first, samples.batch(range(SIZE)))
    assert_is(third, samples.batch(range(2 * SIZE, 3 * SIZE)))
    for batch, expected in zip(loader, samples.batches(SIZE), strict=True):
        assert_is(batch, expected)


@pytest.mark.slow
@pytest.mark.parametrize("persistent", [True, False])
def test_iterations_of_one_loader_may_overlap(samples: Samples, persistent: bool) -> None:
    """Leave some epochs early, and keep batches of all epochs for a while."""
    loader = samples.to_loader(SIZE, persistent_workers=persistent, **FORKED)
    expected = list(samples.batches(SIZE))
    kept: list[tuple[dict[str, Any], Any]] = []
    count = 0
    for batch, wanted in zip(loader, expected, strict=True):
        count += 1
        kept = [*kept[-5:], (batch, wanted)]
        if count % 3 == 1:
            kept.append((next(iter(loader)), expected[0]))
        for each in kept:
            assert_is(*each)
    assert count == len(loader)
    for one, other, wanted in zip(loader, loader, expected, strict=True):
        assert_is(one, wanted)
        assert_is(other, wanted)


@pytest.mark.parametrize("persistent", [True, False])
def test_deleting_an_iterator_ends_no_other_one(samples: Samples, persistent: bool) -> None:
    loader = samples.to_loader(SIZE, persistent_workers=persistent, **FORKED)
    unfinished = iter(loader)
    next(unfinished)
    count = 0
    for batch, wanted in zip(loader, samples.batches(SIZE), strict=True):
        assert_is(batch, wanted)
        count += 1
        if count == 3:
            del unfinished
    assert count == len(loader)


@pytest.mark.slow
def test_persistent_workers_are_reused_after_an_epoch_and_after_one_left_early(
    samples: Samples,
) -> None:
    loader = samples.to_loader(SIZE, persistent_workers=True, **FORKED)
    processes = set()
    for length in (13, 3, 13, 1, 13):
        assert len(list(itertools.islice(loader, length))) == length
        gc.collect()
        results: Any = loader._idle[0]._results
        processes.add(tuple(worker.pid for worker in results._workers))
    assert len(processes) == 1


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork")
@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
@pytest.mark.parametrize("persistent", [True, False])
def test_a_forked_process_keeps_its_batches_and_leaves_the_iteration_to_its_parent(
    samples: Samples, persistent: bool
) -> None:
    loader = samples.to_loader(SIZE, persistent_workers=persistent, **FORKED)
    expected = list(samples.batches(SIZE))
    batches = iter(loader)
    batch = next(batches)
    (readable, written), (report, reported) = os.pipe(), os.pipe()
    child = os.fork()
    if not child:
        answer = b"no error"
        try:
            next(batches)
        except RuntimeError as error:
            answer = str(error).encode()
        del batches
        os.write(reported, answer)
        os.read(readable, 1)
        same = np.array_equal(batch["image"].numpy().transpose(0, 2, 3, 1), expected[0].images)
        os._exit(0 if same else 1)
    assert b"begun before the process was forked" in os.read(report, 1000)
    del batch
    for batch, wanted in zip(batches, expected[1:], strict=True):
        assert_is(batch, wanted)
    for _ in range(3):
        for batch, wanted in zip(loader, expected, strict=True):
            assert_is(batch, wanted)
    os.write(written, b"x")
    assert os.waitpid(child, 0)[1] == 0
    for end in (readable, written, report, reported):
        os.close(end)


def test_workers_open_no_duckdb_and_verify_nothing_again(
    samples: Samples, monkeypatch: pytest.MonkeyPatch
) -> None:
    list(samples.to_loader(SIZE, **FORKED))
    blobs = samples._pixels._found.images  # type: ignore[attr-defined]
    assert blobs.intact[blobs.blocks].all()  # verified by workers, for all

    def refused(*_: Any) -> None:
        raise AssertionError

    main = os.getpid()
    again = type(samples._pixels._database)._again  # type: ignore[attr-defined]
    monkeypatch.setattr(
        type(samples._pixels._database),  # type: ignore[attr-defined]
        "_again",
        lambda database: again(database) if os.getpid() == main else refused(),
    )
    monkeypatch.setattr("anomaly_assets.reader.pixels.duckdb_blocks._content_of", refused)
    assert len(list(samples.to_loader(SIZE, **FORKED))) == 13


@pytest.mark.parametrize(
    ("size", "count", "slots"), [(45, 90, 2), (10_000, 90, 1), (7, 90, 7), (7, 3, 1)]
)
def test_no_more_memory_is_reserved_than_an_epoch_has_batches(
    samples: Samples, size: int, count: int, slots: int
) -> None:
    few = samples[:count]
    loader = few.to_loader(size, persistent_workers=True, **FORKED)
    for _ in range(2):
        assert sum(len(batch["label"]) for batch in loader) == count
    page = 4096
    of_batch = -(-min(size, count) * SIDE * SIDE * 4 // page) * page
    assert loader._idle[0].slots._block.size == slots * of_batch


def test_no_samples_are_no_batches(samples: Samples) -> None:
    assert list(samples[:0].to_loader(4, **FORKED)) == []


def test_errors_of_workers_are_raised_here(tmp_path: Path) -> None:
    path = publish_rows(tmp_path / "rows.duckdb", COUNT, SIDE)
    loader = open_samples(path).to_loader(SIZE, **FORKED)
    os.utime(path, (1, 1))
    with pytest.raises(RuntimeError, match="was written to since these samples were opened"):
        list(loader)


@pytest.mark.parametrize(
    ("options", "kind"),
    [
        ({"batch_size": 0}, ValueError),
        ({"batch_size": 2.0}, TypeError),
        ({"shuffle": True}, TypeError),
        ({"num_workers": -1}, ValueError),
        ({"persistent_workers": True}, ValueError),
    ],
)
def test_impossible_options_are_refused_at_once(
    samples: Samples, options: dict[str, Any], kind: type[Exception]
) -> None:
    given: dict[str, Any] = {"batch_size": 4, **options}
    with pytest.raises(kind):
        samples.to_loader(**given)
