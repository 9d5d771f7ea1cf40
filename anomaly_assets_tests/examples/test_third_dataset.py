"""The example of docs/adding-a-dataset.md: one module and one line add a third dataset to the graph."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb
import pytest

from anomaly_assets.datasets.record import Ignored, ImageFile, MaskFile, Record, Stray
from anomaly_assets_tests.assets.environment import Environment
from anomaly_assets_tests.assets.trees import write_image, write_mask, write_tiny_roots
from anomaly_assets_tests.bad_input.files import encoded
from anomaly_assets_tests.conftest import PROJECT_ROOT
from anomaly_assets_tests.decoding.pictures import picture

pytestmark = pytest.mark.timeout(300)

EXAMPLE = PROJECT_ROOT / "examples" / "third_dataset"
PAGE = PROJECT_ROOT / "docs" / "adding-a-dataset.md"
LAST_LINE = '    "dagm_2007",\n'
LINE = '    "btad",\n'

IMAGES = (
    *(f"01/train/ok/000{n}.bmp" for n in range(3)),
    "01/test/ok/0000.bmp",
    "01/test/ko/0000.bmp",
    "02/train/ok/0000.png",
    "02/test/ko/0000.png",
)
MASKS = ("01/ground_truth/ko/0000.png", "02/ground_truth/ko/0000.png")


@dataclass(frozen=True)
class Checkout:
    """A copy of the package with a third source dataset, after its runs."""

    folder: Path
    root: Path
    environment: Environment
    told: dict[str, Any]


@pytest.fixture(scope="module")
def checkout(module_environment: Environment, tmp_path_factory: pytest.TempPathFactory) -> Checkout:
    folder = tmp_path_factory.mktemp("checkout")
    add_to_copy(folder)
    write_tiny_roots(module_environment)
    root = tmp_path_factory.mktemp("btad") / "BTech_Dataset_transformed"
    write_btad(root)
    told = run("anomaly_assets_tests.examples.third_dataset", folder, BTAD_ROOT=str(root.parent))
    return Checkout(folder, root.parent, module_environment, json.loads(told.splitlines()[-1]))


def add_to_copy(folder: Path) -> None:
    """Apply the steps of the page to a copy."""
    package = shutil.copytree(PROJECT_ROOT / "anomaly_assets", folder / "anomaly_assets")
    shutil.copy(EXAMPLE / "btad.py", package / "datasets")
    registry = package / "datasets" / "__init__.py"
    text = registry.read_text("utf-8")
    assert text.count(LAST_LINE) == 1
    registry.write_text(text.replace(LAST_LINE, LAST_LINE + LINE), "utf-8")


def write_btad(root: Path) -> None:
    """Write seven images of both formats, masks for the two defective ones, and unrecognised files."""
    for number, path in enumerate(IMAGES):
        bmp = encoded(picture("RGB", (16, 16), number), "BMP")
        write_image(root, path, bmp if path.endswith(".bmp") else None)
    for path in MASKS:
        write_mask(root, path)
    write_mask(root, "01/ground_truth/ko/0009.png")
    write_mask(root, "01/ground_truth/ok/0000.png")
    (root / "01/test/ko/notes.txt").write_text("seen twice")
    (root / "readme.txt").write_text("Of a test.")


def run(module: str, folder: Path, *arguments: str, **variables: str) -> str:
    """Return the output of a module in the copied checkout."""
    path = os.pathsep.join([str(folder), str(PROJECT_ROOT)])
    done = subprocess.run(
        [sys.executable, "-m", module, *arguments],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": path, **variables},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_page_says_what_is_done_here() -> None:
    page = PAGE.read_text("utf-8")
    assert "cp examples/third_dataset/btad.py anomaly_assets/datasets/\n" in page
    assert LAST_LINE + LINE in page
    module = (EXAMPLE / "btad.py").read_text("utf-8")
    assert f"```python\n{module}```\n" in page


def test_the_query_of_the_page_counts_its_samples(checkout: Checkout) -> None:
    [query] = re.findall(r"```sql\n(.*?)```", PAGE.read_text("utf-8"), re.DOTALL)
    assert checkout.environment.query(query) == [
        ("01", "test", "anomalous", 1, 1),
        ("01", "test", "good", 1, 0),
        ("01", "train", "good", 3, 0),
        ("02", "test", "anomalous", 1, 1),
        ("02", "train", "good", 1, 0),
    ]


def test_its_catalogue_is_loaded_alone(checkout: Checkout, tmp_path: Path) -> None:
    printed = run(
        "anomaly_assets.ingest",
        checkout.folder,
        "btad",
        BTAD_ROOT=str(checkout.root),
        ANOMALY_WAREHOUSE=str(tmp_path / "warehouse.duckdb"),
    )
    assert "btad.images: 7 inserted, 0 updated, 0 deleted, 0 unchanged" in printed
    assert "btad.stray_files: 3 inserted, 0 updated, 0 deleted, 0 unchanged" in printed


def test_its_assets_job_and_sensor_are_there(checkout: Checkout) -> None:
    assert checkout.told["assets"] == ["btad/files", "btad/images", "btad/stray_files"]
    assert "refresh_btad" in checkout.told["jobs"]
    assert checkout.told["sensors"] == [
        f"{name}_files_changed" for name in ("btad", "dagm_2007", "mvtec_ad")
    ]


def test_one_run_loads_all_three(checkout: Checkout) -> None:
    first = checkout.told["first"]
    assert first["success"], first["failures"]
    assert first["added"]["btad/images"] == 7
    assert first["added"]["image_tensors"] == 9 + 4 + 7
    assert {"btad", "dagm_2007", "mvtec_ad"} <= set(first["sheets"])
    assert checkout.environment.query(
        "SELECT source_dataset, count(*), count(mask_tensor) FROM anomaly.samples "
        "GROUP BY ALL ORDER BY ALL"
    ) == [("btad", 7, 2), ("dagm_2007", 4, 2), ("mvtec_ad", 9, 2)]
    assert checkout.environment.query("SELECT count(*) FROM anomaly.rejected_images") == [(0,)]


def test_its_rows_say_what_the_layout_says(checkout: Checkout) -> None:
    assert checkout.environment.query(
        "SELECT image_id, split, label, defect_type, mask_relative_path FROM anomaly.images "
        "WHERE source_dataset = 'btad' AND split = 'test' ORDER BY image_id"
    ) == [
        (
            "btad/01/test/ko/0000.bmp",
            "test",
            "anomalous",
            "unspecified",
            "01/ground_truth/ko/0000.png",
        ),
        ("btad/01/test/ok/0000.bmp", "test", "good", None, None),
        (
            "btad/02/test/ko/0000.png",
            "test",
            "anomalous",
            "unspecified",
            "02/ground_truth/ko/0000.png",
        ),
    ]


def test_what_belongs_to_no_image_is_a_stray(checkout: Checkout) -> None:
    assert checkout.environment.query(
        "SELECT relative_path, reason FROM btad.stray_files ORDER BY ALL"
    ) == [
        ("BTech_Dataset_transformed/01/ground_truth/ko/0009.png", "orphan_mask"),
        ("BTech_Dataset_transformed/01/ground_truth/ok/0000.png", "mask_for_good_image"),
        ("BTech_Dataset_transformed/01/test/ko/notes.txt", "unsupported_suffix"),
    ]


def test_it_is_checked_as_its_module_says(checkout: Checkout) -> None:
    first = checkout.told["first"]
    assert {name for name in first["checks"] if name.startswith("btad/")} == {
        "btad/images:training_images_are_good",
        "btad/stray_files:files_are_recognised",
        "btad/stray_files:masks_belong_to_an_image",
        "btad/stray_files:most_files_belong_to_images",
    }
    assert first["failed_checks"]["btad/stray_files:files_are_recognised"] == {
        "BTech_Dataset_transformed/01/test/ko/notes.txt": "unsupported_suffix"
    }
    counted = first["failed_checks"]["samples:counts_equal_the_official_ones"]
    assert counted["btad/02"] == (
        "partial: train good 1 of 399, test good 0 of 30, test anomalous 1 of 200"
    )


def test_its_own_job_finds_nothing_new(checkout: Checkout) -> None:
    again = checkout.told["again"]
    assert again["success"], again["failures"]
    assert (again["added"]["btad/images"], again["added"]["image_tensors"]) == (0, 0)
    assert not [name for name in again["added"] if name.startswith(("mvtec_ad/", "dagm_2007/"))]


def test_it_is_read_documented_and_cut_like_the_others(checkout: Checkout) -> None:
    assert checkout.told["read"] == {"samples": 7, "shape": [32, 32, 3]}
    assert checkout.told["excerpt"] == ["btad", 5, 2]
    assert checkout.environment.query(
        "SELECT comment FROM duckdb_columns() WHERE table_name = 'dataset_summary' "
        "AND column_name = 'source_dataset' AND schema_name = 'main'"
    ) == [("source dataset, such as mvtec_ad",)]


def test_without_a_root_it_is_left_out(checkout: Checkout, tmp_path: Path) -> None:
    """Samples are committed for the first two only, so that nothing but a root brings the third."""
    code = "from anomaly_assets.settings import Settings; print(Settings.from_environment().roots)"
    (tmp_path / "roots.py").write_text(code)
    assert "'btad': None" in run("roots", tmp_path, PYTHONPATH=f"{tmp_path}:{checkout.folder}")


@pytest.mark.parametrize(
    ("path", "record"),
    [
        (
            "02/train/ok/0001.png",
            ImageFile("02/train/ok/0001.png", "02", "train", "", "ok/0001", "good"),
        ),
        (
            "BTech_Dataset_transformed/03/test/ko/7.BMP",
            ImageFile("03/test/ko/7.BMP", "03", "test", "", "ko/7", "anomalous"),
        ),
        (
            "03/ground_truth/ko/7.bmp",
            MaskFile("03/ground_truth/ko/7.bmp", "03", "test", "", "ko/7"),
        ),
        ("03/validation/ko/7.bmp", Stray("03/validation/ko/7.bmp", "unrecognised_path")),
        ("03/test/7.bmp", Stray("03/test/7.bmp", "unrecognised_path")),
        ("a/b/03/test/ok/7.bmp", Stray("a/b/03/test/ok/7.bmp", "unrecognised_path")),
        ("03/test/../7.bmp", Stray("03/test/../7.bmp", "unsafe_path")),
        ("03/test/ok/.DS_Store", Ignored()),
    ],
)
def test_a_path_is_what_the_layout_makes_of_it(
    monkeypatch: pytest.MonkeyPatch, path: str, record: Record
) -> None:
    monkeypatch.syspath_prepend(str(EXAMPLE))
    import btad

    assert btad.classify(path) == record


def test_the_published_tables_of_it_say_what_they_are(checkout: Checkout) -> None:
    with duckdb.connect(str(checkout.environment.database), read_only=True) as connection:
        uncommented = connection.execute(
            "SELECT table_name, column_name FROM duckdb_columns() "
            "WHERE schema_name = 'btad' AND comment IS NULL"
        ).fetchall()
    assert {name for name, _ in uncommented} <= {
        "_dlt_loads",
        "_dlt_version",
        "_dlt_pipeline_state",
    }
