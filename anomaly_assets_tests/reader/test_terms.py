"""Test terms of use of opened samples, and the refusal of commercial use."""

from __future__ import annotations

import shutil
from datetime import datetime, timezone
from pathlib import Path

import duckdb
import pytest

from anomaly_assets.reader import CommercialUseError, open_samples
from anomaly_assets_tests.export.published import PICTURES, publish_pictures


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return publish_pictures(tmp_path_factory.mktemp("terms"), PICTURES)


@pytest.fixture
def database(published: Path, tmp_path: Path) -> Path:
    return Path(shutil.copyfile(published, tmp_path / "anomaly.duckdb"))


def change(database: Path, *statements: str) -> None:
    with duckdb.connect(str(database)) as connection:
        for statement in statements:
            connection.execute(statement)


@pytest.mark.slow
def test_samples_have_the_terms_of_their_source_datasets(database: Path) -> None:
    with open_samples(database, category="bottle") as samples:
        [(name, terms)] = samples.terms.items()
        assert (name, terms.title, terms.licence) == ("mvtec_ad", "MVTec AD", "CC BY-NC-SA 4.0")
        assert terms.commercial_use == "forbidden"
        assert (terms.citation or "").startswith("Bergmann et al., MVTec AD")
        assert samples.published_on == f"{datetime.now(timezone.utc):%Y-%m-%d}"
        assert samples[:2].terms == samples.terms


def test_commercial_samples_are_those_of_datasets_that_allow_it(database: Path) -> None:
    with open_samples(database, source_dataset="dagm_2007", commercial=True) as samples:
        assert len(samples) == 3
    with open_samples(database, where="category = 'Class1'", commercial=True) as samples:
        assert len(samples) == 3


def test_a_dataset_that_forbids_commercial_use_is_refused_with_its_licence(database: Path) -> None:
    with pytest.raises(CommercialUseError) as raised:
        open_samples(database, commercial=True)
    assert str(raised.value) == (
        "These samples are not free for commercial use: mvtec_ad (licence CC BY-NC-SA 4.0) forbids it. "
        'Select only dagm_2007. If you have other terms, write commercial_use = "allowed" into the '
        "declaration and refresh."
    )


def test_a_dataset_of_unknown_terms_is_refused_too(database: Path) -> None:
    change(
        database,
        "UPDATE source_datasets SET licence = 'own', commercial_use = 'unknown' "
        "WHERE source_dataset = 'dagm_2007'",
    )
    with pytest.raises(CommercialUseError) as raised:
        open_samples(database, commercial=True, split="test")
    assert "dagm_2007 (licence own) is not known to allow it; mvtec_ad (" in str(raised.value)
    assert "No selected source dataset allows it." in str(raised.value)


def test_what_the_declaration_allows_is_allowed_whatever_the_licence(database: Path) -> None:
    change(database, "UPDATE source_datasets SET commercial_use = 'allowed'")
    with open_samples(database, commercial=True) as samples:
        assert len(samples) == 10


@pytest.mark.parametrize(
    "made_older",
    [
        ["UPDATE source_datasets SET commercial_use = NULL, citation = NULL"],
        [
            "ALTER TABLE source_datasets DROP COLUMN commercial_use",
            "ALTER TABLE source_datasets DROP COLUMN citation",
        ],
    ],
)
def test_terms_follow_from_licence_and_declaration_in_a_file_of_an_earlier_release(
    database: Path, made_older: list[str]
) -> None:
    change(
        database,
        *made_older,
        """UPDATE source_datasets SET declaration = '{"citation":"A paper"}'""",
    )
    with open_samples(database, source_dataset="dagm_2007", commercial=True) as samples:
        assert samples.terms["dagm_2007"].citation == "A paper"
    with pytest.raises(CommercialUseError, match="mvtec_ad"):
        open_samples(database, commercial=True)


def test_a_file_that_records_no_licences_is_not_known_to_allow_it(database: Path) -> None:
    change(database, "DROP TABLE source_datasets")
    with open_samples(database) as samples:
        assert samples.licences == {}
    with pytest.raises(CommercialUseError, match=r"dagm_2007 \(licence unknown\) is not known"):
        open_samples(database, commercial=True)
