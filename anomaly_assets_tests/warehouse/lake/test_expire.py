"""Test expiry: freed and kept versions."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from anomaly_assets.warehouse.lake.expire import expire_versions
from anomaly_assets_tests.warehouse.lake.lakes import NOWHERE, Lake
from anomaly_assets_tests.warehouse.project import SPEC


def publish_removal(lake: Lake, image_id: str) -> str:
    with lake.warehouse().locked() as warehouse:
        with warehouse.connect() as connection:
            for table in ("mvtec_ad.images", "main.image_tensors"):
                connection.execute(f"DELETE FROM {table} WHERE image_id = ?", [image_id])
        return warehouse.publish(NOWHERE, SPEC, allow_shrink=True).snapshot_id


def test_publications_that_are_kept_can_be_opened_and_the_space_of_others_is_given_back(
    copied: Lake,
) -> None:
    first = copied.publications()[0][0]
    ids = [image_id for (image_id,) in copied.rows("SELECT image_id FROM mvtec_ad.images")]
    second, third = (publish_removal(copied, image_id) for image_id in sorted(ids)[:2])
    files = len([*Path(copied.folder).rglob("*.parquet")])
    expired = expire_versions(copied.warehouse(), keep=1, grace=timedelta())
    assert expired.publications == 1
    assert expired.versions > 1
    assert expired.files >= files - len([*Path(copied.folder).rglob("*.parquet")]) > 0
    for snapshot, rows in ((second, 8), (third, 7), (None, 7)):
        assert len(copied.published(snapshot).tables["main.image_tensors"]) == rows
    with pytest.raises(LookupError, match="has no snapshot"):
        copied.published(first)
    assert expire_versions(copied.warehouse(), keep=1).publications == 0


def test_files_stay_a_day_for_those_who_read_them(copied: Lake) -> None:
    publish_removal(copied, copied.rows("SELECT min(image_id) FROM mvtec_ad.images")[0][0])
    before = sorted(Path(copied.folder).rglob("*.parquet"))
    assert expire_versions(copied.warehouse(), keep=0).files == 0
    assert sorted(Path(copied.folder).rglob("*.parquet")) == before


def test_a_negative_number_to_keep_is_refused(copied: Lake) -> None:
    before = copied.publications()
    for keep in (-1, -2):
        with pytest.raises(ValueError, match=f"keep={keep}: the newest publication always stays"):
            expire_versions(copied.warehouse(), keep)
    assert copied.publications() == before
