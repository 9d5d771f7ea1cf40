"""Test loads into a real DuckDB file: changed rows, unchanged rows, and counts."""

import os
import random
import shutil
from pathlib import Path

import dlt
import pytest

from anomaly_assets.catalogue.comparison import scope_of
from anomaly_assets.catalogue.dlt_source import catalog_source, load, merge_disposition
from anomaly_assets.catalogue.reconcile import reconcile
from anomaly_assets.warehouse.file.warehouse import FileWarehouse, WarehouseError
from anomaly_assets_tests.catalogue.loaded import (
    TABLES,
    assert_equals_root,
    changes,
    load_ids,
    loads,
    query,
    rows_of,
)
from anomaly_assets_tests.catalogue.trees import DAGM, MVTEC, MVTEC_PATHS, write, write_dagm

STRAY_MASK = "cable/ground_truth/cut/007_mask.png"


def changed_since(before: dict[str, str], after: dict[str, str]) -> tuple[set[str], set[str]]:
    """Return paths with a new load id, and paths that were removed."""
    came = {path for path, load_id in after.items() if before.get(path) != load_id}
    return came, before.keys() - after.keys()


def test_the_first_load_brings_every_row_in_one_load(
    loaded_root: Path, warehouse: FileWarehouse
) -> None:
    assert_equals_root(warehouse, MVTEC, loaded_root)
    (load_id,) = loads(warehouse, MVTEC)
    assert load_ids(warehouse, MVTEC).keys() == {
        path for path in MVTEC_PATHS if "ground_truth" not in path
    }
    assert set(load_ids(warehouse, MVTEC).values()) == {load_id}
    assert load_ids(warehouse, MVTEC, "stray_files") == {STRAY_MASK: load_id}
    assert changes(warehouse, MVTEC) == {"images": [10, 0, 0], "stray_files": [1, 0, 0]}


@pytest.mark.slow
def test_the_rows_of_a_new_table_are_not_staged(
    loaded_root: Path, warehouse: FileWarehouse
) -> None:
    """Check both loads: staging and merging takes twice the memory, and only the second one needs it."""
    staged = "SELECT table_name FROM duckdb_tables() WHERE schema_name = 'mvtec_ad_staging'"
    assert ("images",) not in query(warehouse, staged)
    (loaded_root / "bottle/train/good/000.png").write_bytes(b"another")
    found = load(MVTEC, str(loaded_root), warehouse)
    assert found.tables["images"].updated == 1
    assert ("images",) in query(warehouse, staged)
    assert_equals_root(warehouse, MVTEC, loaded_root)


@pytest.mark.slow
def test_a_load_leaves_the_settings_as_they_were(tmp_path: Path, warehouse: FileWarehouse) -> None:
    """Compare the settings, because dlt sets some for all connections."""
    settings = "SELECT name, value FROM duckdb_settings() ORDER BY ALL"
    root = write(tmp_path / "root", "bottle/train/good/000.png")
    with warehouse.locked():
        before = query(warehouse, settings)
        assert load(MVTEC, str(root), warehouse).any_change
        assert query(warehouse, settings) == before


@pytest.mark.slow
def test_both_tables_are_there_after_a_first_load_without_strays(
    tmp_path: Path, warehouse: FileWarehouse
) -> None:
    load(MVTEC, str(write(tmp_path / "root", "bottle/train/good/000.png")), warehouse)
    assert rows_of(warehouse, MVTEC, "stray_files") == {}
    assert changes(warehouse, MVTEC) == {"images": [1, 0, 0], "stray_files": [0, 0, 0]}


def test_a_load_with_nothing_to_do_loads_nothing(
    loaded_root: Path, warehouse: FileWarehouse
) -> None:
    before = [load_ids(warehouse, MVTEC, table) for table in TABLES], loads(warehouse, MVTEC)
    found = load(MVTEC, str(loaded_root), warehouse)
    assert not found.any_change
    after = [load_ids(warehouse, MVTEC, table) for table in TABLES], loads(warehouse, MVTEC)
    assert after == before


@pytest.mark.slow
def test_exactly_the_rows_that_differ_change(loaded_root: Path, warehouse: FileWarehouse) -> None:
    before = load_ids(warehouse, MVTEC)
    os.utime(loaded_root / "bottle/train/good/000.png", (1, 1))
    (loaded_root / "bottle/test/scratched").mkdir()
    os.rename(
        loaded_root / "bottle/test/broken/001.png", loaded_root / "bottle/test/scratched/001.png"
    )
    (loaded_root / "cable/train/good/000.png").unlink()
    write(loaded_root, "bottle/train/good/002.png")
    os.utime(loaded_root / "bottle/train/good/002.png", (0, 0))
    load(MVTEC, str(loaded_root), warehouse)
    assert_equals_root(warehouse, MVTEC, loaded_root)
    came, went = changed_since(before, load_ids(warehouse, MVTEC))
    assert came == {
        "bottle/train/good/000.png",
        "bottle/train/good/002.png",
        "bottle/test/scratched/001.png",
    }
    assert went == {"bottle/test/broken/001.png", "cable/train/good/000.png"}
    assert changes(warehouse, MVTEC) == {"images": [2, 1, 2]}
    assert rows_of(warehouse, MVTEC)["bottle/test/scratched/001.png"]["defect_type"] == "scratched"


@pytest.mark.slow
def test_a_mask_that_comes_or_goes_changes_its_image_alone(
    loaded_root: Path, warehouse: FileWarehouse
) -> None:
    before = load_ids(warehouse, MVTEC)
    write(loaded_root, "bottle/ground_truth/broken/001_mask.png")
    (loaded_root / "cable/ground_truth/cut/000_mask.png").unlink()
    load(MVTEC, str(loaded_root), warehouse)
    changed = {"bottle/test/broken/001.png", "cable/test/cut/000.png"}
    assert changed_since(before, load_ids(warehouse, MVTEC)) == (changed, set())
    rows = rows_of(warehouse, MVTEC)
    assert [rows[path]["mask_relative_path"] for path in sorted(changed)] == [
        "bottle/ground_truth/broken/001_mask.png",
        None,
    ]


@pytest.mark.slow
def test_a_stray_that_finds_its_image_leaves_the_strays(
    loaded_root: Path, warehouse: FileWarehouse
) -> None:
    write(loaded_root, "cable/test/cut/007.png")
    load(MVTEC, str(loaded_root), warehouse)
    assert rows_of(warehouse, MVTEC, "stray_files") == {}
    assert changes(warehouse, MVTEC) == {"images": [1, 0, 0], "stray_files": [0, 0, 1]}


@pytest.mark.slow
def test_other_labels_change_the_rows_they_speak_of(
    tmp_path: Path, warehouse: FileWarehouse
) -> None:
    root = write_dagm(tmp_path / "root")
    load(DAGM, str(root), warehouse)
    before = load_ids(warehouse, DAGM)
    labels = b"1\n1\t1\t0001.PNG\t0\t0\t\n2\t1\t0002.PNG\t0\t0002_label.PNG\n"
    write(root, "Class1/Train/Label/Labels.txt", content=labels)
    load(DAGM, str(root), warehouse)
    changed = {"Class1/Train/0001.PNG"}
    assert changed_since(before, load_ids(warehouse, DAGM)) == (changed, set())
    row = rows_of(warehouse, DAGM)["Class1/Train/0001.PNG"]
    assert (row["declared_label_index"], row["label"], row["label_index"]) == (1, "anomalous", 1)


@pytest.mark.slow
def test_a_whole_category_can_go(loaded_root: Path, warehouse: FileWarehouse) -> None:
    before = load_ids(warehouse, MVTEC)
    shutil.rmtree(loaded_root / "cable")
    load(MVTEC, str(loaded_root), warehouse, allow_shrink=True)
    gone = {path for path in before if path.startswith("cable/")}
    assert len(gone) == 5
    assert changed_since(before, load_ids(warehouse, MVTEC)) == (set(), gone)
    assert rows_of(warehouse, MVTEC, "stray_files") == {}
    assert changes(warehouse, MVTEC) == {"images": [0, 0, 5], "stray_files": [0, 0, 1]}


@pytest.mark.slow
def test_an_emptied_root_empties_the_tables_where_that_is_allowed(
    loaded_root: Path, warehouse: FileWarehouse
) -> None:
    shutil.rmtree(loaded_root)
    loaded_root.mkdir()
    load(MVTEC, str(loaded_root), warehouse, allow_shrink=True)
    assert [rows_of(warehouse, MVTEC, table) for table in TABLES] == [{}, {}]


@pytest.mark.slow
def test_reloading_one_category_touches_that_category_only(
    loaded_root: Path, warehouse: FileWarehouse
) -> None:
    before = load_ids(warehouse, MVTEC)
    for category in ("bottle", "cable"):
        os.utime(loaded_root / category / "train/good/000.png", (1, 1))
        write(loaded_root, f"{category}/train/good/009.png", f"{category}/train/good/009.jpg")
    (loaded_root / "cable/test/cut/000.png").unlink()
    load(MVTEC, str(loaded_root), warehouse, categories=["bottle"])
    assert changed_since(before, load_ids(warehouse, MVTEC)) == (
        {"bottle/train/good/000.png", "bottle/train/good/009.png"},
        set(),
    )
    strays = set(rows_of(warehouse, MVTEC, "stray_files"))
    assert strays == {"bottle/train/good/009.jpg", STRAY_MASK}
    load(MVTEC, str(loaded_root), warehouse)
    assert_equals_root(warehouse, MVTEC, loaded_root)


@pytest.mark.slow
def test_one_category_can_be_the_first_one_loaded(tmp_path: Path, warehouse: FileWarehouse) -> None:
    root = write(tmp_path / "root", *MVTEC_PATHS)
    load(MVTEC, str(root), warehouse, categories=["cable"])
    assert {row["category"] for row in rows_of(warehouse, MVTEC).values()} == {"cable"}
    load(MVTEC, str(root), warehouse)
    assert_equals_root(warehouse, MVTEC, root)


@pytest.mark.slow
def test_the_two_source_datasets_do_not_touch_each_other(
    loaded_root: Path, tmp_path: Path, warehouse: FileWarehouse
) -> None:
    mvtec = load_ids(warehouse, MVTEC)
    dagm_root = write_dagm(tmp_path / "dagm")
    load(DAGM, str(dagm_root), warehouse)
    assert load_ids(warehouse, MVTEC) == mvtec
    dagm = load_ids(warehouse, DAGM)
    write(loaded_root, "bottle/train/good/002.png")
    load(MVTEC, str(loaded_root), warehouse)
    assert load_ids(warehouse, DAGM) == dagm
    assert_equals_root(warehouse, DAGM, dagm_root)


@pytest.mark.slow
def test_a_load_leaves_no_second_copy_and_no_working_files(
    loaded_root: Path, warehouse: FileWarehouse
) -> None:
    write(loaded_root, "bottle/train/good/002.png", "bottle/notes.csv")
    load(MVTEC, str(loaded_root), warehouse)
    for table in TABLES:
        assert query(warehouse, f"SELECT count(*) FROM mvtec_ad_staging.{table}") == [(0,)]
    assert not warehouse.pipelines_folder.exists()


@pytest.mark.slow
def test_a_hostile_category_name_is_only_a_name(tmp_path: Path, warehouse: FileWarehouse) -> None:
    hostile = 'x\'); DROP TABLE images;--\n"{table}" %s \N{CROCODILE}'
    root = write(tmp_path / "root", f"{hostile}/train/good/000.png", "bottle/train/good/000.png")
    load(MVTEC, str(root), warehouse)
    before = load_ids(warehouse, MVTEC)
    write(root, f"{hostile}/test/{hostile}/000.png", f"{hostile}/test/{hostile}/000.jpg")
    (root / hostile / "train/good/000.png").unlink()
    load(MVTEC, str(root), warehouse, categories=[hostile])
    assert_equals_root(warehouse, MVTEC, root)
    assert changed_since(before, load_ids(warehouse, MVTEC)) == (
        {f"{hostile}/test/{hostile}/000.png"},
        {f"{hostile}/train/good/000.png"},
    )


@pytest.mark.slow
def test_a_root_may_become_a_zip_and_keeps_its_ids(
    loaded_root: Path, tmp_path: Path, warehouse: FileWarehouse
) -> None:
    ids = {row["image_id"] for row in rows_of(warehouse, MVTEC).values()}
    archive = Path(shutil.make_archive(str(tmp_path / "mvtec"), "zip", loaded_root))
    load(MVTEC, str(archive), warehouse)
    assert {row["image_id"] for row in rows_of(warehouse, MVTEC).values()} == ids
    assert changes(warehouse, MVTEC) == {"images": [0, 10, 0]}
    assert_equals_root(warehouse, MVTEC, archive)


@pytest.mark.slow
@pytest.mark.parametrize("killed_in", ["extract", "normalize"])
def test_what_a_killed_run_left_behind_is_not_loaded(
    loaded_root: Path, warehouse: FileWarehouse, killed_in: str
) -> None:
    write(loaded_root, "bottle/train/good/003.png")
    stale = reconcile(MVTEC, str(loaded_root), warehouse)
    pipeline = dlt.pipeline(
        "mvtec_ad",
        pipelines_dir=str(warehouse.pipelines_folder),
        destination=dlt.destinations.duckdb(str(warehouse.path)),
        dataset_name="mvtec_ad",
    )
    pipeline.extract(catalog_source(MVTEC, stale))
    if killed_in == "normalize":
        pipeline.normalize()
    assert pipeline.has_pending_data
    (loaded_root / "bottle/train/good/003.png").unlink()
    write(loaded_root, "bottle/train/good/004.png")
    load(MVTEC, str(loaded_root), warehouse)
    assert_equals_root(warehouse, MVTEC, loaded_root)
    assert len(loads(warehouse, MVTEC)) == 2
    assert changes(warehouse, MVTEC) == {"images": [1, 0, 0]}


@pytest.mark.slow
@pytest.mark.parametrize("folder", ["two words", "100% %s", "O'Neill \N{CROCODILE}"])
def test_the_warehouse_may_lie_in_any_folder(tmp_path: Path, folder: str) -> None:
    warehouse = FileWarehouse(tmp_path / folder / "warehouse.duckdb", wait_seconds=0)
    root = write(tmp_path / "root", "bottle/train/good/000.png")
    load(MVTEC, str(root), warehouse)
    assert_equals_root(warehouse, MVTEC, root)


@pytest.mark.parametrize("name", ["mvtec_ad.duckdb", "MVTEC_AD.duckdb", "mvtec_ad.v2.duckdb"])
def test_a_warehouse_file_named_like_a_source_dataset_is_refused(tmp_path: Path, name: str) -> None:
    # DuckDB names a database after its file, up to the first dot and in any case.
    warehouse = FileWarehouse(tmp_path / name, wait_seconds=0)
    with pytest.raises(WarehouseError, match=f"{name}: choose another file name"):
        load(MVTEC, str(write(tmp_path / "root", *MVTEC_PATHS)), warehouse)
    assert not warehouse.path.exists()


def test_the_merge_is_spelled_exactly_like_this() -> None:
    whole = {"disposition": "merge", "strategy": "cdc", "skip_unchanged_rows": True}
    assert merge_disposition(None) == whole
    scope = scope_of("images", ["bottle"])
    assert merge_disposition(scope) == {**whole, "destination_scope": scope}


def test_the_source_of_the_definitions_has_both_resources_and_no_rows() -> None:
    source = catalog_source(MVTEC)
    assert source.name == "mvtec_ad"
    assert {name: resource.write_disposition for name, resource in source.resources.items()} == {
        "images": merge_disposition(None),
        "stray_files": merge_disposition(None),
    }
    assert list(source) == []


def test_the_source_of_the_definitions_touches_no_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Dagster imports the definitions about once a minute, and the home folder is shared.
    monkeypatch.setenv("DLT_DATA_DIR", str(tmp_path / "dlt"))
    monkeypatch.chdir(tmp_path)
    assert catalog_source(MVTEC).name == "mvtec_ad"
    assert list(tmp_path.rglob("*")) == []


class Someone:
    """A random editor of a root; every change gets a new modification time."""

    def __init__(self, root: Path, seed: int) -> None:
        self.root, self.random, self.clock = root, random.Random(seed), 0

    def work(self) -> None:
        for _ in range(self.random.randint(1, 6)):
            self.random.choice(
                [self.add, self.add, self.touch, self.delete, self.move, self.drop]
            )()

    def files(self) -> list[Path]:
        return sorted(path for path in self.root.rglob("*") if path.is_file())

    def some_path(self) -> Path:
        category = self.random.choice(["bottle", "cable", "it's", "copy/bottle"])
        place = self.random.choice(
            [
                *("train/good/00{}.png", "test/good/00{}.png", "test/00{}.png", "train/00{}.jpg"),
                *("test/cut/00{}.png", "test/bent/00{}.PNG", "ground_truth/00{}_mask.png"),
                *("ground_truth/cut/00{}_mask.png", "ground_truth/bent/00{}.png", "notes{}.csv"),
            ]
        )
        path = self.root / category / place.format(self.random.randint(0, 3))
        path.parent.mkdir(parents=True, exist_ok=True)
        return path

    def stamp(self, path: Path) -> None:
        self.clock += 1
        os.utime(path, (self.clock, self.clock))

    def add(self) -> None:
        path = self.some_path()
        path.write_bytes(b"x")
        self.stamp(path)

    def touch(self) -> None:
        if files := self.files():
            self.stamp(self.random.choice(files))

    def delete(self) -> None:
        if files := self.files():
            self.random.choice(files).unlink()

    def move(self) -> None:
        if files := self.files():
            os.replace(self.random.choice(files), self.some_path())

    def drop(self) -> None:
        if self.random.random() < 0.2:
            shutil.rmtree(self.root / self.random.choice(["bottle", "cable"]), ignore_errors=True)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(3))
def test_after_any_mix_of_changes_the_tables_equal_the_root(
    loaded_root: Path, warehouse: FileWarehouse, seed: int
) -> None:
    someone = Someone(loaded_root, seed)
    for _ in range(3):
        before = {table: rows_of(warehouse, MVTEC, table) for table in TABLES}
        someone.work()
        found = load(MVTEC, str(loaded_root), warehouse, allow_shrink=True)
        assert_equals_root(warehouse, MVTEC, loaded_root)
        newest = loads(warehouse, MVTEC)[-1]
        for table in TABLES:
            after, said = rows_of(warehouse, MVTEC, table), found.tables[table]
            came = {path: row for path, row in after.items() if row != before[table].get(path)}
            updated = came.keys() & before[table].keys()
            assert said.inserted == len(came) - len(updated)
            assert said.updated == len(updated)
            assert said.deleted == len(before[table].keys() - after.keys())
            assert said.unchanged == len(after) - len(came)
            assert {row["_dlt_load_id"] for row in came.values()} <= {newest}
            for path in updated:  # unchanged rows are not loaded again
                assert {**before[table][path], "_dlt_load_id": newest} != after[path]
