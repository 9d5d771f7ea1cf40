"""Test that a root that is wrong as a whole gives one clear message, however many files it has."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from anomaly_assets.catalogue import dlt_source as source
from anomaly_assets.catalogue import reconcile
from anomaly_assets.catalogue.dlt_source import load
from anomaly_assets.catalogue.refusals import (
    ShrunkRootError,
    UnknownCategoryError,
    UnrecognisedRootError,
)
from anomaly_assets.datasets import SOURCE_DATASETS
from anomaly_assets.roots.base import MAX_FILE_BYTES, FileEntry, Root
from anomaly_assets_tests.bad_input.loading import Outcome, decode_all, finding, load_all
from anomaly_assets_tests.catalogue.trees import MVTEC_PATHS, write, write_dagm
from anomaly_assets_tests.decoding.pictures import png
from anomaly_assets_tests.sampled import SAMPLED
from anomaly_assets_tests.warehouse.project import SIZE, Project, mask, noise

MVTEC, DAGM = SOURCE_DATASETS["mvtec_ad"], SOURCE_DATASETS["dagm_2007"]
MANY = pytest.mark.parametrize("many", [2_000, pytest.param(100_000, marks=pytest.mark.slow)])
"""A number of files without any image. The limits of time and of the message are those of the largest."""


class Listed(Root):
    """A root with these paths, without files."""

    uri = "https://listed.example"

    def __init__(self, paths: list[str]) -> None:
        self._paths = paths

    def files(self) -> Iterator[FileEntry]:
        for path in self._paths:
            yield FileEntry(path, 1, None, "1")

    def read(
        self, path: str, version: str | None = None, most_bytes: int = MAX_FILE_BYTES
    ) -> bytes:
        return b"x"


@pytest.fixture
def listed(monkeypatch: pytest.MonkeyPatch) -> Callable[[list[str]], str]:
    """Return a function that makes a location with these paths."""

    def make(paths: list[str]) -> str:
        monkeypatch.setattr(reconcile, "open_root", lambda _, **__: Listed(paths))
        monkeypatch.setattr(source, "refuse_bad_root", lambda *_: None)  # there is no such folder
        return Listed.uri

    return make


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return Project.at(tmp_path)


def nothing_was_loaded(project: Project) -> bool:
    query = "SELECT 1 FROM duckdb_tables() WHERE schema_name IN ('mvtec_ad', 'dagm_2007')"
    return project.rows(query) == []


@pytest.mark.parametrize("name", SAMPLED)
def test_an_empty_root_says_so_and_loads_nothing(project: Project, name: str) -> None:
    root = project.folder / "root"
    root.mkdir()
    with pytest.raises(ShrunkRootError) as raised:
        load(SOURCE_DATASETS[name], str(root), project.warehouse)
    title = SOURCE_DATASETS[name].title
    assert str(raised.value).startswith(f"{root.as_uri()} is empty; it should hold {title}.")
    assert nothing_was_loaded(project)


@pytest.mark.parametrize(("name", "other"), [("mvtec_ad", "DAGM 2007"), ("dagm_2007", "MVTec AD")])
def test_a_root_of_the_other_dataset_says_which_one_it_is_and_loads_nothing(
    project: Project, name: str, other: str
) -> None:
    root = project.folder / "root"
    if name == "mvtec_ad":
        write_dagm(root)
    else:
        write(root, *MVTEC_PATHS)
    with pytest.raises(UnrecognisedRootError, match=rf"It looks like {other}\."):
        load(SOURCE_DATASETS[name], str(root), project.warehouse)
    assert nothing_was_loaded(project)


def test_both_datasets_in_one_root_load_each_its_own_and_name_the_others_files(
    project: Project,
) -> None:
    root = project.folder / "both"
    write(root, "bottle/train/good/000.png", content=png(noise(1)))
    write(root, "Class1/Train/0001.PNG", content=png(noise(2, "L")))
    mvtec = load_all(project, "mvtec_ad", str(root))
    dagm = load_all(project, "dagm_2007", str(root))
    assert mvtec == Outcome(
        {"bottle/train/good/000.png": None}, {}, {"Class1/Train/0001.PNG": "other_case"}
    )
    assert dagm == Outcome(
        {"Class1/Train/0001.PNG": None}, {}, {"bottle/train/good/000.png": "unrecognised_path"}
    )


@pytest.mark.slow
@MANY
@pytest.mark.parametrize("name", SAMPLED)
def test_many_strays_and_no_image_give_one_short_message_in_seconds(
    project: Project, listed: Callable[[list[str]], str], name: str, many: int
) -> None:
    location = listed([f"holiday {number % 100}/{number}.jpeg" for number in range(many)])
    started = time.process_time()
    with pytest.raises(ShrunkRootError) as raised:
        load(SOURCE_DATASETS[name], location, project.warehouse)
    assert time.process_time() - started < 30
    assert f"({many} unrecognised_path)" in str(raised.value)
    assert len(str(raised.value)) < 1000
    assert nothing_was_loaded(project)


@pytest.mark.slow
@MANY
def test_many_strays_beside_an_image_are_all_loaded_in_seconds_and_20_of_them_told(
    project: Project, many: int
) -> None:
    root = project.folder / "root"
    write(root, "bottle/train/good/000.png", content=png(noise(1)))
    for folder in range(10):
        first = write(root, f"holiday {folder}/0.jpeg") / f"holiday {folder}/0.jpeg"
        for number in range(1, many // 10):
            first.with_name(f"{number}.jpeg").hardlink_to(first)
    started = time.process_time()
    found = load(MVTEC, str(root), project.warehouse, allow_strays=True)
    assert time.process_time() - started < 60
    assert [found.tables[name].inserted for name in ("images", "stray_files")] == [1, many]
    told = finding(project, "files_are_recognised")
    assert (told.count, len(told.shown)) == (many, 20)
    assert {detail for _, detail in told.shown} == {"unrecognised_path"}


@pytest.mark.slow
def test_an_unknown_category_beside_1_000_known_ones_names_20_of_them(
    project: Project, listed: Callable[[list[str]], str]
) -> None:
    location = listed([f"category{number:06}/train/good/000.png" for number in range(1000)])
    with pytest.raises(UnknownCategoryError) as raised:
        load(MVTEC, location, project.warehouse, categories=["bottle"])
    named = ", ".join(f"category{number:06}" for number in range(20))
    assert str(raised.value) == (
        f"MVTec AD has no category 'bottle'. Below the root: {named} and 980 more."
    )


@pytest.mark.slow
@pytest.mark.parametrize(
    ("layout", "wrapper"),
    [("official", ""), ("official", "mvtec_anomaly_detection/"), ("flat", "")],
)
def test_a_category_called_train_is_a_category(project: Project, layout: str, wrapper: str) -> None:
    good, cut = ("good/", "cut/") if layout == "official" else ("", "")
    project.save(
        {
            f"mvtec_ad/{wrapper}train/train/{good}000.png": noise(1),
            f"mvtec_ad/{wrapper}train/test/{cut}000.png": noise(2),
            f"mvtec_ad/{wrapper}train/ground_truth/{cut}000_mask.png": mask((0, 0, *SIZE)),
        }
    )
    outcome = decode_all(project)
    assert outcome == Outcome(
        {f"train/train/{good}000.png": None, f"train/test/{cut}000.png": bytes([1] * 48)}, {}, {}
    )
    rows = project.rows("SELECT DISTINCT category FROM anomaly.samples")
    assert rows == [("train",)]


@pytest.mark.slow
def test_a_class_called_train_is_a_class(project: Project) -> None:
    project.save({"dagm_2007/Train/Train/0001.PNG": noise(1, "L")})
    outcome = decode_all(project, "dagm_2007")
    assert outcome == Outcome({"Train/Train/0001.PNG": None}, {}, {})
    assert project.column("SELECT category FROM anomaly.samples") == ["Train"]
