"""Figures of reading: each runs its two sides in turn and yields one ratio per pair."""

from __future__ import annotations

import random
from functools import partial
from pathlib import Path

import numpy as np

from anomaly_assets.reader import open_samples
from benchmarks.bench import Bench, Ratios, bare_loop, seconds


def epoch_against_files(bench: Bench) -> Ratios:
    tree, folder = bench.loaded(bench.mixed)
    files = tree.image_files()
    for _ in range(bench.pairs):
        ours = _epoch(folder)
        yield seconds(lambda: bare_loop(files)) / ours


def _epoch(folder: Path) -> float:
    samples = open_samples(folder / "anomaly.duckdb")
    try:
        return seconds(lambda: [batch.images.shape for batch in samples.batches(64)])
    finally:
        samples.close()


def epoch_against_memmap(bench: Bench) -> Ratios:
    _, folder = bench.loaded(bench.mixed)
    samples = open_samples(folder / "anomaly.duckdb")
    path = folder / "tensors.npy"
    mapped = np.lib.format.open_memmap(path, "w+", np.uint8, (len(samples), *samples.shape))
    start = 0
    for batch in samples.batches(64):
        mapped[start : start + len(batch)] = batch.images
        start += len(batch)
    mapped.flush()
    samples.close()

    def read() -> None:
        array = np.load(path, mmap_mode="r")
        for first in range(0, len(array), 64):
            np.array(array[first : first + 64])

    read()
    for _ in range(bench.pairs):
        ours = _epoch(folder)
        yield seconds(read) / ours


def random_samples(bench: Bench) -> Ratios:
    tree, folder = bench.loaded(bench.mixed)
    files = tree.image_files()
    samples = open_samples(folder / "anomaly.duckdb")
    ids = [image_id for batch in samples.batches(64) for image_id in batch.image_ids]
    for pair in range(bench.pairs):
        chance = random.Random(pair)
        chosen, paths = chance.sample(ids, 64), chance.sample(files, 64)
        ours = seconds(partial(samples.take, chosen))
        yield seconds(partial(bare_loop, paths)) / ours
    samples.close()
