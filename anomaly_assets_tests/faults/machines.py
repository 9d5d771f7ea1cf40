"""Simulate faults of machines: little memory, strange workers, other settings, repeated copies."""

from __future__ import annotations

import os
import resource
import shutil
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from unittest import mock

from PIL import Image

from anomaly_assets.reader import open_samples
from anomaly_assets_tests.dask.cluster import Cluster, running_cluster
from anomaly_assets_tests.faults import trees
from anomaly_assets_tests.faults.command import (
    Command,
    Fault,
    Skip,
    Workspace,
    require_module,
)
from anomaly_assets_tests.faults.installed import (
    SAMPLES,
    SIDE,
    config,
    decoded_at,
    expect_samples,
    installed,
    query,
    rows_of_samples,
    tree_of,
)
from anomaly_assets_tests.faults.outages import fingerprint, must_fail
from anomaly_assets_tests.faults.refusals import refused
from anomaly_assets_tests.faults.scene import Scene, discard
from anomaly_assets_tests.faults.trials import Facts, Trial
from anomaly_assets_tests.stores.servers import NotInstalledError
from anomaly_assets_tests.warehouse.lake.postgres import PASSWORD, postgresql

_LARGE = 8000
"""Side of a picture in pixels that takes 192 MB when it is decoded."""

_ROOM_BYTES = 64_000_000
_CATEGORIES = 120
_REJECTED = "SELECT count(*) FROM rejected_images"
_GOOD = Path("mvtec_ad", "bolt", "train", "good")


def trials(scene: Scene, quick: bool) -> Iterator[Trial]:
    """Plan trials on what a machine can lack or have otherwise."""
    run = partial(_another_size, scene)
    yield Trial("machine", "a second machine asks for another size of the tensors", run)
    if quick:
        return
    if sys.platform == "linux":
        run = partial(_little_memory, scene)
        yield Trial("machine", "two large images, and no memory for them", run)
    yield Trial("machine", "120 categories in a source dataset", partial(_categories, scene))
    run = partial(_strange_worker, scene)
    yield Trial("machine", "a worker of the cluster has Pillow 9.5", run)
    run = partial(_second_copy, scene)
    yield Trial("machine", "a worker has another copy of the root under its path", run)
    yield Trial("copy", "killed, repeated, and repeated again, to a file", partial(_copies, scene))
    run = partial(_copy_to_lake, scene)
    yield Trial("copy", "to a lake, which publishes, and repeated", run)


def _another_size(scene: Scene) -> Facts:
    workspace = installed(scene)
    decoded = decoded_at(workspace.warehouse)
    workspace.image_size = SIDE * 2
    change = r"image_tensors\W+config\W+change_shape\W+true"
    command = refused(workspace, change, f"{SIDE}x{SIDE}", f"{SIDE * 2}x{SIDE * 2}")
    if decoded_at(workspace.warehouse) != decoded:
        raise Fault("the refused run decoded", command.tail())
    trees.add(tree_of(workspace) / _GOOD, 1)
    workspace.run(ANOMALY_IMAGE_SIZE="")
    shapes = "SELECT DISTINCT height, width FROM samples"
    if (found := query(workspace.database, shapes)) != [(SIDE, SIDE)]:
        raise Fault(f"a machine that names no size made {found}")
    workspace.run(config=config("image_tensors", change_shape=True))
    if (found := query(workspace.database, shapes)) != [(SIDE * 2, SIDE * 2)]:
        raise Fault(f"after the change on purpose there are {found}")
    discard(workspace)
    return {"decoded_by_the_refused_run": 0}


def _little_memory(scene: Scene) -> Facts:
    workspace = installed(scene)
    for number in (901, 902):
        picture = Image.new("RGB", (_LARGE, _LARGE), (number % 256, 90, 30))
        picture.save(tree_of(workspace) / _GOOD / f"{number}.png", compress_level=1)
    bounded: list[int] = []

    def bound(command: Command) -> None:
        command.wait_for("image_tensors")
        size = _address_space(command.process.pid) + _ROOM_BYTES
        resource.prlimit(command.process.pid, resource.RLIMIT_AS, (size, size))
        bounded.append(size)

    facts = must_fail(workspace, r"too little memory|MemoryError|[Oo]ut of [Mm]emory", bound)
    for database in (workspace.warehouse, workspace.database):
        if (found := query(database, _REJECTED)) != [(0,)]:
            raise Fault(f"{found} images were rejected for want of memory")
    workspace.run()
    expect_samples(workspace, {**SAMPLES, "mvtec_ad": 36})
    discard(workspace)
    return {**facts, "address_space_mb": bounded[0] // 1_000_000}


def _address_space(process: int) -> int:
    pages = Path(f"/proc/{process}/statm").read_text("ascii").split()[0]
    return int(pages) * resource.getpagesize()


def _categories(scene: Scene) -> Facts:
    workspace = installed(scene)
    root = tree_of(workspace) / "mvtec_ad"
    picture = trees.images(root)[0]
    for number in range(_CATEGORIES):
        good = root / f"part-{number:03}" / "train" / "good"
        good.mkdir(parents=True)
        trees.shifted(picture, good / "000.png", number)
    workspace.run()
    expect_samples(workspace, {**SAMPLES, "mvtec_ad": 34 + _CATEGORIES})
    sheets = [*workspace.data.glob("contact_sheets/mvtec_ad/part-*.jpg")]
    if len(sheets) != _CATEGORIES:
        raise Fault(f"{len(sheets)} of {_CATEGORIES} categories have a contact sheet")
    discard(workspace)
    return {"contact_sheets": len(sheets)}


@contextmanager
def _cluster(workspace: Workspace, workers: int) -> Iterator[Cluster]:
    require_module("distributed")
    with running_cluster(workspace.folder / f"cluster-{workers}", workers) as cluster:
        workspace.variables = {"ANOMALY_COMPUTE": cluster.location}
        yield cluster
    workspace.variables = {}


def _strange_worker(scene: Scene) -> Facts:
    workspace = installed(scene)
    trees.add(tree_of(workspace) / _GOOD, 3)
    older = workspace.folder / "older.py"
    older.write_text("import PIL.Image\nPIL.__version__ = '9.5.0'\n", "utf-8")
    with _cluster(workspace, 1) as cluster:
        cluster.add_worker(options=("--preload", str(older)))
        cluster.wait_for_workers(2)
        facts = must_fail(workspace, r"has Pillow 9\.5\.0")
    _expect_nothing_decoded(workspace)
    with _cluster(workspace, 2):
        workspace.run()
    expect_samples(workspace, {**SAMPLES, "mvtec_ad": 37})
    discard(workspace)
    return facts


def _second_copy(scene: Scene) -> Facts:
    if os.geteuid() != 0 or shutil.which("unshare") is None:
        raise Skip("giving a process another folder under a path needs root and unshare")
    workspace = installed(scene)
    root, copy = tree_of(workspace) / "mvtec_ad", workspace.folder / "copy"
    trees.add(root / _GOOD.relative_to("mvtec_ad"), 8)
    shutil.copytree(root, copy, copy_function=shutil.copyfile)  # with times of its own
    for number, path in enumerate(trees.images(copy)):
        trees.shifted(path, path, 1 + number)
    with _cluster(workspace, 0) as cluster:
        hidden = ("unshare", "--mount", "sh", "-c", _MOUNT, "sh", str(copy), str(root))
        cluster.add_worker(wrapper=hidden)
        cluster.wait_for_workers(1)
        facts = must_fail(workspace, "was changed or replaced since")
    _expect_nothing_decoded(workspace)
    workspace.run()
    expect_samples(workspace, {**SAMPLES, "mvtec_ad": 42})
    discard(workspace)
    return facts


_MOUNT = 'mount --bind "$1" "$2" && shift 2 && exec "$@"'


def _expect_nothing_decoded(workspace: Workspace) -> None:
    for table in ("rejected_images", "image_tensors"):
        [(rows,)] = query(workspace.warehouse, f"SELECT count(*) FROM {table}")
        if rows != {"rejected_images": 0, "image_tensors": sum(SAMPLES.values())}[table]:
            raise Fault(f"{table} has {rows} rows after a run that had to decode nothing")


def _copies(scene: Scene) -> Facts:
    workspace = installed(scene)
    target = workspace.folder / "copied.duckdb"
    named = ("--from", str(workspace.database), "--to", str(target))
    copy = ("anomaly_assets.warehouse", "copy", *named)
    killed = 0
    for seconds in (0.6, 0.9, 1.2, 1.5):
        with workspace.module(*copy) as command:
            time.sleep(seconds)
            killed += command.kill()
        if target.exists():
            break
    if not target.exists():
        with workspace.module(*copy) as command:
            command.succeed()
    if rows_of_samples(target) != rows_of_samples(workspace.database):
        raise Fault("the copy differs from its source", command.tail())
    before = fingerprint(target)
    trees.add(tree_of(workspace) / _GOOD, 3)
    workspace.run()
    with workspace.module(*copy) as command:
        code = command.end()
    if code == 0 or fingerprint(target) != before:
        raise Fault(f"a repeated copy exits with {code} and replaces the first", command.tail())
    discard(workspace)
    return {"killed": killed}


def _copy_to_lake(scene: Scene) -> Facts:
    workspace = installed(scene)
    try:
        with postgresql() as server:
            server.create("team")
            location, data = server.location("team"), str(workspace.folder / "lake")
            secret = {"PGPASSWORD": PASSWORD}
            named = ("--from", str(workspace.database), "--to", location, "--lake-data", data)
            copy = ("anomaly_assets.warehouse", "copy", *named)
            with workspace.module(*copy, **secret) as command:
                command.succeed()
            trees.add(tree_of(workspace) / _GOOD, 3)
            workspace.run(ANOMALY_WAREHOUSE=location, PGPASSWORD=PASSWORD)
            before = _samples_of_lake(location)
            with workspace.module(*copy, **secret) as command:
                code = command.end()
            after = _samples_of_lake(location)
    except NotInstalledError as error:
        raise Skip(str(error)) from error
    if code == 0 or (before, after) != (65, 65):
        raise Fault(f"exit {code}; {before} samples before and {after} after", command.tail())
    discard(workspace)
    return {"samples": after}


def _samples_of_lake(location: str) -> int:
    with (
        mock.patch.dict(os.environ, {"PGPASSWORD": PASSWORD}),
        open_samples(location) as samples,
    ):
        return len(samples)
