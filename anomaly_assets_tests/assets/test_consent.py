"""Test that losing samples needs consent, that samples never mix with data, and unknown datasets stay."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from anomaly_assets import forget
from anomaly_assets.catalogue.dlt_source import load
from anomaly_assets.datasets import SOURCE_DATASETS, SourceDataset
from anomaly_assets.decoding.build import waiting_images
from anomaly_assets.recipes import Recipe, Recipes
from anomaly_assets.warehouse.file.warehouse import FileWarehouse
from anomaly_assets_tests.assets.environment import Environment, set_up
from anomaly_assets_tests.assets.runs import run_job, run_published, run_selection
from anomaly_assets_tests.assets.trees import write_image
from anomaly_assets_tests.datasets.declared import source_dataset
from anomaly_assets_tests.sampled import SAMPLED

LFS_POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:%s\nsize 12345\n" % (
    b"0" * 64
)
ALLOW_SHRINK = {"ops": {"published_database": {"config": {"allow_shrink": True}}}}
LINE4 = '[line4]\nlike = "mvtec_ad"\ntitle = "Line 4"\nlicence = "own"\n'
SAMPLES = "SELECT source_dataset, count(*) FROM anomaly.samples GROUP BY ALL ORDER BY ALL"
COUNT = "SELECT count(*) FROM anomaly.samples"


def write_pictures(root: Path, *paths: str) -> None:
    for path in paths:
        write_image(root, path)


def shrink_config(name: str) -> dict[str, Any]:
    return {"ops": {name: {"config": {"allow_shrink": True}}}}


def published(environment: Environment) -> int:
    return int(environment.query(COUNT)[0][0])


@pytest.fixture(scope="module")
def bolts_once(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Load and publish one category of twenty good images; returns their folder and a copy of it."""
    folder = tmp_path_factory.mktemp("bolts") / "environment"
    folder.mkdir()
    with pytest.MonkeyPatch.context() as monkeypatch:
        environment = set_up(folder, monkeypatch)
        write_pictures(environment.mvtec_ad, *(f"bolt/train/good/{n:03}.png" for n in range(20)))
        monkeypatch.setenv("DAGM_2007_ROOT", "")
        assert run_job().success
        assert published(environment) == 20
    return folder, shutil.copytree(folder, folder.with_name("copy"))


@pytest.fixture
def bolts(bolts_once: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch) -> Environment:
    """Restore these in place, because the warehouse records the root; DAGM 2007 is left out."""
    folder, copy = bolts_once
    shutil.rmtree(folder)
    shutil.copytree(copy, folder)
    environment = set_up(folder, monkeypatch)
    monkeypatch.setenv("DAGM_2007_ROOT", "")
    return environment


def images(environment: Environment) -> list[Path]:
    return sorted(environment.mvtec_ad.rglob("*.png"))


def test_files_that_turn_into_pointers_lose_no_sample_and_a_repair_decodes_nothing(
    bolts: Environment,
) -> None:
    kept = bolts.mvtec_ad.with_name("kept")
    shutil.copytree(bolts.mvtec_ad, kept)
    for path in images(bolts)[:17]:
        path.write_bytes(LFS_POINTER)
    before = bolts.database.read_bytes()
    for _ in range(2):
        run = run_published()
        assert run.failures.keys() == {"image_tensors"}
        assert "mvtec_ad would have 3 of 20" in run.failures["image_tensors"]
        assert "mvtec_ad/bolt/train/good/000.png" in run.failures["image_tensors"]
        assert bolts.database.read_bytes() == before
    shutil.rmtree(bolts.mvtec_ad)
    shutil.copytree(kept, bolts.mvtec_ad)  # with the old times
    run = run_published()
    assert run.success
    made = run.materialized["image_tensors"]
    assert (made["rows_added"], made["rows_changed"], made["rows_unchanged"]) == (0, 0, 20)
    assert published(bolts) == 20


def test_few_files_that_turn_into_pointers_are_rejected(bolts: Environment) -> None:
    for path in images(bolts)[:4]:
        path.write_bytes(LFS_POINTER)
    run = run_published()
    assert run.success
    assert run.materialized["image_tensors"]["rows_removed"] == 4
    assert published(bolts) == 16


def test_many_rejections_are_published_with_consent_which_is_recorded(bolts: Environment) -> None:
    for path in images(bolts)[:17]:
        path.write_bytes(LFS_POINTER)
    assert not run_published().success
    run = run_published(run_config=ALLOW_SHRINK)
    assert run.success
    assert published(bolts) == 3
    assert bolts.query("SELECT source_dataset, kind, images, run_id FROM anomaly.consents") == [
        ("mvtec_ad", "fewer_samples", 3, run.result.run_id)
    ]
    assert run_published().success


def test_a_root_that_loses_a_little_every_day_is_refused_once_a_fifth_is_gone(
    bolts: Environment,
) -> None:
    accepted = []
    for _ in range(9):
        for path in images(bolts)[:2]:
            path.unlink()
        if run_published().success:
            accepted.append(published(bolts))
    assert accepted == [18, 16]
    assert published(bolts) == 16


def test_a_consent_to_a_shrunk_root_holds_for_its_publication_and_sets_the_mark(
    bolts: Environment,
) -> None:
    for path in images(bolts)[:15]:
        path.unlink()
    run = run_published()
    assert "lists 5 images of MVTec AD, 20 are loaded" in run.failures["mvtec_ad"]
    assert run_published(run_config=shrink_config("mvtec_ad")).success
    assert published(bolts) == 5
    assert bolts.query("SELECT kind, images FROM anomaly.consents") == [("shrunk_root", 5)]
    images(bolts)[0].unlink()
    assert run_published().success  # 4 of 5
    images(bolts)[0].unlink()
    assert (
        "lists 3 images of MVTec AD, 4 are loaded (5 were accepted before)"
        in (run_published().failures["mvtec_ad"])
    )


def test_a_consent_that_could_not_be_published_at_once_holds_for_the_next_run(
    bolts: Environment,
) -> None:
    for path in images(bolts)[:15]:
        path.unlink()
    catalogue = dg.AssetSelection.assets(["mvtec_ad", "images"], ["mvtec_ad", "stray_files"])
    assert run_selection(catalogue.without_checks(), run_config=shrink_config("mvtec_ad")).success
    assert run_published().success
    assert published(bolts) == 5


def test_a_consent_to_fewer_images_is_none_to_losing_those_as_well(bolts: Environment) -> None:
    """Test a former bug: renamed images had no tensor yet, and the consent to 10 images published 1."""
    for path in images(bolts)[:10]:
        path.unlink()
    (bolts.mvtec_ad / "bolt").rename(bolts.mvtec_ad / "screw")
    for path in images(bolts)[1:]:
        path.write_bytes(LFS_POINTER)
    run = run_published(run_config=shrink_config("mvtec_ad"))
    assert "mvtec_ad would have 1 of 10" in str(run.failures)
    assert published(bolts) == 20
    for path in images(bolts):
        write_image(bolts.mvtec_ad, str(path.relative_to(bolts.mvtec_ad)))
    assert run_published().success
    assert published(bolts) == 10


def test_one_category_of_another_root_does_not_join_those_of_the_first(
    bolts: Environment, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Test a former bug: all rows were recorded as rows of the second root."""
    shutil.copytree(bolts.mvtec_ad, tmp_path / "second")
    monkeypatch.setenv("MVTEC_AD_ROOT", str(tmp_path / "second"))
    run = run_published(run_config={"ops": {"mvtec_ad": {"config": {"categories": ["bolt"]}}}})
    assert "load all categories from the new root once" in run.failures["mvtec_ad"]
    assert run_published().success


def test_samples_of_the_repository_never_take_the_place_of_data(
    bolts: Environment, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Test a former bug: a fresh checkout with `adopt` replaced 17 images by 62 samples."""
    for dataset in SAMPLED.values():
        monkeypatch.delenv(dataset.root_variable)
    fresh = tmp_path / "fresh"
    write_pictures(
        fresh / "data/samples/mvtec_ad", *(f"bolt/train/good/{n:03}.png" for n in range(30))
    )
    write_pictures(fresh / "data/samples/dagm_2007", "Class1/Train/0001.PNG")
    monkeypatch.chdir(fresh)
    monkeypatch.setenv("ANOMALY_WAREHOUSE", str(fresh / "warehouse.duckdb"))
    adopt = {"ops": {"published_database": {"config": {"adopt": True}}}}
    failure = run_published(run_config=adopt).failures["published_database"]
    assert "contains data of roots that were set (mvtec_ad), but this warehouse contains" in failure
    assert published(bolts) == 20
    both = {"ops": {"published_database": {"config": {"adopt": True, "allow_shrink": True}}}}
    assert run_published(run_config=both).success
    assert published(bolts) == 31


def test_a_lost_warehouse_does_not_publish_one_image_over_twenty(bolts: Environment) -> None:
    bolts.warehouse.unlink()
    for path in images(bolts)[1:]:
        path.unlink()
    before = bolts.database.read_bytes()
    run = run_published()
    assert "was published by another warehouse" in run.failures["published_database"]
    adopt = {"ops": {"published_database": {"config": {"adopt": True}}}}
    run = run_published(run_config=adopt)
    assert "mvtec_ad would have 1 of 20" in run.failures["published_database"]
    assert bolts.database.read_bytes() == before
    both = {"ops": {"published_database": {"config": {"adopt": True, "allow_shrink": True}}}}
    assert run_published(run_config=both).success
    assert published(bolts) == 1


@pytest.fixture
def shipped(environment: Environment, monkeypatch: pytest.MonkeyPatch) -> Environment:
    """Name no root, and use tiny samples of the repository."""
    for dataset in SAMPLED.values():
        monkeypatch.delenv(dataset.root_variable)
    folder = environment.warehouse.parents[1] / "data" / "samples"
    write_pictures(folder / "mvtec_ad", *(f"bolt/train/good/{n:03}.png" for n in range(6)))
    write_pictures(folder / "dagm_2007", *(f"Class1/Train/{n:04}.PNG" for n in range(5)))
    monkeypatch.chdir(environment.warehouse.parents[1])
    return environment


def test_samples_leave_with_the_first_run_that_lists_a_named_root(
    shipped: Environment, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert run_published().success
    assert shipped.query(SAMPLES) == [("dagm_2007", 5), ("mvtec_ad", 6)]
    flags = "SELECT source_dataset, from_samples FROM anomaly.source_datasets ORDER BY ALL"
    assert shipped.query(flags) == [("dagm_2007", True), ("mvtec_ad", True)]
    # One image of one's own, with another size of the tensors, and the other dataset left out; it is a
    # copy of a sample, so that what is decoded of it has the right version.
    sample = "bolt/train/good/000.png"
    (shipped.mvtec_ad / sample).parent.mkdir(parents=True)
    shutil.copy2(Path("data/samples/mvtec_ad") / sample, shipped.mvtec_ad / sample)
    monkeypatch.setenv("MVTEC_AD_ROOT", str(shipped.mvtec_ad))
    monkeypatch.setenv("DAGM_2007_ROOT", "")
    monkeypatch.setenv("ANOMALY_IMAGE_SIZE", "16")
    assert run_published().success
    assert shipped.query(SAMPLES) == [("mvtec_ad", 1)]
    assert shipped.query(flags) == [("mvtec_ad", False)]
    tables = "SELECT count(*) FROM duckdb_tables() WHERE schema_name LIKE 'dagm%'"
    assert shipped.query(tables, database=shipped.warehouse) == [(0,)]


def test_samples_stay_where_no_named_root_could_be_listed(
    shipped: Environment, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert run_published().success
    monkeypatch.setenv("MVTEC_AD_ROOT", str(shipped.mvtec_ad))  # does not exist
    assert not run_published().success
    assert shipped.query(SAMPLES) == [("dagm_2007", 5), ("mvtec_ad", 6)]
    monkeypatch.setenv("MVTEC_AD_ROOT", "")
    assert run_published().success
    assert shipped.query(SAMPLES) == [("dagm_2007", 5), ("mvtec_ad", 6)]


def test_samples_never_join_data_of_a_named_root(
    shipped: Environment, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_pictures(shipped.mvtec_ad, "nut/train/good/000.png")
    with monkeypatch.context() as patch:
        patch.setenv("MVTEC_AD_ROOT", str(shipped.mvtec_ad))
        assert run_published().success
    run = run_published()  # as after a variable was lost
    assert run.success
    assert shipped.query(SAMPLES) == [("mvtec_ad", 1)]
    assert "it was loaded from" in (run.materialized["mvtec_ad/images"]["left_out"])


def test_images_of_a_root_that_is_no_longer_named_are_not_decoded_from_the_samples(
    shipped: Environment, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Simulate a load whose run ended before decoding, in a shell that has lost the variable."""
    write_pictures(shipped.mvtec_ad, *(f"nut/train/good/{n:03}.png" for n in range(6)))
    load(SOURCE_DATASETS["mvtec_ad"], str(shipped.mvtec_ad), FileWarehouse(shipped.warehouse, 5.0))
    run = run_job()
    assert list(run.failures) == ["image_tensors_checks"]
    assert "images_have_a_tensor_or_a_rejection" in run.failures["image_tensors_checks"]
    assert run.materialized["image_tensors"]["rows_added"] == 0
    with FileWarehouse(shipped.warehouse, 5.0).connect() as connection:
        waiting = waiting_images(connection, {"mvtec_ad", "dagm_2007"}, Recipes(Recipe(32, 32, 3)))
    assert waiting == {"mvtec_ad": (6, shipped.mvtec_ad.as_uri())}


def test_a_consent_without_the_variables_of_its_run_is_refused(
    refreshed: Environment, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MVTEC_AD_ROOT", "")
    for option in ("allow_shrink", "allow_strays"):
        run = run_published(run_config={"ops": {"mvtec_ad": {"config": {option: True}}}})
        assert (
            f"NotListedError: {option} cannot be used, because this run does not list MVTec AD "
            "(MVTEC_AD_ROOT is empty). Set MVTEC_AD_ROOT and the other variables as in the run"
        ) in run.failures["mvtec_ad"]


@pytest.fixture
def third(environment: Environment) -> SourceDataset:
    """Return a dataset that this version does not define; another version has loaded it."""
    dataset = source_dataset(LINE4, "line4")
    root = environment.warehouse.parents[1] / "line4"
    write_pictures(root, *(f"nut/train/good/{n:03}.png" for n in range(3)))
    load(dataset, str(root), FileWarehouse(environment.warehouse, 5.0))
    with FileWarehouse(environment.warehouse, 5.0).connect() as connection:
        connection.execute(
            """
            INSERT INTO image_tensors BY NAME
            SELECT image_id, file_version, 'lanczos-32x32x3' AS transform,
                md5(image_id) AS content_sha256, 32 AS original_width, 32 AS original_height,
                'RGB' AS original_mode, 32 AS height, 32 AS width,
                3 AS channels, repeat(chr(0), 3072)::BLOB AS image_tensor, [0, 0, 0] AS channel_sums,
                [0, 0, 0] AS channel_square_sums, now() AS loaded_at
            FROM line4.images
            """
        )
    return dataset


def test_a_dataset_that_a_run_does_not_define_keeps_its_rows_and_its_publication(
    tiny: Environment, third: SourceDataset
) -> None:
    for _ in range(2):
        assert run_published().success
        assert tiny.query(SAMPLES) == [("dagm_2007", 4), ("line4", 3), ("mvtec_ad", 9)]
    assert tiny.query("SELECT title, licence FROM anomaly.source_datasets ORDER BY ALL")[1] == (
        "Line 4", "own",
    )  # fmt: skip


def test_forgetting_a_dataset_is_the_one_way_to_remove_it(
    tiny: Environment, third: SourceDataset, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_published().success
    assert forget.main(["line5"]) == 1
    assert "It holds: dagm_2007, line4, mvtec_ad." in capsys.readouterr().err
    assert forget.main(["line4"]) == 0
    assert capsys.readouterr().out == (
        f"line4: 3 images removed from {tiny.warehouse}. The published database keeps them until the next "
        "run.\n"
    )
    assert run_published().success
    assert tiny.query(SAMPLES) == [("dagm_2007", 4), ("mvtec_ad", 9)]
    assert forget.main(["mvtec_ad"]) == 0
    assert "Its root would bring it back (MVTEC_AD_ROOT names it)" in capsys.readouterr().out


def test_publishing_a_part_of_the_graph_rebuilds_summaries_that_would_disagree(
    bolts: Environment,
) -> None:
    for path in images(bolts)[:3]:
        path.unlink()
    part = dg.AssetSelection.assets(
        ["mvtec_ad", "images"], "images", "image_tensors", "samples", "published_database"
    )
    assert run_selection(part).success
    assert published(bolts) == 17
    assert bolts.query("SELECT sum(images), sum(tensors) FROM anomaly.dataset_summary") == [
        (17, 17)
    ]
    assert bolts.query("SELECT images FROM anomaly.pixel_statistics") == [(17,)]


def test_a_run_ends_with_a_line_for_each_source_dataset(
    tiny: Environment, third: SourceDataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    from anomaly_assets.assets import resources

    lines: list[str] = []
    real = resources.dataset_lines

    def noted(*arguments: Any, **named: Any) -> list[str]:
        found = real(*arguments, **named)
        lines.extend(found)
        return found

    monkeypatch.setattr(resources, "dataset_lines", noted)
    assert run_job().success
    monkeypatch.setenv("DAGM_2007_ROOT", "")
    assert run_job().success
    root = tiny.warehouse.parents[1] / "line4"
    unknown = (
        f"line4: 3 images from {root.as_uri()}, kept: no declaration defines it; name the TOML file that "
        "does in ANOMALY_DATASETS, or remove the dataset with `anomaly-assets forget line4`"
    )
    unchanged = "0 changed, 0 removed, 0 rejected"
    assert lines == [
        f"dagm_2007: 4 images from {tiny.dagm_2007.as_uri()}, refreshed: 4 new, {unchanged}",
        unknown,
        f"mvtec_ad: 9 images from {tiny.mvtec_ad.as_uri()}, refreshed: 9 new, {unchanged}",
        f"dagm_2007: 4 images from {tiny.dagm_2007.as_uri()}, kept: DAGM_2007_ROOT is empty",
        unknown,
        f"mvtec_ad: 9 images from {tiny.mvtec_ad.as_uri()}, refreshed: 0 new, {unchanged}",
    ]


def test_a_run_whose_publication_is_refused_leaves_the_pictures_of_others_alone(
    bolts: Environment, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sheets = bolts.database.parent / "contact_sheets"
    before = {path: path.read_bytes() for path in sheets.rglob("*") if path.is_file()}
    assert before
    other = tmp_path / "other"
    monkeypatch.setenv("ANOMALY_WAREHOUSE", str(other / "warehouse.duckdb"))
    monkeypatch.setenv("MVTEC_AD_ROOT", str(other / "root"))
    write_pictures(other / "root", *(f"nut/train/scratch/{n:03}.png" for n in range(3)))
    assert run_job().failures.keys() == {"published_database"}
    assert {path: path.read_bytes() for path in sheets.rglob("*") if path.is_file()} == before
    assert (other / "contact_sheets" / "mvtec_ad" / "nut.jpg").exists()
    assert [*(other / "contact_sheets" / "checks").iterdir()]
