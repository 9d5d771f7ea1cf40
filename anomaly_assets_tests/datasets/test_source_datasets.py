"""The registry of source datasets and what their authors published."""

from collections import Counter

import pytest

from anomaly_assets.datasets import SOURCE_DATASETS, OfficialCount, official_counts


def images(source_dataset: str, split: str | None = None, label: str | None = None) -> int:
    return sum(
        count.images
        for count in official_counts()
        if count.source_dataset == source_dataset
        and split in (None, count.split)
        and label in (None, count.label)
    )


def test_the_source_datasets_are_known_by_their_names() -> None:
    assert {name: dataset.title for name, dataset in SOURCE_DATASETS.items()} == {
        "mvtec_ad": "MVTec AD",
        "dagm_2007": "DAGM 2007",
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
    for count in official_counts():
        if count.category == f"Class{number}":
            found[count.split] += count.images
    expected = 575 if number <= 6 else 1_150
    assert found == {"train": expected, "test": expected}


def test_every_category_split_and_label_has_one_count() -> None:
    keys = [
        (count.source_dataset, count.category, count.split, count.label)
        for count in official_counts()
    ]
    categories = Counter(name for name, _ in {key[:2] for key in keys})
    assert categories == {"mvtec_ad": 15, "dagm_2007": 10}
    assert len(keys) == len(set(keys)) == (15 + 10) * 2 * 2


def test_one_category_has_the_counts_of_the_paper() -> None:
    found = [count for count in official_counts() if count.category == "leather"]
    assert found == [
        OfficialCount("mvtec_ad", "leather", "train", "good", 245),
        OfficialCount("mvtec_ad", "leather", "train", "anomalous", 0),
        OfficialCount("mvtec_ad", "leather", "test", "good", 32),
        OfficialCount("mvtec_ad", "leather", "test", "anomalous", 92),
    ]
