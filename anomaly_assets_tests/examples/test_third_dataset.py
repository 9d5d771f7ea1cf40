"""Test the example of docs/adding-a-dataset.md: a TOML file adds a dataset to the graph."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb
import pytest

from anomaly_assets.datasets.declaration_files import read
from anomaly_assets.datasets.record import (
    Ignored,
    ImageFile,
    MaskFile,
    Stray,
    key_of,
)
from anomaly_assets.datasets.source_dataset import SourceDataset
from anomaly_assets.reader import open_samples
from anomaly_assets_tests.assets.trees import MVTEC_IMAGES, write_image, write_mask
from anomaly_assets_tests.bad_input.files import encoded
from anomaly_assets_tests.conftest import PROJECT_ROOT
from anomaly_assets_tests.decoding.pictures import picture

pytestmark = pytest.mark.timeout(300)

EXAMPLE = PROJECT_ROOT / "examples" / "third_dataset" / "btad.toml"
PAGE = PROJECT_ROOT / "docs" / "adding-a-dataset.md"

IMAGES = (
    *(f"01/train/ok/000{n}.bmp" for n in range(3)),
    "01/test/ok/0000.bmp",
    "01/test/ko/0000.bmp",
    "02/train/ok/0000.png",
    "02/test/ko/0000.png",
)
MASKS = ("01/ground_truth/ko/0000.png", "02/ground_truth/ko/0000.png")
AROUND = "BTech_Dataset_transformed"

GRAPH = """
import json
from anomaly_assets.definitions import defs
repository = defs.get_repository_def()
print(json.dumps({
    "assets": sorted(
        spec.key.to_user_string()
        for spec in defs.resolve_all_asset_specs()
        if spec.group_name == "own_btad"
    ),
    "jobs": [job.name for job in repository.get_all_jobs()],
    "sensors": [sensor.name for sensor in repository.sensor_defs],
}))
"""


@dataclass(frozen=True)
class Folder:
    """A working folder with two roots; the first run is done.

    Attributes:
        path: The folder.
        root: Root of the third dataset.
        screen: What the first run printed.
    """

    path: Path
    root: Path
    screen: str = ""

    @property
    def database(self) -> Path:
        return self.path / "data" / "anomaly.duckdb"

    def query(self, statement: str) -> list[tuple[Any, ...]]:
        """Return rows of the published database."""
        with duckdb.connect(str(self.database), read_only=True) as connection:
            return connection.execute(statement).fetchall()

    def run(self, *arguments: str, **variables: str) -> str:
        """Return the output of Python in this folder, with the variable that names the example."""
        kept = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("ANOMALY_", "DAGSTER_", "MAKE")) and not name.endswith("_ROOT")
        }
        own = {
            "PYTHONPATH": str(PROJECT_ROOT),
            "ANOMALY_DATASETS": str(EXAMPLE),
            "ANOMALY_IMAGE_SIZE": "32",
            "OWN_BTAD_ROOT": str(self.root),
            "MVTEC_AD_ROOT": str(self.path / "mvtec_ad"),
        }
        done = subprocess.run(
            [sys.executable, *arguments],
            cwd=self.path,
            env={**kept, **own, **variables},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout + done.stderr


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Folder:
    path = tmp_path_factory.mktemp("folder")
    for image in MVTEC_IMAGES:
        write_image(path / "mvtec_ad", image)
    root = tmp_path_factory.mktemp("btad")
    write_btad(root / AROUND)
    screen = Folder(path, root).run("-m", "anomaly_assets", "materialize")
    return Folder(path, root, screen)


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


def test_the_page_says_what_is_done_here() -> None:
    page = PAGE.read_text("utf-8")
    assert f"```toml\n{EXAMPLE.read_text('utf-8')}```\n" in page
    assert "ANOMALY_DATASETS=examples/third_dataset/btad.toml" in page
    assert "OWN_BTAD_ROOT=" in page


def test_the_query_of_the_page_counts_its_samples(folder: Folder) -> None:
    query = re.findall(r"```sql\n(.*?)```", PAGE.read_text("utf-8"), re.DOTALL)[0]
    assert folder.query(query) == [
        ("01", "test", "anomalous", 1, 1),
        ("01", "test", "good", 1, 0),
        ("01", "train", "good", 3, 0),
        ("02", "test", "anomalous", 1, 1),
        ("02", "train", "good", 1, 0),
    ]


def test_one_run_loads_it_with_another_one(folder: Folder) -> None:
    assert folder.query(
        "SELECT source_dataset, count(*), count(mask_tensor) FROM anomaly.samples "
        "GROUP BY ALL ORDER BY ALL"
    ) == [("mvtec_ad", 9, 0), ("own_btad", 7, 2)]
    assert folder.query("SELECT count(*) FROM anomaly.rejected_images") == [(0,)]
    names = folder.query("SELECT title, licence FROM anomaly.source_datasets ORDER BY ALL")
    assert names == [("BTAD", "CC BY-NC-SA 4.0"), ("MVTec AD", "CC BY-NC-SA 4.0")]
    sheets = folder.database.parent / "contact_sheets" / "own_btad"
    assert {sheet.name for sheet in sheets.iterdir()} >= {"01.jpg", "02.jpg"}


def test_its_rows_say_what_the_layout_says(folder: Folder) -> None:
    columns = "image_id, category, split, label, defect_type, label_source, mask_relative_path"
    rows = folder.query(
        f"SELECT {columns} FROM anomaly.images WHERE source_dataset = 'own_btad' ORDER BY image_id"
    )
    defective = ("test", "anomalous", "unspecified", "path")
    good = ("good", None, "path", None)
    assert rows == [
        ("own_btad/01/test/ko/0000.bmp", "01", *defective, "01/ground_truth/ko/0000.png"),
        ("own_btad/01/test/ok/0000.bmp", "01", "test", *good),
        *((f"own_btad/01/train/ok/000{n}.bmp", "01", "train", *good) for n in range(3)),
        ("own_btad/02/test/ko/0000.png", "02", *defective, "02/ground_truth/ko/0000.png"),
        ("own_btad/02/train/ok/0000.png", "02", "train", *good),
    ]


def test_its_masks_are_decoded(folder: Folder) -> None:
    query = "SELECT image_id, mask_tensor FROM anomaly.samples WHERE source_dataset = 'own_btad'"
    masks = {image: mask for image, mask in folder.query(query) if mask is not None}
    assert masks.keys() == {"own_btad/01/test/ko/0000.bmp", "own_btad/02/test/ko/0000.png"}
    assert all(len(mask) == 32 * 32 and set(mask) == {0, 1} for mask in masks.values())


def test_what_belongs_to_no_image_is_a_stray(folder: Folder) -> None:
    assert folder.query("SELECT relative_path, reason FROM own_btad.stray_files ORDER BY ALL") == [
        (f"{AROUND}/01/ground_truth/ko/0009.png", "orphan_mask"),
        (f"{AROUND}/01/ground_truth/ok/0000.png", "mask_for_good_image"),
        (f"{AROUND}/01/test/ko/notes.txt", "unsupported_suffix"),
    ]


def test_it_is_checked_as_its_declaration_says(folder: Folder) -> None:
    found = " ".join(folder.screen.split())
    assert f"{AROUND}/01/test/ko/notes.txt (unsupported_suffix)" in found
    assert f"{AROUND}/01/ground_truth/ko/0009.png (orphan_mask)" in found
    difference = "partial: train good 1 of 399, test good 0 of 30, test anomalous 1 of 200"
    assert f"own_btad/02 ({difference})" in found
    assert "training_images_are_good" not in found


def test_its_assets_job_and_sensor_are_there(folder: Folder) -> None:
    graph = json.loads(folder.run("-c", GRAPH).splitlines()[-1])
    assert graph["assets"] == ["own_btad/files", "own_btad/images", "own_btad/stray_files"]
    assert "refresh_own_btad" in graph["jobs"]
    assert "own_btad_files_changed" in graph["sensors"]


def test_a_second_run_finds_nothing_new(folder: Folder) -> None:
    select = ("--select", "group:own_btad")
    screen = folder.run("-m", "anomaly_assets", "materialize", *select)
    assert re.search(r"own_btad: .*images 7 rows \(unchanged\)", screen)


def test_its_catalogue_is_loaded_alone(folder: Folder, tmp_path: Path) -> None:
    warehouse = str(tmp_path / "warehouse.duckdb")
    printed = folder.run("-m", "anomaly_assets", "load", "own_btad", ANOMALY_WAREHOUSE=warehouse)
    assert "own_btad.images: 7 inserted, 0 updated, 0 deleted, 0 unchanged" in printed
    assert "own_btad.stray_files: 3 inserted, 0 updated, 0 deleted, 0 unchanged" in printed


def test_it_is_read_like_the_others(folder: Folder) -> None:
    with open_samples(folder.database, source_dataset="own_btad") as samples:
        assert (len(samples), samples.images[0].shape) == (7, (32, 32, 3))


def test_an_excerpt_of_it_has_an_image_of_each_kind(folder: Folder, tmp_path: Path) -> None:
    out = tmp_path / "excerpt"
    places = ("--root", str(folder.root), "--out", str(out))
    folder.run("-m", "anomaly_assets", "excerpt", *places, "--per-kind", "1")
    copied = {path.relative_to(out).as_posix() for path in out.rglob("*") if path.is_file()}
    assert copied >= {*MASKS, "01/test/ok/0000.bmp", "01/test/ko/0000.bmp", "02/test/ko/0000.png"}
    assert len(copied) == 5 + 2


def test_the_published_tables_of_it_say_what_they_are(folder: Folder) -> None:
    uncommented = folder.query(
        "SELECT DISTINCT table_name FROM duckdb_columns() "
        "WHERE schema_name = 'own_btad' AND comment IS NULL"
    )
    assert {name for (name,) in uncommented} <= {
        "_dlt_loads",
        "_dlt_version",
        "_dlt_pipeline_state",
    }


def test_without_a_root_it_is_left_out(folder: Folder) -> None:
    """Leave the dataset out without a root: samples are committed only for other datasets."""
    code = (
        "from anomaly_assets.settings import Settings\n"
        "environment = {'ANOMALY_DATASETS': 'known already'}\n"
        "print(Settings.from_environment(environment).roots['own_btad'])"
    )
    assert folder.run("-c", code).splitlines()[-1] == "None"


@pytest.fixture(scope="module")
def btad() -> SourceDataset:
    found = read([EXAMPLE])
    assert found.problems == ()
    [declaration] = found.declarations
    return SourceDataset(declaration)


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("02/train/ok/0001.png", ("02/train/ok/0001.png", "02", "train", "good")),
        (f"{AROUND}/03/test/ko/7.BMP", ("03/test/ko/7.BMP", "03", "test", "anomalous")),
    ],
)
def test_an_image_has_the_label_of_its_folder(
    btad: SourceDataset, path: str, expected: tuple[str, ...]
) -> None:
    record = btad.classify(path)
    assert isinstance(record, ImageFile)
    assert (record.relative_path, record.category, record.split, record.label) == expected


def test_a_mask_belongs_to_the_image_with_its_label_and_name(btad: SourceDataset) -> None:
    mask = btad.classify("03/ground_truth/ko/7.bmp")
    assert isinstance(mask, MaskFile)
    paths = ("03/test/ko/7.bmp", "03/test/ok/7.bmp", "03/train/ok/7.bmp", "01/test/ko/7.bmp")
    images = [btad.classify(path) for path in paths]
    belongs = [
        isinstance(image, ImageFile) and key_of(image, mask.fields) == key_of(mask, mask.fields)
        for image in images
    ]
    assert belongs == [True, False, False, False]


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("03/test/odd/7.bmp", Stray("03/test/odd/7.bmp", "unrecognised_path")),
        ("03/test/7.bmp", Stray("03/test/7.bmp", "unrecognised_path")),
        ("a/b/03/test/ok/7.bmp", Stray("a/b/03/test/ok/7.bmp", "unrecognised_path")),
        ("03/test/ok/7.jpg", Stray("03/test/ok/7.jpg", "unsupported_suffix")),
        ("03/ground_truth/ok/7.png", Stray("03/ground_truth/ok/7.png", "mask_for_good_image")),
        ("03/test/../7.bmp", Stray("03/test/../7.bmp", "unsafe_path")),
        ("03/test/ok/.DS_Store", Ignored()),
    ],
)
def test_another_path_is_a_stray_or_junk(
    btad: SourceDataset, path: str, expected: Stray | Ignored
) -> None:
    assert btad.classify(path) == expected
