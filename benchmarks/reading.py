"""Figures of reading: each runs its two sides in turn and yields one ratio per pair."""

from __future__ import annotations

import random
from contextlib import closing
from functools import partial
from pathlib import Path

import numpy as np
import numpy.typing as npt

from anomaly_assets.reader import Samples, open_samples
from benchmarks.bench import Bench, Ratios, bare_loop, seconds


def epoch_against_files(bench: Bench) -> Ratios:
    tree, folder = bench.loaded(bench.mixed)
    files = tree.image_files()
    with closing(open_samples(folder / "anomaly.duckdb")) as samples:
        print(f"    first epoch {_epoch(samples):.2f} s", flush=True)
        for _ in range(bench.pairs):
            ours = _epoch(samples)
            yield seconds(lambda: bare_loop(files)) / ours


def _epoch(samples: Samples) -> float:
    return seconds(lambda: [batch.images.shape for batch in samples.batches(64)])


def epoch_against_memmap(bench: Bench) -> Ratios:
    _, folder = bench.loaded(bench.mixed)
    with closing(open_samples(folder / "anomaly.duckdb")) as samples:
        count, (height, width, channels) = len(samples), samples.shape
        images = _mapped(folder / "images.npy", (count, height, width, channels))
        masks = _mapped(folder / "masks.npy", (count, height, width))
        start = 0
        for batch in samples.batches(64):
            images[start : start + len(batch)] = batch.images
            masks[start : start + len(batch)] = batch.masks
            start += len(batch)

        def read() -> None:
            for first in range(0, count, 64):
                np.array(images[first : first + 64])
                np.array(masks[first : first + 64])

        read()
        for _ in range(bench.pairs):
            ours = _epoch(samples)
            yield seconds(read) / ours


def _mapped(path: Path, shape: tuple[int, ...]) -> npt.NDArray[np.uint8]:
    return np.lib.format.open_memmap(path, "w+", np.uint8, shape)


def random_samples(bench: Bench) -> Ratios:
    tree, folder = bench.loaded(bench.mixed)
    files = tree.image_files()
    with closing(open_samples(folder / "anomaly.duckdb")) as samples:
        ids = [image_id for batch in samples.batches(64) for image_id in batch.image_ids]
        for pair in range(bench.pairs):
            chance = random.Random(pair)
            chosen, paths = chance.sample(ids, 64), chance.sample(files, 64)
            ours = seconds(partial(samples.take, chosen))
            yield seconds(partial(bare_loop, paths)) / ours
