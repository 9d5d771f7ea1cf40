"""Test the walkthrough, executed from a clean state, top to bottom, and its results."""

import html
import importlib.util
import io
import os
import re
import runpy
import shutil
import sys
from base64 import b64decode
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nbformat
import pytest
from IPython.core.interactiveshell import InteractiveShell
from PIL import Image

from anomaly_assets.datasets import SOURCE_DATASETS

NOTEBOOKS = Path(__file__).parents[2] / "notebooks"
WALKTHROUGH = NOTEBOOKS / "walkthrough.ipynb"
PICTURES = [
    *("run-samples", "run-contact-sheet", "look-pictures", "query-areas", "compare-pictures"),
    *("train-normalise", "train-batch", "train-test"),
]
Row = dict[str, str]


@dataclass(frozen=True)
class Walked:
    """The walkthrough after its cells have run.

    Attributes:
        cells: Cell id to the executed cell.
        folder: Where it ran; `theirs` below it is what the reader's variables name, `tmp` is the system's
            folder for temporary files.
    """

    cells: dict[str, nbformat.NotebookNode]
    folder: Path

    def printed(self, cell: str) -> str:
        return "".join(output.get("text", "") for output in self.cells[cell].outputs)

    def rows(self, cell: str) -> list[Row]:
        """Return the table below a cell."""
        [table] = [
            output["data"]["text/html"]
            for output in self.cells[cell].outputs
            if "text/html" in output.get("data", {})
        ]
        texts = [
            [
                html.unescape(re.sub("<.*?>", "", text)).strip()
                for text in re.findall(r"<t[dh]\b[^>]*>(.*?)</t[dh]>", row, re.DOTALL)
            ]
            for row in re.findall(r"<tr>(.*?)</tr>", table, re.DOTALL)
        ]
        return [dict(zip(texts[0], row, strict=True)) for row in texts[1:]]

    def pictures(self, cell: str) -> list[Image.Image]:
        """Return the pictures below a cell."""
        contents = [
            content
            for output in self.cells[cell].outputs
            for kind, shown in output.get("data", {}).items()
            for content in _pictures(kind, shown)
        ]
        return [Image.open(io.BytesIO(b64decode(content))) for content in contents]


def _pictures(kind: str, shown: str) -> list[str]:
    """Return the pictures of an output, in base64."""
    if kind == "text/html":
        return re.findall(r'src="data:image/webp;base64,([^"]+)"', shown)
    return [shown] if kind in ("image/png", "image/jpeg") else []


@pytest.fixture(scope="module")
def walked(tmp_path_factory: pytest.TempPathFactory, project_root: Path) -> Walked:
    """Run the notebook: the root of MVTec AD is set to a copy, that of DAGM 2007 is left to the default."""
    folder = tmp_path_factory.mktemp("walkthrough")
    (folder / "tmp").mkdir()
    shutil.copytree(project_root / "data/samples/mvtec_ad", folder / "theirs/mvtec_ad")
    roots = {dataset.root_variable for dataset in SOURCE_DATASETS.values()}
    with pytest.MonkeyPatch.context() as monkeypatch:
        for name in [*os.environ]:
            if name.startswith("ANOMALY_") or name == "DAGSTER_HOME" or name in roots:
                monkeypatch.delenv(name)
        monkeypatch.setenv("PYTHONPATH", str(project_root))
        monkeypatch.setenv("TMPDIR", str(folder / "tmp"))
        monkeypatch.setenv("MVTEC_AD_ROOT", str(folder / "theirs/mvtec_ad"))
        monkeypatch.setenv("ANOMALY_WAREHOUSE", str(folder / "theirs/warehouse.duckdb"))
        monkeypatch.setenv("ANOMALY_DATABASE", str(folder / "theirs/anomaly.duckdb"))
        monkeypatch.setenv("ANOMALY_IMAGE_SIZE", "64")
        execute = runpy.run_path(str(NOTEBOOKS / "execute.py"))["execute"]
        executed = execute(nbformat.read(WALKTHROUGH, as_version=4), folder)
    return Walked({cell.id: cell for cell in executed.cells if cell.cell_type == "code"}, folder)


class TestStory:
    def test_differences_of_the_datasets_are_told(self, walked: Walked) -> None:
        assert walked.printed("look-catalogue").splitlines() == [
            "mvtec_ad: 34 images, 12 anomalous, 0 of them in train",
            "dagm_2007: 28 images, 6 anomalous, 2 of them in train",
        ]
        told = {
            row[""]: (row["MVTec AD"], row["DAGM 2007"]) for row in walked.rows("look-differences")
        }
        assert told["width × height"] == ("700 × 700, 800 × 800", "512 × 512")
        assert told["colour (Pillow's mode)"] == ("L, RGB", "L")
        assert told["anomalous in train"] == ("0 of 12", "2 of 6")
        assert told["its mask"] == (
            "woven/ground_truth/tear/002_mask.png",
            "Class2/Test/Label/0006_label.PNG",
        )

    def test_graph_runs_and_its_result_is_queried(self, walked: Walked) -> None:
        assert walked.printed("run-graph").startswith("success: True")
        added = {row["asset"]: row["rows_added"] for row in walked.rows("run-graph")}
        assert added["image_tensors"] == added["published_database"] == "62"
        counts = walked.rows("query-counts")
        assert sum(int(row["good"]) for row in counts) == 44
        assert sum(int(row["anomalous"]) for row in counts) == 18
        assert {row["became"] for row in counts} == {"256 × 256 × 3"}

    def test_it_begins_with_pictures_of_the_result(self, walked: Walked) -> None:
        [output] = walked.cells["run-samples"].outputs
        assert "&lt;62 samples of 256×256×3: no filter&gt;" in output["data"]["text/html"]
        assert output["data"]["text/plain"] == "<62 samples of 256×256×3: no filter>"
        [first, *_] = [cell for cell in walked.cells if walked.pictures(cell)]
        assert first == "run-samples"

    def test_comments_of_columns_are_shown_as_they_are(self, walked: Walked) -> None:
        comments = {row["column_name"]: row["comment"] for row in walked.rows("query-comments")}
        assert comments["image_id"] == "key: <source_dataset>/<relative_path>"

    def test_tensors_are_shown_beside_their_files(self, walked: Walked) -> None:
        assert "(256, 256, 3) uint8" in walked.printed("compare-bytes")
        assert walked.printed("compare-pictures") == "values in masks: [0 1]\n"

    def test_checks_notice_all_that_is_broken(self, walked: Walked) -> None:
        assert walked.printed("check-first") == "31 checks, 2 failed\n"
        assert [row["check"] for row in walked.rows("check-first")] == [
            "labels_are_known",
            "counts_equal_the_official_ones",
        ]
        assert {row["check"] for row in walked.rows("check-second")} == {
            "anomalous_images_have_masks",
            "contents_stay_in_one_split",
            "counts_equal_the_official_ones",
            "files_are_recognised",
            "images_are_usable",
            "labels_agree",
            "labels_are_known",
            "masks_belong_to_an_image",
        }

    def test_only_what_changed_is_decoded_again(self, walked: Walked) -> None:
        [row] = [row for row in walked.rows("check-break") if row["asset"] == "image_tensors"]
        numbers = {name: int(value) for name, value in row.items() if name != "asset"}
        assert numbers == {
            "rows_added": 1,
            "rows_changed": 1,
            "rows_removed": 1,
            "rows_unchanged": 60,
        }

    def test_rejected_stray_and_duplicate_files_are_named(self, walked: Walked) -> None:
        [rejected] = walked.rows("check-rejected")
        assert rejected["image_id"] == "mvtec_ad/bolt/train/good/000.png"
        assert rejected["reason"] == "truncated_image"
        assert {(row["relative_path"], row["reason"]) for row in walked.rows("check-stray")} == {
            ("bolt/ground_truth/bent_thread/999_mask.png", "orphan_mask"),
            ("bolt/train/good/000.jpg", "unsupported_suffix"),
        }
        [duplicate] = walked.rows("check-duplicates")
        assert (duplicate["copies"], duplicate["crosses_splits"]) == ("2", "True")

    def test_training_uses_the_snapshot_from_before(self, walked: Walked) -> None:
        newest, clean = walked.rows("train-snapshots")
        assert (newest["images"], newest["tensors"]) == ("63", "62")
        assert (clean["images"], clean["tensors"]) == ("62", "62")
        assert "1 added, 1 removed, 1 changed, 0 relabelled" in walked.printed("train-snapshots")
        assert f"snapshot {clean['snapshot']}" in walked.printed("train-open")
        assert walked.rows("train-cache") == [
            {"samples": "30", "MB": "5.91", "of snapshot": clean["snapshot"]}
        ]

    def test_batch_is_normalised(self, walked: Walked) -> None:
        for row in walked.rows("train-normalise"):
            assert row["mean, normalised"] == "0.00"
            assert row["deviation, normalised"] == "1.00"
        assert walked.printed("train-batch").splitlines() == [
            "images (8, 256, 256, 3) float32",
            "masks  (8, 256, 256) uint8",
            "labels [0 0 0 0 0 0 0 0]",
        ]
        assert "masks known: True" in walked.printed("train-test")
        assert "30 samples, the same pixels: True" in walked.printed("train-cache")

    def test_it_ends_with_the_scores_of_test_images(self, walked: Walked) -> None:
        if "anomaly-assets evaluate" in walked.printed("score-test"):
            pytest.skip("the extra baseline is not installed")
        rows = walked.rows("score-test")
        assert {row["label_when_scored"] for row in rows[:3]} == {"anomalous"}
        assert {row["label_when_scored"] for row in rows} == {"anomalous", "good"}

    def test_each_part_has_one_picture_that_fits_the_page(self, walked: Walked) -> None:
        drawn = {cell: walked.pictures(cell) for cell in walked.cells if walked.pictures(cell)}
        assert [*drawn] == PICTURES
        for pictures in drawn.values():
            assert len(pictures) == 1
            assert 500 <= pictures[0].width <= 1000

    def test_nothing_is_warned_about(self, walked: Walked) -> None:
        outputs = [output for cell in walked.cells.values() for output in cell.outputs]
        assert [output.text for output in outputs if output.get("name") == "stderr"] == []


class TestReadersFiles:
    def test_nothing_is_written_outside_the_temporary_folder(
        self, walked: Walked, project_root: Path
    ) -> None:
        assert walked.printed("clean-up") == "removed: True\n"
        assert sorted(path.name for path in walked.folder.iterdir()) == ["theirs", "tmp"]
        assert list((walked.folder / "tmp").glob("walkthrough-*")) == []
        assert [path.name for path in (walked.folder / "theirs").iterdir()] == ["mvtec_ad"]

    def test_their_root_is_only_read(self, walked: Walked, project_root: Path) -> None:
        def content(root: Path) -> dict[Path, bytes]:
            files = (path for path in root.rglob("*") if path.is_file())
            return {path.relative_to(root): path.read_bytes() for path in files}

        ours = project_root / "data/samples/mvtec_ad"
        assert content(walked.folder / "theirs/mvtec_ad") == content(ours)


Install = Callable[..., tuple[list[str], BaseException | None]]


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Install]:
    """Yield a function that runs the installing cell; it returns pip's arguments and the error."""
    [cell] = [c for c in nbformat.read(WALKTHROUGH, as_version=4).cells if c.id == "install"]
    real = importlib.util.find_spec

    def run(folder: Path, missing: set[str], source: str = "") -> tuple[list[str], Any]:
        monkeypatch.chdir(folder)
        monkeypatch.setattr(sys, "path", [*sys.path])
        monkeypatch.setattr(
            importlib.util, "find_spec", lambda name: None if name in missing else real(name)
        )
        given: list[str] = []
        shell = InteractiveShell()
        shell.magics_manager.magics["line"]["pip"] = given.append
        result = shell.run_cell(cell.source.replace('\nSOURCE = ""', f"\nSOURCE = {source!r}"))
        return given, result.error_in_exec

    yield run
    InteractiveShell.clear_instance()


class TestInstallation:
    def test_nothing_is_done_where_the_package_is(self, install: Install, tmp_path: Path) -> None:
        assert install(tmp_path, set()) == ([], None)

    def test_a_checkout_without_an_environment_is_installed(
        self, install: Install, project_root: Path
    ) -> None:
        given, error = install(project_root / "notebooks", {"dagster_embedded_elt"})
        assert (given, error) == ([f'install --quiet "{project_root}" matplotlib pandas'], None)

    def test_a_notebook_alone_installs_what_source_says(
        self, install: Install, tmp_path: Path
    ) -> None:
        given, error = install(tmp_path, {"anomaly_assets"}, "anomaly.whl")
        assert (given, error) == (['install --quiet "anomaly.whl" matplotlib pandas'], None)

    def test_a_notebook_alone_says_what_is_missing(self, install: Install, tmp_path: Path) -> None:
        given, error = install(tmp_path, {"anomaly_assets"})
        assert given == []
        assert "set SOURCE" in str(error)


def test_readme_leads_to_the_walkthrough(project_root: Path) -> None:
    readme = (project_root / "README.md").read_text("utf-8")
    assert "(notebooks/walkthrough.ipynb)" in readme
    assert "`make notebooks`" in readme


def test_links_lead_to_files_and_headings() -> None:
    text = "\n".join(
        cell.source
        for cell in nbformat.read(WALKTHROUGH, as_version=4).cells
        if cell.cell_type == "markdown"
    )
    headings = {
        line.lstrip("# ").replace(" ", "-") for line in text.splitlines() if line[:2] == "##"
    }
    for target in re.findall(r"\]\(([^)]+)\)", text):
        if target.startswith("#"):
            assert target[1:] in headings
        else:
            assert (NOTEBOOKS / target).is_file(), target
