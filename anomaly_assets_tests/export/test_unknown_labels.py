"""Test images of unknown label, and of the splits `validation` and `unassigned`, in all published data."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from anomaly_assets.cli.app import main
from anomaly_assets.export import (
    to_anomalib,
    to_imagefolder,
    to_label_studio,
    to_mvtec,
    to_parquet,
)
from anomaly_assets.export.run import Exporter
from anomaly_assets.reader import UnknownLabelWarning, open_samples
from anomaly_assets_tests.export.annotation.answered import (
    chosen,
    compared,
    exported_tasks,
    submitted,
)
from anomaly_assets_tests.warehouse.project import SPEC, Project, mask, noise

KNOWN, UNKNOWN = "dagm_2007/Class1/Train/0001.PNG", "dagm_2007/Class2/Train/0001.PNG"


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """Publish one good image, two of unknown label, and one good image of each other split."""
    made = Project.at(tmp_path_factory.mktemp("unknown"))
    made.save(
        {
            f"dagm_2007/{path}": noise(number, "L")
            for number, path in enumerate(
                (
                    "Class1/Train/0001.PNG",
                    "Class1/Train/0002.PNG",
                    "Class1/Train/0003.PNG",
                    "Class2/Train/0001.PNG",
                    "Class2/Test/0002.PNG",
                )
            )
        }
    )
    made.save({"dagm_2007/Class1/Train/Label/0001_label.PNG": mask()})
    made.list_files()
    made.build()
    with made.warehouse.writing(), made.warehouse.connect() as connection:
        for number, split in ((2, "validation"), (3, "unassigned")):
            connection.execute(
                "UPDATE dagm_2007.images SET split = ? WHERE relative_path = ?",
                [split, f"Class1/Train/000{number}.PNG"],
            )
    made.refresh_all()
    made.warehouse.publish(made.folder / "anomaly.duckdb", SPEC)
    return made


@pytest.fixture(scope="module")
def database(project: Project) -> Path:
    return project.folder / "anomaly.duckdb"


@pytest.mark.slow
def test_samples_of_unknown_label_are_left_out_and_counted(database: Path) -> None:
    with pytest.warns(UnknownLabelWarning, match=r"^2 samples with an unknown label are left out"):
        samples = open_samples(database)
    with samples:
        assert samples.unknown_left_out == 2
        assert samples.table["label"].to_pylist() == ["good"] * 3
        assert "2 with an unknown label left out" in repr(samples)


@pytest.mark.parametrize("filters", [{"include_unknown": True}, {"label": ["good", "unknown"]}])
def test_samples_of_unknown_label_that_are_asked_for_have_the_index_minus_1(
    database: Path, filters: dict[str, object]
) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        samples = open_samples(database, **filters)  # type: ignore[arg-type]
    with samples:
        assert samples.unknown_left_out == 0
        batch = samples.batch(range(5))
        assert batch.label_indices.tolist() == [0, 0, 0, -1, -1]
        assert batch.has_mask.tolist() == [True, True, True, False, False]
        assert samples[UNKNOWN].label_index == -1


def test_a_cache_keeps_the_unknown_labels(database: Path, tmp_path: Path) -> None:
    with open_samples(database, label="unknown") as samples:
        cached = samples.cache(tmp_path)
        assert cached.batch([0, 1]).label_indices.tolist() == [-1, -1]


def test_a_selection_of_unknown_labels_alone_is_refused_with_the_way_to_get_them(
    database: Path,
) -> None:
    with pytest.raises(LookupError, match="all 2 samples .* label unknown. Pass include_unknown"):
        open_samples(database, category="Class2")


def test_a_label_is_no_mystery_where_the_whole_category_has_none(database: Path) -> None:
    with pytest.raises(LookupError) as raised:
        open_samples(database, category="Class2", label="good")
    assert str(raised.value) == (
        f"{database}: all 2 samples with category='Class2' have the label unknown. The label 'unknown' "
        "selects them; docs/labels.md lists what gives a label."
    )


def test_the_label_unknown_has_any_case(database: Path) -> None:
    with open_samples(database, label="Unknown") as samples:
        assert len(samples) == 2


def test_an_unknown_label_word_is_answered_with_the_accepted_ones(database: Path) -> None:
    with pytest.raises(
        LookupError, match="Accepted words, in any case: 0, good, normal, ok mean good"
    ):
        open_samples(database, label="fine")


def test_the_command_names_its_own_option_for_unknown_labels(
    database: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["export", "--format", "parquet", "--database", str(database), "--out"]
    assert main([*arguments, str(tmp_path / "out"), "--category", "Class2"]) == 1
    assert capsys.readouterr().err == (
        f"error: {database}: all 2 samples with category='Class2' have the label unknown. Add "
        "--include-unknown to export them.\n"
    )


def test_info_counts_unknown_labels_without_a_warning_of_python(
    database: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("ANOMALY_DATABASE", str(database))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert main(["info"]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    assert out.splitlines()[1] == (
        "2 more have an unknown label; include_unknown=True reads them too."
    )


@pytest.mark.parametrize("exporter", [to_parquet, to_anomalib, to_mvtec, to_imagefolder])
def test_exports_leave_unknown_labels_out_and_count_them(
    exporter: Exporter, database: Path, tmp_path: Path
) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        made = exporter(tmp_path / "out", database)
    assert (made.samples + made.not_written, made.unknown) == (3, 2)
    made = exporter(tmp_path / "all", database, include_unknown=True)
    assert (made.samples + made.not_written, made.unknown) == (5, 0)


def test_the_command_says_how_many_are_left_out(
    database: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["export", "--format", "parquet", "--database", str(database), "--out"]
    assert main([*arguments, str(tmp_path / "out")]) == 0
    assert "; 2 more images not exported because their label is unknown" in capsys.readouterr().out


@pytest.mark.parametrize("exporter", [to_anomalib, to_mvtec])
def test_anomalib_lists_neither_unknown_labels_nor_other_splits(
    exporter: Exporter, database: Path, tmp_path: Path
) -> None:
    made = exporter(tmp_path / "out", database, include_unknown=True)
    listed = pq.read_table(made.folder / "samples.parquet").to_pylist()
    assert [(row["image_id"], row["label"]) for row in listed] == [(KNOWN, "normal")]
    left_out = pq.read_table(made.folder / "left_out.parquet").to_pylist()
    assert [(row["split"], row["label_index"], row["reason"]) for row in left_out] == [
        ("validation", 0, "neither_train_nor_test"),
        ("unassigned", 0, "neither_train_nor_test"),
        ("test", -1, "unknown_label"),
        ("train", -1, "unknown_label"),
    ]


def test_imagefolder_has_a_folder_for_every_split(database: Path, tmp_path: Path) -> None:
    made = to_imagefolder(tmp_path / "out", database)
    splits = {path.parent.name for path in made.folder.glob("*/metadata.parquet")}
    assert splits == {"train", "validation", "unassigned"}


def test_statistics_are_those_of_good_images_to_train_from(project: Project) -> None:
    assert project.rows("SELECT category, images FROM pixel_statistics") == [("Class1", 2)]
    pixels = np.concatenate(
        [
            project.tensor(f"dagm_2007/Class1/Train/000{number}.PNG").reshape(-1, 3)
            for number in (1, 3)
        ]
    )
    [(means,)] = project.rows("SELECT channel_means FROM pixel_statistics")
    assert means == pytest.approx((pixels / 255).mean(axis=0).tolist())


def test_an_image_of_unknown_label_gets_one_in_an_annotation_tool(
    database: Path, tmp_path: Path
) -> None:
    folder = to_label_studio(tmp_path / "out", database, label="unknown").folder
    [first, second] = exported_tasks(folder)
    assert first["predictions"][0]["result"] == []
    answers = [submitted(first, result=[chosen("label", "good")]), submitted(second)]
    [line] = compared(answers, folder, tmp_path).lines
    image_id = first["data"]["image_id"]
    assert (line.image_id, line.field, line.value) == (image_id, "label", "good")
