"""Test how results of the baseline are published, from a warehouse of any kind."""

from __future__ import annotations

from contextlib import closing

import pytest

from anomaly_assets.reader.open import category_samples
from anomaly_assets.tables.registry import EVALUATION, UNPUBLISHED
from anomaly_assets.warehouse.publication import PublishRefusedError, UnpublishedDataError
from anomaly_assets.warehouse.removal import forget
from anomaly_assets_tests.warehouse.kinds.published import Published
from anomaly_assets_tests.warehouse.project import SPEC, without_zones

BOTTLE = "'mvtec_ad', 'bottle', '8x6x3'"
IMAGE = "'mvtec_ad/bottle/test/crack/000.png', '8x6x3'"
RESULTS = (
    f"INSERT INTO evaluations VALUES ({BOTTLE}, 'measured', 'inputs', 'fake', 'bank', 2, 4, 4, 1, 1, "
    "map(['unknown'], [1]), 0.5, 'out of fold', now(), 1.5, 'a run')",
    f"INSERT INTO baseline_scores VALUES ({IMAGE}, 'mvtec_ad', 'bottle', 'sha', 'test', NULL, "
    "'anomalous', 0.75, NULL, true)",
    f"INSERT INTO baseline_metrics VALUES ({BOTTLE}, '', 'image_auroc', 0.9, 0.8, 1.0, 1, 1, NULL)",
    f"INSERT INTO baseline_maps VALUES ({IMAGE}, 'mvtec_ad', 'bottle', 1, 2, 0, 1, '\\x00\\xFF'::BLOB)",
    f"INSERT INTO suspect_images VALUES ({IMAGE}, 'label_first', 'mvtec_ad', 'bottle', 1, 1, true, '')",
    f"INSERT INTO baseline_banks VALUES ({BOTTLE}, 0, 'bank', 1, 1, 'a'::BLOB, 'abcd'::BLOB)",
    f"INSERT INTO baseline_vectors VALUES ({IMAGE}, 'mvtec_ad', 'bottle', '\\x00'::BLOB)",
)
ORIGIN = "SELECT snapshot_id, published_at, run_id FROM snapshots ORDER BY published_at"


def evaluated(published: Published) -> None:
    for statement in RESULTS:
        published.rows(statement)


@pytest.mark.slow
def test_results_are_published_beside_data_that_keep_their_snapshot_id(
    published: Published,
) -> None:
    before, origin = published.newest_id(), published.read(ORIGIN)
    assert published.publish(only_results=True).evaluation_id is None
    evaluated(published)
    done = published.publish(only_results=True, run_id="evaluation")
    assert (done.written, done.snapshot_id) == (True, before)
    assert published.read(ORIGIN) == origin
    assert published.read("SELECT evaluation_id FROM snapshots") == [(done.evaluation_id,)]
    for table in set(EVALUATION) - set(UNPUBLISHED):
        found = without_zones(published.read(f"FROM {table}"))
        assert found == without_zones(published.rows(f"FROM {table}"))
        assert len(published.read(f"FROM {table}")) == 1
    assert published.differences() == []
    assert not published.publish(only_results=True).written
    assert not published.publish().written


@pytest.mark.slow
def test_a_changed_result_has_another_evaluation_id_and_its_time_has_none(
    published: Published,
) -> None:
    evaluated(published)
    first = published.publish(only_results=True)
    published.rows("UPDATE evaluations SET evaluated_at = now(), seconds = 7, run_id = 'another'")
    assert not published.publish(only_results=True).written
    published.rows("UPDATE baseline_maps SET map = '\\x01\\xFF'::BLOB")
    second = published.publish()
    assert second.written
    assert second.snapshot_id == first.snapshot_id
    assert second.evaluation_id != first.evaluation_id
    assert published.rows("SELECT evaluation_id FROM snapshots") == [(second.evaluation_id,)]


@pytest.mark.slow
def test_an_evaluation_publishes_no_data_that_a_refresh_has_not_published(
    published: Published,
) -> None:
    before = published.newest_id()
    evaluated(published)
    published.rows("UPDATE image_tensors SET run_id = 'another'")
    with pytest.raises(UnpublishedDataError, match="The next refresh publishes both"):
        published.publish(only_results=True)
    assert published.newest_id() == before
    assert published.read("FROM baseline_scores") == []
    done = published.publish()
    assert done.snapshot_id != before
    assert len(published.read("FROM baseline_scores")) == 1


@pytest.mark.slow
def test_results_leave_with_their_source_dataset(published: Published) -> None:
    evaluated(published)
    published.publish()
    forget(published.warehouse, "mvtec_ad")
    assert [published.rows(f"FROM {table}") for table in EVALUATION] == [[]] * len(EVALUATION)
    with pytest.raises(PublishRefusedError):
        published.publish(only_results=True)
    assert published.publish().evaluation_id is None
    assert published.read("FROM baseline_scores") == []


@pytest.mark.slow
def test_a_category_is_read_from_the_open_snapshot_though_another_one_was_published(
    published: Published,
) -> None:
    with closing(published.database()) as database:
        published.rows("UPDATE mvtec_ad.images SET split = 'validation' WHERE split = 'train'")
        assert published.publish(keep_snapshots=0).written
        for _ in range(2):  # closing the samples leaves the database open
            with category_samples(database, "mvtec_ad", "bottle", SPEC.name) as samples:
                assert samples.snapshot_id == database.snapshot_id
                assert "validation" not in samples.table["split"].to_pylist()
                assert len(next(samples.batches(8)).images)
