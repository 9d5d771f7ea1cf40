"""Build a gallery: write index and packs that do not exist yet, show them, and remove what is outdated."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection, Iterable, Sequence
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from uuid import uuid4

from anomaly_assets.gallery.content import Content, drop_all, opened, read_content
from anomaly_assets.gallery.details import DetailSource
from anomaly_assets.gallery.folder import Build, Folder, opened_folder
from anomaly_assets.gallery.index import FORMAT, index_of
from anomaly_assets.gallery.packs import Pack, detail_packs, tile_packs
from anomaly_assets.gallery.scripts import call, call_with_text, digest_of
from anomaly_assets.gallery.tiles import tiles_of
from anomaly_assets.reader.database import Database
from anomaly_assets.reader.open import open_database
from anomaly_assets.settings import published_database
from anomaly_assets.tables.sql_text import column_names
from anomaly_assets.version import code_version

Progress = Callable[[int, int], None]
"""Called with the number of pictures that are written, and the number to write."""

_START = "index.html"


@dataclass(frozen=True)
class Gallery:
    """Result of a build.

    Attributes:
        page: File to open in a browser.
        snapshot_id: The snapshot that it shows.
        images: Number of images.
        written: False if the folder already showed this.
        tile_packs: Number of packs of tiles that were written.
        detail_packs: Number of packs of details that were written.
        tile_bytes: Size of all tiles.
        detail_bytes: Size of all details.
        index_bytes: Size of the index.
    """

    page: Path
    snapshot_id: str
    images: int
    written: bool
    tile_packs: int
    detail_packs: int
    tile_bytes: int
    detail_bytes: int
    index_bytes: int


def build_gallery(
    out: str | Path,
    database: str | None = None,
    *,
    details: bool = True,
    workers: int = 1,
    progress: Progress | None = None,
) -> Gallery:
    """Write a gallery of all images of a published database, or bring one up to date.

    A build writes only the packs whose content is new. If it fails or is killed, the folder shows what it
    showed before, and the next build uses the packs that are complete.

    Args:
        out: A folder that does not exist, is empty, or holds a gallery.
        database: The published database, as `open_samples` takes it.
        details: Write the files with larger images, outlines and all columns too.
        workers: Number of threads that draw.
        progress: Called as packs are written.

    Raises:
        DatabaseError: The database cannot be read.
        FileNotFoundError: The database does not exist.
        GalleryError: The folder cannot be written, or holds something else.
        LookupError: The database has no samples.
    """
    location = published_database() if database is None else database
    with closing(open_database(location)) as found, opened_folder(out) as folder:
        inputs = _inputs(found, details)
        newest = next(iter(folder.builds), None)
        if newest is not None and newest.inputs == inputs and folder.holds(newest):
            return _result(folder, newest, 0, 0, written=False)
        content = read_content(found)
        with closing(content.samples):
            return _built(folder, found, content, inputs, details, workers, progress)


def _inputs(database: Database, details: bool) -> str:
    """Return a digest that changes with everything that a gallery shows, without reading any image."""
    with opened(database) as cursor:
        snapshots = cursor.execute(
            "SELECT epoch_us(published_at) FROM snapshots WHERE snapshot_id = ?",
            [database.snapshot_id],
        ).fetchall()
        results = [
            cursor.execute(f"SELECT count(*), bit_xor(hash(row)) FROM {name} AS row").fetchall()  # noqa: S608
            for name in ("quality", "quality_images", "baseline_scores", "baseline_maps")
            if column_names(cursor, name)
        ]
    # A warehouse has no snapshot of its content: it is read each time.
    snapshot = database.snapshot_id or uuid4().hex
    return digest_of([FORMAT, code_version(), details, snapshot, snapshots, repr(results)])


def _built(
    folder: Folder,
    database: Database,
    content: Content,
    inputs: str,
    details: bool,
    workers: int,
    progress: Progress | None,
) -> Gallery:
    source = DetailSource.of(database, content) if details else None
    of_tiles = tile_packs(content)
    of_details = detail_packs(content, source.inputs) if source else []
    folder.begin()
    existing = folder.existing()
    path = _write_index(folder, existing, [*index_of(content, of_tiles, of_details)])
    new_tiles = [pack for pack in of_tiles if pack.path not in existing]
    new_details = [pack for pack in of_details if pack.path not in existing]
    tiles = [(pack, partial(_write_tiles, folder, database, content, pack)) for pack in new_tiles]
    further = [
        (pack, partial(_write_details, folder, source, pack)) for pack in new_details if source
    ]
    total = sum(len(pack.rows) for pack in (*new_tiles, *new_details))
    done = 0
    for tasks in (tiles, further):
        done = _run(tasks, workers, progress, done, total)
        with opened(database) as cursor:
            drop_all(cursor)
    packs = tuple(pack.path for pack in (*of_tiles, *of_details))
    build = Build(inputs, content.snapshot_id, content.published_at, len(content), path, packs)
    folder.finish(build)
    return _result(folder, build, len(new_tiles), len(new_details), written=True)


def _write_index(folder: Folder, existing: Collection[str], index: Sequence[str]) -> str:
    """Write the index, unless it exists, and return its path; no page reads it before the build ends."""
    digest = hashlib.sha256()
    for piece in index:
        digest.update(piece.encode())
    name = digest.hexdigest()[:16]
    path = f"data/index-{name}.js"
    if path not in existing:
        folder.write(path, call_with_text("index", name, index))
    return path


def _write_tiles(folder: Folder, database: Database, content: Content, pack: Pack) -> None:
    tiles = tiles_of(database, content, pack.rows)
    folder.write(pack.path, [call("tiles", pack.path, tiles)])


def _write_details(folder: Folder, source: DetailSource, pack: Pack) -> None:
    folder.write(pack.path, [call("details", pack.path, source.details_of(pack.rows))])


def _run(
    tasks: Sequence[tuple[Pack, Callable[[], None]]],
    workers: int,
    progress: Progress | None,
    done: int,
    total: int,
) -> int:
    """Run the tasks in threads, and return the number of pictures done; the first error ends all."""
    pool = ThreadPoolExecutor(max(1, workers), thread_name_prefix="gallery")
    try:
        waiting = {pool.submit(task): len(pack.rows) for pack, task in tasks}
        while waiting:
            finished, _ = wait(waiting, timeout=1.0, return_when=FIRST_COMPLETED)
            for future in finished:
                future.result()
                done += waiting.pop(future)
                if progress:
                    progress(done, total)
    finally:
        pool.shutdown(cancel_futures=True)
    return done


def _result(
    folder: Folder, build: Build, new_tiles: int, new_details: int, *, written: bool
) -> Gallery:
    def size(paths: Iterable[str]) -> int:
        return sum((folder.path / path).stat().st_size for path in paths)

    return Gallery(
        folder.path / _START,
        build.snapshot_id,
        build.images,
        written,
        new_tiles,
        new_details,
        size(path for path in build.files if path.startswith("tiles/")),
        size(path for path in build.files if path.startswith("details/")),
        size([build.index]),
    )
