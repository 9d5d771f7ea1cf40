"""Test that every check has a passing and a failing case, with exactly its affected rows."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import duckdb
import pytest

from anomaly_assets.datasets import SOURCE_DATASETS
from anomaly_assets.datasets.declaration_files import declared
from anomaly_assets.datasets.known import official_counts
from anomaly_assets.datasets.words import GOOD_WORDS
from anomaly_assets.recipes import Recipe
from anomaly_assets.tables import check_queries, checks
from anomaly_assets.tables.check_queries import CheckQueries
from anomaly_assets.tables.checks import Check, Finding, blocking_findings, evaluate
from anomaly_assets.tables.ddl import refresh
from anomaly_assets_tests.curation.corrected import correct
from anomaly_assets_tests.datasets.declared import source_dataset
from anomaly_assets_tests.splitting.near import add_near_duplicates
from anomaly_assets_tests.warehouse.project import SPEC, Project

ALL = {
    check.name: check
    for group in (
        checks.IMAGES_CHECKS,
        checks.TENSOR_CHECKS,
        checks.LABEL_CHECKS,
        checks.REJECTED_CHECKS,
        checks.DUPLICATE_CHECKS,
        checks.SPLIT_CHECKS,
        checks.STRAY_CHECKS,
    )
    for check in group
}
SOURCE_DATASET_OF = {check.name: "mvtec_ad" for check in checks.STRAY_CHECKS}

CRACK = "mvtec_ad/bottle/test/crack/000.png"
HOLE = "mvtec_ad/carpet/test/hole/000.png"
CLASS1 = "dagm_2007/Class1"


@pytest.fixture
def connection(project: Project) -> Iterator[duckdb.DuckDBPyConnection]:
    """Open the warehouse of nine images without faults."""
    with project.warehouse.connect() as connection:
        yield connection


def find(
    connection: duckdb.DuckDBPyConnection,
    name: str,
    spec: Recipe = SPEC,
    source_dataset: str | None = None,
) -> Finding:
    source_dataset = source_dataset or SOURCE_DATASET_OF.get(name, "mvtec_ad")
    ((_, found),) = evaluate(connection, ALL[name], source_dataset=source_dataset, spec=spec)
    return found


def offenders(connection: duckdb.DuckDBPyConnection, name: str) -> list[tuple[str, str | None]]:
    found = find(connection, name)
    assert not found.passed
    assert found.count == len(found.shown)
    return found.shown


def add_images(
    connection: duckdb.DuckDBPyConnection,
    category: str,
    split: str,
    label: str,
    count: int,
    source_dataset: str = "mvtec_ad",
) -> None:
    connection.execute(
        f"""
        INSERT INTO {source_dataset}.images BY NAME
        SELECT
            format('{{}}/{{}}/{{}}/{{}}/{{:04d}}.png', $dataset, $category, $split, $label, number)
                AS image_id,
            $dataset AS source_dataset, $category AS category, $split AS split, $label AS label,
            ($label = 'anomalous')::BIGINT AS label_index, '0.png' AS filename,
            format('{{}}/{{}}/{{}}/{{:04d}}.png', $category, $split, $label, number) AS relative_path,
            'file:///0.png' AS source_uri, 1 AS file_size_bytes, '1' AS file_version,
            '1.5' AS _dlt_load_id
        FROM range($count) AS numbers(number)
        """,
        {
            "dataset": source_dataset,
            "category": category,
            "split": split,
            "label": label,
            "count": count,
        },
    )


@pytest.mark.parametrize(
    "name",
    [name for name in ALL if name not in ("counts_equal_the_official_ones", "labels_are_known")],
)
def test_a_check_passes_where_nothing_is_wrong(
    connection: duckdb.DuckDBPyConnection, name: str
) -> None:
    assert find(connection, name) == Finding(0, [])
    assert find(connection, name).passed


@pytest.fixture(scope="module")
def nothing_loaded(tmp_path_factory: pytest.TempPathFactory) -> Project:
    project = Project.at(tmp_path_factory.mktemp("empty"))
    project.refresh_all()
    return project


@pytest.mark.parametrize("name", ALL)
def test_a_check_passes_where_no_source_dataset_was_ever_loaded(
    nothing_loaded: Project, name: str
) -> None:
    with nothing_loaded.warehouse.connect() as connection:
        assert find(connection, name).passed


def test_an_image_that_is_catalogued_twice_is_named(
    connection: duckdb.DuckDBPyConnection,
) -> None:
    connection.execute(
        "INSERT INTO mvtec_ad.images FROM mvtec_ad.images WHERE image_id = ?", [HOLE]
    )
    assert offenders(connection, "image_ids_are_unique") == [(HOLE, "2 rows")]


def test_an_anomalous_image_without_a_mask_is_named_with_its_defect(
    connection: duckdb.DuckDBPyConnection,
) -> None:
    for schema in ("mvtec_ad", "dagm_2007"):
        connection.execute(f"UPDATE {schema}.images SET mask_relative_path = NULL")
    assert offenders(connection, "anomalous_images_have_masks") == [
        (f"{CLASS1}/Train/0002.PNG", "unspecified"),
        (CRACK, "crack"),
        (HOLE, "hole"),
    ]


@pytest.mark.parametrize(
    ("keys", "promises_masks"),
    [
        ("", False),
        ("masks = []", False),
        ('tables = [{ path = "a.csv", columns = { image = "x", label = "mask" } }]', False),
        ('strays = [{ path = "read/coco/mask", reason = "coco" }]', False),
        ('masks = ["{category}/{name}_mask"]', True),
        ('masks = [{ path = "{category}/{name}.json", read = "labelme" }]', True),
        ('tables = [{ path = "a.csv", columns = { image = "x", mask = "y" } }]', True),
        (
            'tables = [{ path = "a.csv", columns = { image = "x" } }, { path = "b.csv", '
            'columns = { image = "x", mask = "y" } }]',
            True,
        ),
        ('tables = [{ path = "{split}.json", read = "coco" }]', True),
        ('like = "visa"', True),
    ],
)
def test_masks_are_missed_only_where_the_declaration_has_some(
    connection: duckdb.DuckDBPyConnection, keys: str, promises_masks: bool
) -> None:
    connection.execute("UPDATE mvtec_ad.images SET mask_relative_path = NULL")
    text = f'[line4]\nimages = ["{{category}}/{{name}}"]\n{keys}\n'
    found = declared({"line4.toml": text.encode()})
    assert found.problems == ()
    connection.execute(
        "UPDATE source_datasets SET declaration = ? WHERE source_dataset = 'mvtec_ad'",
        [found.declarations[0].canonical_json],
    )
    missed = [(CRACK, "crack"), (HOLE, "hole")] if promises_masks else []
    assert find(connection, "anomalous_images_have_masks").shown == missed


def test_masks_are_missed_in_rows_of_a_release_without_declarations(
    connection: duckdb.DuckDBPyConnection,
) -> None:
    connection.execute("UPDATE mvtec_ad.images SET mask_relative_path = NULL")
    connection.execute("UPDATE source_datasets SET declaration = NULL")
    assert [name for name, _ in offenders(connection, "anomalous_images_have_masks")] == [
        CRACK,
        HOLE,
    ]


def test_an_image_that_is_neither_decoded_nor_rejected_is_named(
    connection: duckdb.DuckDBPyConnection,
) -> None:
    connection.execute("DELETE FROM image_tensors WHERE image_id IN (?, ?)", [CRACK, HOLE])
    reject(connection, HOLE, "carpet/test/hole/000.png")
    reject(connection, CRACK, "bottle/ground_truth/crack/000_mask.png")
    assert offenders(connection, "images_have_a_tensor_or_a_rejection") == [
        (CRACK, "neither decoded nor rejected")
    ]


def test_an_image_whose_tensor_is_of_another_version_is_named(
    connection: duckdb.DuckDBPyConnection,
) -> None:
    connection.execute("UPDATE image_tensors SET file_version = '0' WHERE image_id = ?", [HOLE])
    connection.execute(
        "UPDATE image_tensors SET mask_file_version = NULL WHERE image_id = ?", [CRACK]
    )
    detail = "decoded from another version of the image or its mask"
    assert offenders(connection, "images_have_a_tensor_or_a_rejection") == [
        (CRACK, detail),
        (HOLE, detail),
    ]


def reject(connection: duckdb.DuckDBPyConnection, image_id: str, relative_path: str) -> None:
    connection.execute(
        """
        INSERT INTO rejected_images
        SELECT image_id, $path, file_version, $transform, 'damaged_image', 'cut off', now()
        FROM images
        WHERE image_id = $image_id
        """,
        {"image_id": image_id, "path": relative_path, "transform": SPEC.transform},
    )


@pytest.mark.parametrize(
    "change",
    [
        "height = 9",
        "width = 9",
        "channels = 1",
        "transform = 'lanczos-8x6x3-of-old'",
        "channel_sums = [1, 2]",
    ],
)
def test_a_tensor_of_another_shape_is_named(
    connection: duckdb.DuckDBPyConnection, change: str
) -> None:
    connection.execute(f"UPDATE image_tensors SET {change} WHERE image_id = ?", [HOLE])
    transform = "lanczos-8x6x3-of-old" if "transform" in change else "lanczos-8x6x3"
    assert offenders(connection, "tensors_have_the_configured_shape") == [(HOLE, transform)]


@pytest.mark.parametrize("spec", [Recipe(6, 8, 3), Recipe(8, 6, 1), Recipe(8, 7, 3)])
def test_every_tensor_is_named_where_another_shape_is_configured(
    connection: duckdb.DuckDBPyConnection, spec: Recipe
) -> None:
    found = find(connection, "tensors_have_the_configured_shape", spec)
    assert found.count == 9
    assert found.shown[0] == (f"{CLASS1}/Test/0003.PNG", "lanczos-8x6x3")


@pytest.mark.parametrize(
    ("change", "sizes"),
    [("mask_width = 23", "mask 23x16"), ("mask_height = 17", "mask 24x17")],
)
def test_a_mask_of_another_size_than_its_image_is_named(
    connection: duckdb.DuckDBPyConnection, change: str, sizes: str
) -> None:
    connection.execute(f"UPDATE facts SET {change} WHERE image_id = ?", [CRACK])
    assert offenders(connection, "masks_have_the_size_of_their_image") == [
        (CRACK, f"{sizes}, image 24x16")
    ]


def test_a_smoothed_mask_is_named(connection: duckdb.DuckDBPyConnection) -> None:
    connection.execute("UPDATE facts SET mask_values = 3 WHERE image_id = ?", [CRACK])
    assert offenders(connection, "masks_are_binary") == [(CRACK, "3 grey values")]


def test_an_empty_mask_is_named(connection: duckdb.DuckDBPyConnection) -> None:
    connection.execute("UPDATE facts SET mask_area_fraction = 0 WHERE image_id = ?", [HOLE])
    assert offenders(connection, "masks_are_not_empty") == [(HOLE, "no defective pixel")]


@pytest.mark.parametrize("mode", ["I;16", "I"])
def test_an_image_of_sixteen_bits_is_named(
    connection: duckdb.DuckDBPyConnection, mode: str
) -> None:
    connection.execute(
        "UPDATE image_tensors SET original_mode = ? WHERE image_id = ?", [mode, HOLE]
    )
    assert offenders(connection, "images_have_8_bits") == [(HOLE, f"mode {mode}")]


def test_rejected_files_are_named_with_reason_and_detail(
    connection: duckdb.DuckDBPyConnection,
) -> None:
    reject(connection, HOLE, "carpet/ground_truth/hole/000_mask.png")
    reject(connection, CRACK, "bottle/test/crack/000.png")
    assert offenders(connection, "images_are_usable") == [
        ("bottle/test/crack/000.png", "damaged_image: cut off"),
        ("carpet/ground_truth/hole/000_mask.png", "damaged_image: cut off"),
    ]


@pytest.mark.parametrize(
    ("name", "first", "second"),
    [
        (
            "contents_stay_in_one_split",
            "mvtec_ad/bottle/test/good/000.png",
            "mvtec_ad/bottle/train/good/001.png",
        ),
        ("contents_stay_in_one_category", CRACK, HOLE),
    ],
)
def test_the_same_content_in_two_places_is_named_once(
    connection: duckdb.DuckDBPyConnection, name: str, first: str, second: str
) -> None:
    connection.execute(
        "UPDATE image_tensors SET content_sha256 = 'same' WHERE image_id IN (?, ?)", [first, second]
    )
    refresh(connection, "duplicate_images")
    assert offenders(connection, name) == [(first, second)]
    other = {"contents_stay_in_one_split", "contents_stay_in_one_category"} - {name}
    assert find(connection, other.pop()).passed


def test_copies_within_one_split_and_category_are_nobodys_problem(
    connection: duckdb.DuckDBPyConnection,
) -> None:
    connection.execute(
        "UPDATE image_tensors SET content_sha256 = 'same' WHERE image_id LIKE '%bottle/train%'"
    )
    refresh(connection, "duplicate_images")
    assert connection.execute("SELECT copies FROM duplicate_images").fetchall() == [(2,)]
    assert find(connection, "contents_stay_in_one_split").passed
    assert find(connection, "contents_stay_in_one_category").passed


def test_stray_masks_and_other_strays_are_named_by_a_check_each_and_per_source_dataset(
    connection: duckdb.DuckDBPyConnection,
) -> None:
    connection.execute(
        """
        INSERT INTO mvtec_ad.stray_files (relative_path, reason, detail, _dlt_load_id) VALUES
            ('b/ground_truth/x/9_mask.png', 'orphan_mask', NULL, '1.5'),
            ('b/ground_truth/x/8_MASK.PNG', 'duplicate_mask', 'the image has 8_mask.png', '1.5'),
            ('b/ground_truth/good/1.png', 'mask_for_good_image', NULL, '1.5'),
            ('b/train/good/1.bmp', 'unsupported_suffix', NULL, '1.5'),
            ('Class1/Labels.txt', 'malformed_labels', '1 invalid line: 7', '1.5')
        """
    )
    connection.execute(
        "INSERT INTO dagm_2007.stray_files (relative_path, reason, _dlt_load_id) VALUES "
        "('Class1/Train/Label/1_label.PNG', 'orphan_mask', '1.5')"
    )
    assert offenders(connection, "masks_belong_to_an_image") == [
        ("b/ground_truth/good/1.png", "mask_for_good_image"),
        ("b/ground_truth/x/8_MASK.PNG", "duplicate_mask"),
        ("b/ground_truth/x/9_mask.png", "orphan_mask"),
    ]
    assert offenders(connection, "files_are_recognised") == [
        ("Class1/Labels.txt", "malformed_labels: 1 invalid line: 7"),
        ("b/train/good/1.bmp", "unsupported_suffix"),
    ]
    dagm = find(connection, "masks_belong_to_an_image", source_dataset="dagm_2007")
    assert dagm.shown == [("Class1/Train/Label/1_label.PNG", "orphan_mask")]
    assert find(connection, "files_are_recognised", source_dataset="dagm_2007").passed


def test_an_anomalous_training_image_of_mvtec_is_named(
    connection: duckdb.DuckDBPyConnection,
) -> None:
    connection.execute("UPDATE mvtec_ad.images SET split = 'train' WHERE image_id = ?", [HOLE])
    assert offenders(connection, "training_images_are_good") == [(HOLE, "hole")]


def test_labels_that_disagree_with_masks_are_named_either_way(
    connection: duckdb.DuckDBPyConnection,
) -> None:
    connection.execute(
        "UPDATE dagm_2007.images SET declared_label_index = 1 - declared_label_index"
    )
    assert offenders(connection, "labels_agree") == [
        (
            f"{CLASS1}/Train/0001.PNG",
            "label 1 in Labels.txt, but no mask; used: anomalous by labels file",
        ),
        (
            f"{CLASS1}/Train/0002.PNG",
            "label 0 in Labels.txt, but a mask with defective pixels; used: anomalous by mask",
        ),
    ]


def test_a_black_mask_disagrees_with_a_path_and_with_a_declared_defect(
    connection: duckdb.DuckDBPyConnection,
) -> None:
    connection.execute(
        "UPDATE facts SET mask_area_fraction = 0 WHERE mask_area_fraction IS NOT NULL"
    )
    assert offenders(connection, "labels_agree") == [
        (
            f"{CLASS1}/Train/0002.PNG",
            "label 1 in Labels.txt, but a mask without any defective pixel; "
            "used: anomalous by labels file",
        ),
        (
            CRACK,
            "anomalous by its path, but a mask without any defective pixel; used: anomalous by path",
        ),
        (
            HOLE,
            "anomalous by its path, but a mask without any defective pixel; used: anomalous by path",
        ),
    ]


def test_a_table_that_disagrees_with_a_path_a_labels_file_or_a_mask_is_named(
    connection: duckdb.DuckDBPyConnection,
) -> None:
    connection.execute(
        "UPDATE mvtec_ad.images SET table_label_index = 0 WHERE image_id = ?", [HOLE]
    )
    connection.execute("UPDATE dagm_2007.images SET table_label_index = 0")
    assert offenders(connection, "labels_agree") == [
        (
            f"{CLASS1}/Train/0002.PNG",
            "good in a table, but label 1 in Labels.txt and a mask with defective pixels; "
            "used: good by table",
        ),
        (
            HOLE,
            "good in a table, but anomalous by its path and a mask with defective pixels; "
            "used: good by table",
        ),
    ]


def test_a_missing_mask_is_a_side_only_against_a_table_or_labels_file_that_names_a_defect(
    connection: duckdb.DuckDBPyConnection,
) -> None:
    good, sound = "mvtec_ad/bottle/train/good/000.png", "mvtec_ad/carpet/train/good/000.png"
    connection.execute(
        "UPDATE mvtec_ad.images SET table_label_index = 1 WHERE image_id = ?", [good]
    )
    connection.execute(
        "UPDATE mvtec_ad.images SET table_label_index = 0, mask_relative_path = NULL "
        "WHERE image_id = ?",
        [HOLE],
    )
    connection.execute(
        "UPDATE mvtec_ad.images SET table_label_index = 0 WHERE image_id = ?", [sound]
    )
    assert offenders(connection, "labels_agree") == [
        (good, "anomalous in a table, but good by its path and no mask; used: anomalous by table"),
        (HOLE, "good in a table, but anomalous by its path; used: good by table"),
    ]


def test_an_image_that_labels_txt_does_not_mention_disagrees_with_nothing(
    connection: duckdb.DuckDBPyConnection,
) -> None:
    connection.execute("UPDATE dagm_2007.images SET declared_label_index = NULL")
    assert find(connection, "labels_agree").passed


def test_a_split_without_masks_and_labels_is_named_with_its_images(
    connection: duckdb.DuckDBPyConnection,
) -> None:
    detail = (
        "1 images count as good: no image of this split has a mask or a row of a labels file, "
        "others have"
    )
    assert offenders(connection, "labels_are_known") == [(f"{CLASS1}/test", detail)]
    connection.execute(
        "UPDATE dagm_2007.images SET label_index = NULL, label_source = 'none', "
        "declared_label_index = NULL, mask_relative_path = NULL"
    )
    neither = "images: neither the path, a labels file nor a mask gives their label"
    assert offenders(connection, "labels_are_known") == [
        (f"{CLASS1}/test", f"1 of 1 {neither}"),
        (f"{CLASS1}/train", f"2 of 2 {neither}"),
    ]


def test_a_labels_file_with_a_fault_is_named_with_the_images_of_its_folder(
    connection: duckdb.DuckDBPyConnection,
) -> None:
    connection.execute(
        "UPDATE dagm_2007.images SET label_index = NULL, label_source = 'none', "
        "declared_label_index = NULL, mask_relative_path = NULL"
    )
    labels = "DAGM/Class1/Train/Label/Labels.txt"
    connection.execute(
        "INSERT INTO dagm_2007.stray_files (relative_path, reason, detail, _dlt_load_id) VALUES "
        "(?, 'malformed_labels', '1 invalid line: 7', '1.5'), "
        "('Class10/Train/Label/Labels.txt', 'malformed_labels', 'another', '1.5')",
        [labels],
    )
    neither = "images: neither the path, a labels file nor a mask gives their label"
    assert offenders(connection, "labels_are_known") == [
        (f"{CLASS1}/test", f"1 of 1 {neither}"),
        (f"{CLASS1}/train", f"2 of 2 {neither}; {labels}: 1 invalid line: 7"),
    ]


def test_a_test_folder_without_any_mask_may_hold_sound_parts(
    connection: duckdb.DuckDBPyConnection,
) -> None:
    add_images(connection, "bottle", "test", "anomalous", 1)
    connection.execute(
        "UPDATE mvtec_ad.images SET label_source = 'path', path_label_index = 1, "
        "defect_type = 'pass' WHERE image_id LIKE '%/anomalous/%'"
    )
    assert offenders(connection, "anomalous_images_have_masks") == [
        (
            "mvtec_ad/bottle/test/anomalous/0000.png",
            "pass: no image of this folder has a mask, others have; if these are sound parts, "
            "rename the folder to good, ok, normal or 0",
        )
    ]


def test_advice_about_training_images_names_every_word_that_means_good() -> None:
    advice = ALL["training_images_are_good"].advice
    assert all(re.search(rf"\b{word}\b", advice) for word in GOOD_WORDS)
    assert "rename their folder" in advice


def test_advice_about_files_does_not_delete_labels_files() -> None:
    assert ALL["files_are_recognised"].advice == (
        "Correct the lines of labels files and tables that the details name; rename, move or delete other "
        "files. Keep a symbolic link whose detail names a variable, and set that."
    )


def test_a_mask_that_covers_everything_is_named(connection: duckdb.DuckDBPyConnection) -> None:
    connection.execute("UPDATE facts SET mask_area_fraction = 1 WHERE image_id = ?", [HOLE])
    assert offenders(connection, "masks_do_not_cover_everything") == [
        (HOLE, "every pixel is defective")
    ]


def test_more_than_twenty_offenders_are_counted_and_twenty_shown(
    connection: duckdb.DuckDBPyConnection,
) -> None:
    add_images(connection, "zipper", "test", "anomalous", 25)
    found = find(connection, "anomalous_images_have_masks")
    assert found.count == 25
    first = "mvtec_ad/zipper/test/anomalous"
    assert found.shown == [(f"{first}/{number:04}.png", None) for number in range(20)]


@pytest.mark.parametrize(
    "name",
    sorted(
        {*ALL}
        - {"labels_are_known", "most_files_belong_to_images", "counts_equal_the_official_ones"}
        - {"folds_do_not_leak", "assignment_columns_exist"}
    ),
)
def test_no_check_compares_every_row_with_every_other(
    connection: duckdb.DuckDBPyConnection, name: str
) -> None:
    """Exempt checks that compare groups (folders, counts of a root, categories), or assignments."""
    values = checks._values("mvtec_ad", SPEC)
    ((_, plan),) = CheckQueries(connection).rows(f"checks/{name}", values, "EXPLAIN {}")
    assert not re.search("NL_JOIN|NESTED_LOOP|CROSS_PRODUCT", plan)


def test_only_the_rows_that_are_shown_are_fetched(
    connection: duckdb.DuckDBPyConnection, monkeypatch: pytest.MonkeyPatch
) -> None:
    add_images(connection, "zipper", "test", "anomalous", 25)
    fetched: list[int] = []
    rows_of = CheckQueries.rows

    def counted(*arguments: Any) -> list[Any]:
        rows = rows_of(*arguments)
        fetched.append(len(rows))
        return rows

    monkeypatch.setattr(CheckQueries, "rows", counted)
    find(connection, "anomalous_images_have_masks")
    assert fetched == [20, 1]


def test_a_complete_official_category_is_not_listed(connection: duckdb.DuckDBPyConnection) -> None:
    connection.execute("DELETE FROM mvtec_ad.images")
    connection.execute("DELETE FROM dagm_2007.images")
    for count in official_counts(SOURCE_DATASETS.values()):
        if count.category in ("zipper", "Class10"):
            add_images(
                connection, count.category, count.split, count.label, count.images,
                count.source_dataset,
            )  # fmt: skip
    assert connection.execute("SELECT count(*) FROM images").fetchall() == [(391 + 2300,)]
    assert find(connection, "counts_equal_the_official_ones").passed


def test_partial_and_unknown_categories_are_listed_with_their_difference(
    connection: duckdb.DuckDBPyConnection,
) -> None:
    assert offenders(connection, "counts_equal_the_official_ones") == [
        (
            f"{CLASS1}",
            "partial: train good 1 of 496, train anomalous 1 of 79, "
            "test good 1 of 504, test anomalous 0 of 71",
        ),
        (
            "mvtec_ad/bottle",
            "partial: train good 2 of 209, test good 1 of 20, test anomalous 1 of 63",
        ),
        (
            "mvtec_ad/carpet",
            "partial: train good 1 of 280, test good 0 of 28, test anomalous 1 of 89",
        ),
    ]
    connection.execute("DELETE FROM dagm_2007.images")
    connection.execute("DELETE FROM mvtec_ad.images")
    for count in official_counts(SOURCE_DATASETS.values()):
        if count.category == "zipper":
            add_images(connection, "zipper", count.split, count.label, count.images)
    add_images(connection, "zipper", "train", "anomalous", 2)
    add_images(connection, "our own", "train", "good", 1)
    assert offenders(connection, "counts_equal_the_official_ones") == [
        ("mvtec_ad/our own", "unknown category"),
        ("mvtec_ad/zipper", "partial: train anomalous 2 of 0"),
    ]


def test_a_category_of_the_other_source_dataset_is_unknown(
    connection: duckdb.DuckDBPyConnection,
) -> None:
    connection.execute("DELETE FROM mvtec_ad.images")
    connection.execute("DELETE FROM dagm_2007.images")
    add_images(connection, "bottle", "train", "good", 209, "dagm_2007")
    assert offenders(connection, "counts_equal_the_official_ones") == [
        ("dagm_2007/bottle", "unknown category")
    ]


def test_counts_of_a_whole_dataset_are_compared_without_its_categories(
    connection: duckdb.DuckDBPyConnection, monkeypatch: pytest.MonkeyPatch
) -> None:
    connection.execute("DELETE FROM dagm_2007.images")
    totals = "{ train = [3, 0], test = [1, 2] }"
    mvtec = f'[mvtec_ad]\nlike = "mvtec_ad"\ncounts.total = {totals}\n'
    declared = {"mvtec_ad": source_dataset(mvtec, "mvtec_ad")}
    monkeypatch.setattr(check_queries, "SOURCE_DATASETS", declared)
    assert find(connection, "counts_equal_the_official_ones").passed
    connection.execute("DELETE FROM mvtec_ad.images WHERE image_id = ?", [HOLE])
    add_images(connection, "our own", "train", "good", 1)
    assert offenders(connection, "counts_equal_the_official_ones") == [
        ("mvtec_ad", "partial: train good 4 of 3, test anomalous 1 of 2")
    ]


def test_only_blocking_checks_that_fail_hold_back_a_publication(
    connection: duckdb.DuckDBPyConnection,
) -> None:
    assert blocking_findings(connection, SPEC) == {}
    connection.execute("UPDATE mvtec_ad.images SET mask_relative_path = NULL")
    assert blocking_findings(connection, SPEC) == {}
    connection.execute("DELETE FROM image_tensors WHERE image_id = ?", [HOLE])
    assert blocking_findings(connection, SPEC) == {
        "images_have_a_tensor_or_a_rejection": Finding(1, [(HOLE, "neither decoded nor rejected")])
    }


def test_exactly_the_agreed_checks_are_blocking() -> None:
    blocking = {check.name for check in (*ALL.values(), checks.PUBLISHED_CHECK) if check.blocking}
    assert blocking == {
        "image_ids_are_unique",
        "images_have_a_tensor_or_a_rejection",
        "tensors_have_the_configured_shape",
        "published_counts_equal_the_warehouse",
        "recipe_tensors_are_unique",
        "images_have_all_recipes",
        "recipe_tensors_are_of_their_image",
    }


@pytest.mark.parametrize("check", [*ALL.values(), checks.PUBLISHED_CHECK], ids=lambda c: c.name)
def test_every_check_says_in_sentences_what_holds_and_what_to_do(check: Check) -> None:
    assert check.description.endswith(".")
    for count in (1, 2, 1234):
        verdict = check.verdict(Finding(count, [("somebody", None)] * min(count, 20)))
        assert verdict.startswith(f"{count:,} ")
        assert len(re.findall(r"[.?!]( [A-Z]|$)", verdict)) in (2, 3)
        assert "{" not in verdict


def test_a_verdict_counts_and_says_what_to_do() -> None:
    check = ALL["anomalous_images_have_masks"]
    advice = "Add the missing mask files, or exclude {} from pixel-level evaluation."
    shown: list[tuple[str, str | None]] = [("mvtec_ad/a.png", "crack")]
    assert check.verdict(Finding(1, shown)) == (
        f"1 anomalous image has no mask. {advice.format('it')}"
    )
    assert check.verdict(Finding(9, shown * 9)) == (
        f"9 anomalous images have no mask. {advice.format('them')}"
    )
    assert check.verdict(Finding(35, shown * 20)) == (
        f"35 anomalous images have no mask (20 of them are shown). {advice.format('them')}"
    )


def test_a_near_duplicate_and_a_group_in_two_folds_are_named(
    connection: duckdb.DuckDBPyConnection,
) -> None:
    train = "mvtec_ad/bottle/train/good/00{}.png"
    add_near_duplicates(connection, [(train.format(0), train.format(1), 0.01)])
    refresh(connection, "splits")
    assert find(connection, "folds_do_not_leak").passed
    connection.execute(
        """
        INSERT INTO assignments VALUES
            ('v1', '{"seed": 0, "val": 0.5}', ['train']),
            ('v2', '{"seed": 0, "val": 0.5, "group": "category"}', ['train']);
        INSERT INTO assigned_contents
        SELECT assignment, content_sha256, CASE WHEN contains(image_id, '000') THEN 'val' ELSE 'train' END,
            content_sha256, 'hash', '', image_id
        FROM facts, assignments
        WHERE contains(image_id, '/train/')
        """
    )
    finding = find(connection, "folds_do_not_leak")
    [near, near_of_v2] = [row for row in finding.shown if "near duplicate" in str(row[1])]
    assert near == (
        train.format(0),
        f"v1: in val, and its near duplicate {train.format(1)} in train",
    )
    assert str(near_of_v2[1]).startswith("v2: ")
    groups = [row for row in finding.shown if "its group" in str(row[1])]
    assert (
        train.format(1),
        "v2: in train, and its group mvtec_ad/bottle in test, train, val",
    ) in groups
    assert not any("v1" in str(detail) for _, detail in groups)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "statement"),
    [
        ("anomalous_images_have_masks", "UPDATE mvtec_ad.images SET mask_relative_path = NULL"),
        ("training_images_are_good", "UPDATE mvtec_ad.images SET split = 'train'"),
        ("masks_are_binary", "UPDATE facts SET mask_values = 3"),
        ("masks_are_not_empty", "UPDATE facts SET mask_area_fraction = 0"),
        ("masks_do_not_cover_everything", "UPDATE facts SET mask_area_fraction = 1"),
        ("masks_have_the_size_of_their_image", "UPDATE facts SET mask_width = 1"),
        ("images_have_8_bits", "UPDATE image_tensors SET original_mode = 'I;16'"),
        ("names_match_formats", "UPDATE facts SET file_format = 'TIFF'"),
        ("images_are_usable", "FROM facts"),
        ("labels_agree", "UPDATE mvtec_ad.images SET table_label_index = 1 - label_index"),
    ],
)
def test_an_excluded_image_is_not_judged(project: Project, name: str, statement: str) -> None:
    def named(*lines: str) -> bool:
        correct(project, *lines)
        with project.warehouse.connect() as connection:
            return any(HOLE.endswith(each) for each, _ in find(connection, name).shown)

    with project.warehouse.connect() as connection:
        connection.execute(statement)
        reject(connection, HOLE, HOLE.partition("/")[2])
    assert named()
    assert not named(f"{HOLE},,exclude,true,,,")


def test_a_label_that_was_corrected_to_unknown_is_named_as_that(project: Project) -> None:
    correct(project, f"{HOLE},,label,unknown,,,")
    with project.warehouse.connect() as connection:
        assert ("mvtec_ad/carpet/test", "1 of 1 images: a correction gives unknown") in find(
            connection, "labels_are_known"
        ).shown
