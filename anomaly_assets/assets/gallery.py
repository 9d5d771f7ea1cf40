"""Define the asset of the gallery: a folder that shows all published images in a browser."""

import time
from pathlib import Path
from typing import Any

import dagster as dg

from anomaly_assets.assets.progress import Progress, duration
from anomaly_assets.assets.reports import materialized, size
from anomaly_assets.assets.resources import WarehouseResource
from anomaly_assets.assets.specs import FRESHNESS, OWNERS, code_references
from anomaly_assets.settings import published_database


class GalleryConfig(dg.Config):
    """Run config of the gallery.

    Attributes:
        details: Write larger images, outlines and further columns too: most of the time and of the size.
    """

    details: bool = True


def gallery_folder(warehouse: WarehouseResource) -> Path:
    """Return the folder that the asset writes: `gallery` beside the contact sheets."""
    return warehouse.pictures_folder.with_name("gallery")


@dg.asset(
    deps=["published_database"],
    group_name="published",
    owners=OWNERS,
    kinds={"python", "report"},
    code_version="1",
    freshness_policy=FRESHNESS,
    metadata=code_references(
        "gallery/build.py", "gallery/index.py", "gallery/folder.py", "assets/gallery.py"
    ),
    description=(
        "A folder that shows all images of the published database in a browser: filters, masks, failed "
        "checks, and what changed since the snapshot before. Open its `index.html` from the disk, or from "
        "any web server; the latest materialization has the path. A selection of the gallery is a query:"
        "\n\n```sql\nSELECT * FROM anomaly.samples_without_tensors WHERE label = 'anomalous';\n```\n\n"
        "`anomaly-assets gallery` writes one elsewhere."
    ),
)
def gallery(
    context: dg.AssetExecutionContext, config: GalleryConfig, warehouse: WarehouseResource
) -> dg.MaterializeResult:
    """Bring the folder up to date with the published database."""
    from anomaly_assets.gallery.build import build_gallery

    started = time.monotonic()
    settings = warehouse.settings
    try:
        made = build_gallery(
            gallery_folder(warehouse),
            published_database(),
            details=config.details,
            workers=settings.workers,
            progress=Progress(context.log.info, "pictures"),
        )
    except LookupError as error:  # every image was removed on purpose
        context.log.warning(f"The gallery is unchanged. {error}")
        return materialized(context, {"images": 0})
    facts: dict[str, Any] = {
        "page": dg.MetadataValue.path(str(made.page)),
        "images": made.images,
        "snapshot_id": made.snapshot_id,
        "size": size(made.tile_bytes + made.detail_bytes + made.index_bytes),
        "took": duration(time.monotonic() - started),
        "written": made.written,
        "packs_written": made.tile_packs + made.detail_packs,
        "tile_bytes": made.tile_bytes,
        "detail_bytes": made.detail_bytes,
        "index_bytes": made.index_bytes,
        "seconds": round(time.monotonic() - started, 3),
    }
    if settings.gallery_url:
        facts["url"] = dg.MetadataValue.url(settings.gallery_url)
    return materialized(context, facts)
