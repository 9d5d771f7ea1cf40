"""Test the registry of source datasets and the published counts of their authors."""

from collections import Counter

import duckdb
import pytest

from anomaly_assets.datasets import SOURCE_DATASETS
from anomaly_assets.datasets.declaration_files import declared
from anomaly_assets.datasets.known import OfficialCount, official_counts
from anomaly_assets.datasets.source_dataset import taken_names
from anomaly_assets.tables.registry import CATALOGUE_TABLES, TABLES
from anomaly_assets_tests.datasets import taken
from anomaly_assets_tests.datasets.declared import source_dataset


def images(name: str, split: str | None = None, label: str | None = None) -> int:
    return sum(
        count.images
        for count in official_counts(SOURCE_DATASETS.values())
        if count.source_dataset == name
        and split in (None, count.split)
        and label in (None, count.label)
    )


def test_the_source_datasets_are_known_by_their_names() -> None:
    assert {name: dataset.title for name, dataset in SOURCE_DATASETS.items()} == {
        "mvtec_ad": "MVTec AD",
        "dagm_2007": "DAGM 2007",
        "visa": "VisA",
        "btad": "BTAD",
        "mpdd": "MPDD",
        "kolektor_sdd": "KolektorSDD",
        "kolektor_sdd2": "KolektorSDD2",
        "mvtec_loco_ad": "MVTec LOCO AD",
        "mvtec_ad_2": "MVTec AD 2",
        "real_iad": "Real-IAD",
    }


@pytest.mark.parametrize(
    ("name", "variable"), [("mvtec_ad", "MVTEC_AD_ROOT"), ("dagm_2007", "DAGM_2007_ROOT")]
)
def test_the_root_of_a_source_dataset_has_its_variable(name: str, variable: str) -> None:
    assert SOURCE_DATASETS[name].root_variable == variable


def test_mvtec_ad_has_its_official_totals() -> None:
    assert images("mvtec_ad", "train", "good") == 3_629
    assert images("mvtec_ad", "train", "anomalous") == 0
    assert images("mvtec_ad", "test", "good") == 467
    assert images("mvtec_ad", "test", "anomalous") == 1_258
    assert images("mvtec_ad") == 5_354


def test_dagm_2007_has_its_official_totals() -> None:
    assert images("dagm_2007") == 16_100
    assert images("dagm_2007", "train", "anomalous") == 1_046
    assert images("dagm_2007", "test", "anomalous") == 1_054
    assert images("dagm_2007", "train") == images("dagm_2007", "test") == 8_050


@pytest.mark.parametrize("number", range(1, 11))
def test_a_dagm_class_has_575_or_1150_images_in_each_split(number: int) -> None:
    found = Counter[str]()
    for count in official_counts(SOURCE_DATASETS.values()):
        if count.category == f"Class{number}":
            found[count.split] += count.images
    expected = 575 if number <= 6 else 1_150
    assert found == {"train": expected, "test": expected}


def test_every_category_split_and_label_has_one_count() -> None:
    keys = [
        (count.source_dataset, count.category, count.split, count.label)
        for count in official_counts(SOURCE_DATASETS.values())
        if count.category is not None
    ]
    categories = Counter(name for name, _ in {key[:2] for key in keys})
    assert categories == {"mvtec_ad": 15, "dagm_2007": 10}
    assert len(keys) == len(set(keys)) == (15 + 10) * 2 * 2


def test_one_category_has_the_counts_of_the_paper() -> None:
    found = [
        count for count in official_counts(SOURCE_DATASETS.values()) if count.category == "leather"
    ]
    assert found == [
        OfficialCount("mvtec_ad", "leather", "train", "good", 245),
        OfficialCount("mvtec_ad", "leather", "train", "anomalous", 0),
        OfficialCount("mvtec_ad", "leather", "test", "good", 32),
        OfficialCount("mvtec_ad", "leather", "test", "anomalous", 92),
    ]


def test_a_total_is_a_count_without_a_category() -> None:
    totals = 'images = ["{name}"]\ncounts.total = { train = [5, 0], test = [2, 1] }\n'
    dataset = source_dataset(f"[line4]\n{totals}", "line4")
    assert [*official_counts([SOURCE_DATASETS["mvtec_ad"], dataset])][-4:] == [
        OfficialCount("line4", None, "train", "good", 5),
        OfficialCount("line4", None, "train", "anomalous", 0),
        OfficialCount("line4", None, "test", "good", 2),
        OfficialCount("line4", None, "test", "anomalous", 1),
    ]
    without = source_dataset('[line4]\nimages = ["{name}"]\n', "line4")
    assert [*official_counts([without])] == []


def problems_of(name: str) -> list[str]:
    """Return what is wrong with a declaration of this name."""
    found = declared({"own/line4.toml": f'["{name}"]\nimages = ["{{name}}"]\n'.encode()})
    assert bool(found.problems) is not bool(found.declarations)
    return list(map(str, found.problems))


@pytest.mark.parametrize(
    ("name", "because"),
    [
        ("order", "a word of SQL"),
        ("group", "a word of SQL"),
        ("table", "a word of SQL"),
        ("left", "a word of SQL"),
        ("pg_catalog", "a schema or a database of DuckDB"),
        ("information_schema", "a schema or a database of DuckDB"),
        ("main", "a schema or a database of DuckDB"),
        ("temp", "a schema or a database of DuckDB"),
        ("images", "a table of this project"),
        ("samples", "a table of this project"),
        ("snapshots", "a table of this project"),
        ("stray_files", "a table of this project"),
        ("contact_sheets", "a name of this project"),
        ("published_database", "a name of this project"),
        ("images_checks", "a name of this project"),
        ("harmonised", "a name of this project"),
        ("all", "a name of this project"),  # refresh_all is a job already
        ("warehouse", "a name of this project"),
        ("published", "a name of this project"),
        ("anomaly", "a name of this project"),
        ("meta", "a word that Python or Dagster keeps for itself"),
        ("class", "a word that Python or Dagster keeps for itself"),
    ],
)
def test_a_name_that_stands_for_something_else_is_refused(name: str, because: str) -> None:
    other = f"{name}_line4" if "project" in because else f"{name}_1"
    meaning = f"{because} and cannot name a schema"
    if because == "a table of this project":
        meaning = "the name of an asset of this project"
    assert problems_of(name) == [
        f"own/line4.toml:1: [{name}] is {meaning}. Call it {other}, for example."
    ]
    assert problems_of(other) == []


@pytest.mark.parametrize(
    "name", ["", "Bottle", "1st", "_x", "x_", "x__y", "a-b", "a.b", "größe", "x_staging", "x" * 41]
)
def test_a_name_that_is_no_name_of_a_schema_is_refused(name: str) -> None:
    [problem] = problems_of(name)
    assert f": [{name}] cannot be the name of a source dataset: use lower-case words " in problem
    assert "such as pill_inspection, with at most 40 characters" in problem


@pytest.mark.parametrize("name", ["own_btad", "x" * 40, "line_7", "orders", "image", "refresh"])
def test_any_other_name_can_be_used(name: str) -> None:
    assert problems_of(name) == []
    dataset = source_dataset(f'[{name}]\nimages = ["{{name}}"]\n', name)
    assert dataset.root_variable == f"{name.upper()}_ROOT"


def test_the_names_that_are_taken_are_those_of_these_versions_and_of_this_graph() -> None:
    assert taken.FILE.read_text("utf-8") == taken.taken_text(), taken.__doc__


def test_every_table_is_taken() -> None:
    assert set(TABLES) | set(CATALOGUE_TABLES) <= taken_names().keys()


@pytest.mark.slow
def test_every_other_word_of_sql_can_be_the_name_of_a_schema() -> None:
    with duckdb.connect(":memory:") as connection:
        keywords = connection.execute("SELECT keyword_name FROM duckdb_keywords()").fetchall()
        for (name,) in keywords:
            if name not in taken_names():
                connection.execute(
                    f"CREATE SCHEMA {name}; CREATE TABLE {name}.images (image_id INT)"
                )
                connection.execute(
                    f"SELECT image_id FROM {name}.images; DROP SCHEMA {name} CASCADE"
                )
