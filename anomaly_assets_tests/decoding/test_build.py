"""Test updates of the tensors: only stale images are decoded."""

from __future__ import annotations

import hashlib
import os
import weakref
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import nullcontext
from datetime import datetime, timedelta, timezone
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from anomaly_assets.decoding import open as compute
from anomaly_assets.decoding import writes
from anomaly_assets.decoding.batch import DecodedBatch
from anomaly_assets.decoding.build import BuildReport, TooManyUnreadableError
from anomaly_assets.decoding.transform import decode_image, decode_mask
from anomaly_assets.decoding.workers import Compute
from anomaly_assets.recipes import Recipe
from anomaly_assets.roots.open import open_root
from anomaly_assets_tests.warehouse.project import SPEC, Project, mask, noise

GOOD = [f"mvtec_ad/bottle/train/good/{number:03}.png" for number in range(3)]
CRACK = [f"mvtec_ad/bottle/test/crack/{number:03}.png" for number in range(2)]
MASKS = [f"mvtec_ad/bottle/ground_truth/crack/{number:03}_mask.png" for number in range(2)]
ALL = sorted([*GOOD, *CRACK])
WIDER = Recipe(6, 8, 3)


def made_in(project: Project, run_id: str) -> list[str]:
    return project.column(
        "SELECT image_id FROM image_tensors WHERE run_id = ? ORDER BY ALL", [run_id]
    )


def counts(report: BuildReport) -> tuple[int, int, int, dict[str, int]]:
    return report.decoded, report.removed, report.unchanged, dict(report.rejections)


def rejected(project: Project) -> list[tuple[str, str, str]]:
    return project.rows("SELECT image_id, relative_path, reason FROM rejected_images ORDER BY ALL")


def below_root(image_id: str) -> str:
    return image_id.removeprefix("mvtec_ad/")


@pytest.mark.slow
def test_the_first_build_decodes_every_image(project: Project) -> None:
    report = project.build(run_id="first")
    assert counts(report) == (5, 0, 0, {})
    assert made_in(project, "first") == ALL
    assert report.seconds > 0


@pytest.mark.slow
def test_a_second_build_decodes_nothing(built: Project) -> None:
    report = built.build(run_id="second")
    assert counts(report) == (0, 0, 5, {})
    assert made_in(built, "first") == ALL


@pytest.mark.parametrize(("inserted_bytes", "most_alive"), [(1, 4), (10**9, 10)])
def test_inserted_pixels_are_freed_before_the_commit(
    project: Project, monkeypatch: pytest.MonkeyPatch, inserted_bytes: int, most_alive: int
) -> None:
    """Count the bytes: tensors would be in memory twice, in DuckDB and in the batches of the transaction.

    With one byte per INSERT, those of the batch that arrives and of the one before it are alive.
    """
    monkeypatch.setattr(writes, "_INSERTED_BYTES", inserted_bytes)
    inserted: list[weakref.ref[object]] = []
    alive: list[int] = []

    def result(task: Future[DecodedBatch]) -> DecodedBatch:
        batch = task.result()
        inserted.extend((weakref.ref(batch.tensors), weakref.ref(batch.recipe_tensors)))
        return batch

    def count(_done: int, _total: int) -> None:
        alive.append(sum(rows() is not None for rows in inserted))

    with ThreadPoolExecutor(1) as pool:
        opened = Compute(pool, batch_images=1, window=1, result=result)
        project.build(SPEC, WIDER, compute=lambda: nullcontext(opened), progress=count)
    assert len(alive) == len(ALL)
    assert max(alive) == most_alive
    assert project.column("SELECT count(*) FROM image_tensors") == [len(ALL)]


@pytest.mark.slow
def test_the_tensors_in_the_table_are_those_of_the_files(project: Project) -> None:
    project.build()
    for image_id in ALL:
        content = project.path(image_id).read_bytes()
        expected = decode_image(content, SPEC).pixels
        assert np.array_equal(project.tensor(image_id), expected), image_id
    assert project.rows("SELECT DISTINCT height, width, channels FROM image_tensors") == [(8, 6, 3)]


def test_masks_and_measurements_in_the_table_are_those_of_the_files(project: Project) -> None:
    project.build()
    decoded = decode_mask(project.path(MASKS[0]).read_bytes(), SPEC)
    query = """
        SELECT mask_tensor, mask_area_fraction, mask_width, mask_height, mask_values, mask_box
        FROM image_tensors WHERE image_id = ?
    """
    (row,) = project.rows(query, [CRACK[0]])
    assert row == (decoded.pixels.tobytes(), decoded.area_fraction, 24, 16, 2, [2, 3, 10, 9])
    assert project.rows(query, [GOOD[0]]) == [(None,) * 6]


def test_a_row_says_where_its_tensor_comes_from(project: Project) -> None:
    before = datetime.now(timezone.utc)
    project.build(run_id="a run")
    (row,) = project.rows(
        """
        SELECT
            t.file_version = i.file_version, t.mask_file_version = i.mask_file_version, transform,
            content_sha256, original_width, original_height, original_mode, run_id, loaded_at
        FROM image_tensors AS t JOIN images AS i USING (image_id) WHERE image_id = ?
        """,
        [CRACK[1]],
    )
    sha256 = hashlib.sha256(project.path(CRACK[1]).read_bytes()).hexdigest()
    assert row[:-1] == (True, True, "lanczos-8x6x3", sha256, 24, 16, "RGB", "a run")
    assert before - timedelta(seconds=1) <= row[-1] <= datetime.now(timezone.utc)


def test_one_changed_file_is_decoded_and_no_other(built: Project) -> None:
    built.save({GOOD[1]: noise(77)})
    built.list_files()

    report = built.build(run_id="second")

    assert counts(report) == (1, 0, 4, {})
    assert made_in(built, "second") == [GOOD[1]]
    expected = decode_image(built.path(GOOD[1]).read_bytes(), SPEC).pixels
    assert np.array_equal(built.tensor(GOOD[1]), expected)


def test_a_touched_file_is_decoded_again_because_its_content_may_differ(built: Project) -> None:
    os.utime(built.path(GOOD[2]), (1, 1))
    built.list_files()
    assert counts(built.build(run_id="second")) == (1, 0, 4, {})
    assert made_in(built, "second") == [GOOD[2]]


def test_one_changed_mask_decodes_exactly_its_image(built: Project) -> None:
    built.save({MASKS[0]: mask((0, 0, 1, 1))})
    built.list_files()

    assert counts(built.build(run_id="second")) == (1, 0, 4, {})

    assert made_in(built, "second") == [CRACK[0]]
    assert built.column("SELECT mask_box FROM image_tensors WHERE run_id = 'second'") == [
        [0, 0, 1, 1]
    ]


def test_a_removed_mask_leaves_the_image_without_one(built: Project) -> None:
    built.path(MASKS[1]).unlink()
    built.list_files()

    assert counts(built.build(run_id="second")) == (1, 0, 4, {})

    assert made_in(built, "second") == [CRACK[1]]
    query = "SELECT image_id FROM image_tensors WHERE mask_tensor IS NOT NULL"
    assert built.column(query) == [CRACK[0]]


@pytest.mark.slow
def test_an_added_mask_reaches_its_image(project: Project) -> None:
    project.path(MASKS[0]).unlink()
    project.list_files()
    project.build(run_id="first")
    project.save({MASKS[0]: mask((2, 3, 10, 9))})
    project.list_files()
    assert counts(project.build(run_id="second")) == (1, 0, 4, {})
    assert made_in(project, "second") == [CRACK[0]]


def test_another_transform_replaces_every_tensor(built: Project) -> None:
    built.list_files()
    report = built.build(WIDER, run_id="second")
    assert counts(report) == (5, 0, 0, {})
    query = "SELECT transform, height, width, count(*) FROM image_tensors GROUP BY ALL"
    assert built.rows(query) == [("lanczos-6x8x3", 6, 8, 5)]


def test_removed_images_leave(built: Project) -> None:
    built.path(GOOD[0]).unlink()
    built.path(CRACK[1]).unlink()
    built.list_files()
    assert counts(built.build()) == (0, 2, 3, {})
    remaining = [CRACK[0], GOOD[1], GOOD[2]]
    assert built.column("SELECT image_id FROM image_tensors ORDER BY ALL") == remaining


def test_an_empty_catalogue_leaves_no_tensor(built: Project) -> None:
    with built.warehouse.connect() as connection:
        connection.execute("DELETE FROM mvtec_ad.images")
    assert counts(built.build()) == (0, 5, 0, {})


def test_images_of_a_source_dataset_without_a_root_stay_as_they_are(built: Project) -> None:
    report = built.build(WIDER, roots={}, run_id="second")
    assert counts(report) == (0, 0, 5, {})
    assert made_in(built, "first") == ALL


@pytest.mark.slow
def test_a_damaged_file_is_rejected_and_the_others_are_loaded(project: Project) -> None:
    project.path(GOOD[1]).write_bytes(b"no picture")
    project.list_files()

    report = project.build(run_id="first")

    assert counts(report) == (4, 0, 0, {"text_file": 1})
    assert made_in(project, "first") == [*CRACK, GOOD[0], GOOD[2]]
    (row,) = project.rows(
        """
        SELECT r.relative_path, r.file_version = i.file_version, transform, reason, detail
        FROM rejected_images AS r JOIN images AS i USING (image_id)
        """
    )
    detail = "The file is a text that begins with 'no picture'. Replace it with the image."
    assert row == (below_root(GOOD[1]), True, "lanczos-8x6x3", "text_file", detail)


@pytest.mark.slow
@pytest.mark.parametrize("damaged", range(5))
def test_every_tensor_is_that_of_its_own_file_wherever_a_damaged_one_lies(
    project: Project, damaged: int
) -> None:
    project.path(ALL[damaged]).write_bytes(b"no picture")
    project.list_files()
    project.build()
    for image_id in set(ALL) - {ALL[damaged]}:
        expected = decode_image(project.path(image_id).read_bytes(), SPEC).pixels
        assert np.array_equal(project.tensor(image_id), expected), image_id


def test_a_batch_of_nothing_but_damaged_files_is_no_problem(project: Project) -> None:
    for image_id in ALL:
        project.path(image_id).write_bytes(b"")
    project.list_files()
    assert counts(project.build()) == (0, 0, 0, {"empty_file": 5})


@pytest.mark.slow
def test_a_rejected_file_is_not_tried_again_while_it_stays_the_same(project: Project) -> None:
    project.path(GOOD[1]).write_bytes(b"no picture")
    project.list_files()
    project.build()
    before = project.rows("FROM rejected_images")
    assert counts(project.build()) == (0, 0, 4, {})
    assert project.rows("FROM rejected_images") == before


@pytest.mark.slow
def test_a_rejected_file_is_tried_again_with_another_transform(project: Project) -> None:
    project.path(GOOD[1]).write_bytes(b"no picture")
    project.list_files()
    project.build()
    assert counts(project.build(WIDER)) == (4, 0, 0, {"text_file": 1})
    assert project.column("SELECT transform FROM rejected_images") == [WIDER.transform]


@pytest.mark.slow
def test_a_mended_file_leaves_the_rejected_ones(project: Project) -> None:
    project.path(GOOD[1]).write_bytes(b"no picture")
    project.list_files()
    project.build(run_id="first")
    project.save({GOOD[1]: noise(1)})
    project.list_files()

    assert counts(project.build(run_id="second")) == (1, 0, 4, {})

    assert rejected(project) == []
    assert made_in(project, "second") == [GOOD[1]]


def test_a_file_that_breaks_loses_its_tensor(built: Project) -> None:
    built.path(GOOD[1]).write_bytes(b"no picture")
    built.list_files()
    assert counts(built.build()) == (0, 1, 4, {"text_file": 1})
    assert rejected(built) == [(GOOD[1], below_root(GOOD[1]), "text_file")]


@pytest.mark.slow
def test_a_rejected_file_that_is_removed_leaves(project: Project) -> None:
    project.path(GOOD[1]).write_bytes(b"no picture")
    project.list_files()
    project.build()
    project.path(GOOD[1]).unlink()
    project.list_files()
    assert counts(project.build()) == (0, 0, 4, {})
    assert rejected(project) == []


@pytest.mark.slow
def test_an_unusable_mask_is_named_and_its_image_kept(project: Project) -> None:
    project.path(MASKS[0]).write_bytes(b"no picture")
    project.list_files()

    report = project.build()

    assert counts(report) == (5, 0, 0, {"text_file": 1})
    assert rejected(project) == [(CRACK[0], below_root(MASKS[0]), "text_file")]
    query = "SELECT image_id FROM image_tensors WHERE mask_tensor IS NULL ORDER BY ALL"
    assert project.column(query) == [CRACK[0], *GOOD]


@pytest.mark.slow
def test_an_unusable_mask_is_not_tried_again_and_leaves_when_it_is_mended(project: Project) -> None:
    project.path(MASKS[0]).write_bytes(b"no picture")
    project.list_files()
    project.build(run_id="first")
    assert counts(project.build(run_id="second")) == (0, 0, 5, {})
    project.save({MASKS[0]: mask((2, 3, 10, 9))})
    project.list_files()

    assert counts(project.build(run_id="third")) == (1, 0, 4, {})

    assert made_in(project, "third") == [CRACK[0]]
    assert rejected(project) == []


@pytest.mark.slow
def test_an_image_and_its_mask_that_are_both_damaged_are_one_rejection(project: Project) -> None:
    project.path(CRACK[0]).write_bytes(b"no picture")
    project.path(MASKS[0]).write_bytes(b"no picture")
    project.list_files()
    assert counts(project.build()) == (4, 0, 0, {"text_file": 1})
    assert rejected(project) == [(CRACK[0], below_root(CRACK[0]), "text_file")]


@pytest.mark.slow
def test_a_file_that_is_gone_after_the_listing_is_retried_at_every_build(project: Project) -> None:
    away = project.path(GOOD[0]).rename(project.folder / "away.png")

    assert counts(project.build()) == (4, 0, 0, {"unreadable": 1})
    assert rejected(project) == [(GOOD[0], below_root(GOOD[0]), "unreadable")]
    assert counts(project.build()) == (0, 0, 4, {"unreadable": 1})
    assert len(rejected(project)) == 1

    away.rename(project.path(GOOD[0]))
    assert counts(project.build()) == (1, 0, 4, {})
    assert rejected(project) == []


@pytest.mark.slow
def test_a_mask_that_is_gone_after_the_listing_is_retried_at_every_build(project: Project) -> None:
    away = project.path(MASKS[1]).rename(project.folder / "away.png")

    assert counts(project.build(run_id="first")) == (5, 0, 0, {"unreadable": 1})
    assert rejected(project) == [(CRACK[1], below_root(MASKS[1]), "unreadable")]

    away.rename(project.path(MASKS[1]))
    assert counts(project.build(run_id="second")) == (1, 0, 4, {})
    assert made_in(project, "second") == [CRACK[1]]
    assert rejected(project) == []


def test_files_outside_the_opened_root_end_the_build_and_the_error_says_what_to_do(
    project: Project, tmp_path: Path
) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    with pytest.raises(TooManyUnreadableError, match=r"^5 of 5 files") as raised:
        project.build(roots={"mvtec_ad": open_root(str(elsewhere))})
    assert f"is not below {elsewhere.as_uri()}; reload its category." in str(raised.value)
    assert ".." not in str(raised.value)
    assert project.column("SELECT count(*) FROM rejected_images") == [0]


def test_a_few_unreadable_files_are_rejected_and_the_rest_loads(project: Project) -> None:
    for path in GOOD[:2]:
        project.path(path).unlink()
    assert counts(project.build()) == (3, 0, 0, {"unreadable": 2})


@pytest.mark.slow
def test_names_that_are_special_in_addresses_are_read(project: Project) -> None:
    name = "mvtec_ad/bottle/train/good/50% off #1 (é) ?.png"
    project.save({name: noise(9)})
    project.list_files()
    assert counts(project.build()) == (6, 0, 0, {})
    assert np.array_equal(
        project.tensor(name),
        np.asarray(noise(9).resize((6, 8), Image.Resampling.LANCZOS)),
    )


@pytest.mark.slow
def test_progress_is_told_after_every_batch(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(compute, "BATCH_IMAGES", 2)
    monkeypatch.setattr(compute, "BATCHES_PER_WORKER", 1)
    project.path(GOOD[2]).write_bytes(b"no picture")
    project.list_files()
    told: list[tuple[int, int]] = []
    project.build(progress=lambda done, total: told.append((done, total)))
    assert told == [(2, 5), (4, 5), (5, 5)]


@pytest.mark.slow
@pytest.mark.parametrize("workers", [1, 2, 7])
def test_any_number_of_workers_makes_the_same_tensors(
    project: Project, monkeypatch: pytest.MonkeyPatch, workers: int
) -> None:
    monkeypatch.setattr(compute, "BATCH_IMAGES", 1)
    project.build()
    query = "SELECT * EXCLUDE (loaded_at, run_id) FROM image_tensors ORDER BY image_id"
    expected = project.rows(query)
    with project.warehouse.connect() as connection:
        connection.execute("DELETE FROM image_tensors")
    assert counts(project.build(workers=workers)) == (5, 0, 0, {})
    assert project.rows(query) == expected
