"""Test that a changed file in a store has another version and is loaded again, without the other files."""

from __future__ import annotations

from pathlib import Path

import pytest

from anomaly_assets.roots.base import FileChangedError
from anomaly_assets.roots.open import open_root
from anomaly_assets.warehouse.file.warehouse import FileWarehouse
from anomaly_assets_tests.stores.store import Store
from anomaly_assets_tests.stores.trees import (
    build,
    image,
    load_root,
    loaded,
    pictures,
    rows,
    zipped,
)

CHANGED = "bottle/test/good/000.png"
MASKED = "bottle/test/broken/001.png"
MASK = "bottle/ground_truth/broken/001_mask.png"
ADDED = "bottle/train/good/002.png"
DELETED = "bottle/train/good/000.png"


def versions(warehouse: FileWarehouse) -> dict[str, tuple[str, str | None, str]]:
    """Return the versions of image and mask, and the digest of the image, by relative path."""
    found = rows(
        warehouse,
        "SELECT relative_path, images.file_version, images.mask_file_version, content_sha256 "
        "FROM images JOIN image_tensors USING (image_id)",
    )
    return {path: (version, of_mask, digest) for path, version, of_mask, digest in found}


def test_what_changed_in_a_store_is_loaded_again_and_nothing_else(
    store: Store, prefix: str, tmp_path: Path
) -> None:
    location = store.put_files(prefix, pictures())
    warehouse = loaded(tmp_path, "mvtec_ad", location)
    before = versions(warehouse)
    assert not load_root(warehouse, "mvtec_ad", location).any_change

    store.put(f"{prefix}/{CHANGED}", image(90))  # of the same length as before
    store.put(f"{prefix}/{MASK}", image(91))
    store.put(f"{prefix}/{ADDED}", image(92))
    store.delete(f"{prefix}/{DELETED}")
    images = load_root(warehouse, "mvtec_ad", location).tables["images"]
    assert (images.inserted, images.updated, images.deleted, images.unchanged) == (1, 2, 1, 2)
    report = build(warehouse, "mvtec_ad", location)
    assert (report.decoded, report.unchanged, report.removed) == (3, 2, 1)

    after = versions(warehouse)
    assert after.keys() == (before.keys() - {DELETED}) | {ADDED}
    differing = {path for path in before.keys() & after.keys() if before[path] != after[path]}
    assert differing == {CHANGED, MASKED}
    assert after[CHANGED][0] != before[CHANGED][0]
    assert after[CHANGED][2] != before[CHANGED][2]
    assert after[MASKED][0] == before[MASKED][0]
    assert after[MASKED][1] != before[MASKED][1]
    assert not load_root(warehouse, "mvtec_ad", location).any_change
    assert build(warehouse, "mvtec_ad", location).decoded == 0


def test_of_an_archive_that_was_packed_anew_only_the_changed_members_are_decoded(
    store: Store, prefix: str, tmp_path: Path
) -> None:
    files = pictures()
    store.put(f"{prefix}/x.zip", zipped(tmp_path / "x.zip", files).read_bytes())
    location = store.location(f"{prefix}/x.zip")
    warehouse = loaded(tmp_path, "mvtec_ad", location)
    files[CHANGED] = image(90)
    store.put(f"{prefix}/x.zip", zipped(tmp_path / "x.zip", files).read_bytes())
    assert load_root(warehouse, "mvtec_ad", location).tables["images"].updated == 1
    assert build(warehouse, "mvtec_ad", location).decoded == 1


def test_what_is_overwritten_after_the_listing_is_stored_after_the_next_one_and_not_before(
    store: Store, prefix: str, tmp_path: Path
) -> None:
    location = store.put_files(prefix, pictures())
    warehouse = loaded(tmp_path, "mvtec_ad", location)
    before = versions(warehouse)
    for path in (CHANGED, MASK):
        store.put(f"{prefix}/{path}", image(90))
    load_root(warehouse, "mvtec_ad", location)
    for path in (CHANGED, MASK):
        store.put(f"{prefix}/{path}", image(91))  # of the same length
    report = build(warehouse, "mvtec_ad", location)
    assert (report.decoded, report.removed, report.unchanged) == (0, 0, 5)
    assert report.rejections == {"changed_while_reading": 2}
    digests = "SELECT image_id, content_sha256 FROM image_tensors ORDER BY image_id"
    assert rows(warehouse, digests) == sorted(
        (f"mvtec_ad/{path}", digest) for path, (_, _, digest) in before.items()
    )

    load_root(warehouse, "mvtec_ad", location)
    report = build(warehouse, "mvtec_ad", location)
    assert (report.decoded, report.changed, report.rejections) == (2, 2, {})
    assert versions(warehouse)[CHANGED][2] != before[CHANGED][2]
    assert rows(warehouse, "FROM rejected_images") == []


def test_a_version_that_was_listed_is_the_one_that_comes_with_the_bytes(
    store: Store, prefix: str
) -> None:
    root = open_root(store.put_files(prefix, {"1.png": b"first"}))
    [entry] = root.files()
    assert root.read("1.png", entry.version, entry.size_bytes) == b"first"
    store.put(f"{prefix}/1.png", b"other")
    with pytest.raises(FileChangedError, match=r"^1\.png: not the file that was listed"):
        root.read("1.png", entry.version, entry.size_bytes)
