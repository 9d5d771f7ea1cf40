"""Write a folder that shows all images of a published database in a browser."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from anomaly_assets.cli.running import (
    begin_work,
    examples,
    expected,
    interrupted,
    not_empty,
    warn_of_unknown_variables,
)
from anomaly_assets.datasets.names import counted

if TYPE_CHECKING:
    from anomaly_assets.gallery.build import Gallery


@click.command(
    epilog=examples(
        "anomaly-assets gallery",
        "anomaly-assets gallery --out /srv/www/parts --no-details",
        "anomaly-assets gallery --database /srv/anomaly.duckdb --out gallery",
    )
)
@click.option(
    "--out",
    default="data/gallery",
    show_default=True,
    callback=not_empty,
    metavar="DIR",
    help="Folder of the gallery.",
)
@click.option(
    "--database",
    callback=not_empty,
    metavar="FILE",
    help="The published database (data/anomaly.duckdb).",
)
@click.option(
    "--no-details",
    is_flag=True,
    help="Leave out larger images, outlines and further columns: a fifth of the size.",
)
@click.option("--quiet", is_flag=True, help="Print nothing but errors.")
def command(out: str, database: str | None, no_details: bool, quiet: bool) -> int:
    """Write a folder that shows all images of a published database in a browser.

    Open index.html of the folder from the disk, or from any web server. An existing gallery is brought up
    to date; docs/gallery.md describes its files.
    """
    import duckdb
    from tqdm import tqdm

    with expected(ImportError):
        from anomaly_assets.gallery.build import build_gallery
    from anomaly_assets.settings import Settings

    begin_work()
    warn_of_unknown_variables()
    with tqdm(desc="gallery", unit=" pictures", disable=True if quiet else None) as bar:

        def advance(done: int, total: int) -> None:
            bar.total = total
            bar.update(done - bar.n)

        try:
            with expected(LookupError, ValueError, OSError, RuntimeError, duckdb.Error):
                made = build_gallery(
                    out,
                    database,
                    details=not no_details,
                    workers=Settings.from_environment().workers,
                    progress=advance,
                )
        except KeyboardInterrupt:
            return interrupted(f"interrupted: {out} shows what it showed before")
    if not quiet:
        print(_sentence(made))
    return 0


def _sentence(made: Gallery) -> str:
    size = made.tile_bytes + made.detail_bytes + made.index_bytes
    new = f"{made.tile_packs + made.detail_packs} new files" if made.written else "up to date"
    return (
        f"{counted(made.images, 'image')} of snapshot {made.snapshot_id[:12]}, "
        f"{size / 1e6:.1f} MB, {new}.\n"
        f"Open {made.page} in a browser."
    )
