"""Loads into a real DuckDB file: what changes, what stays, and what is said about it."""

import os
import random
import shutil
from pathlib import Path

import pytest

from anomaly_assets.ingest.reconcile import category_scope, reconcile
from anomaly_assets.ingest.source import (
    catalog_pipeline,
    catalog_source,
    load,
    merge_disposition,
)
from anomaly_assets.warehouse.database import Warehouse, WarehouseError
from anomaly_assets_tests.ingest.loaded import (
    TABLES,
    assert_equals_root,
    changes,
    load_ids,
    loads,
    query,
    rows_of,
)
from anomaly_assets_tests.ingest.trees import DAGM, MVTEC, MVTEC_PATHS, write, write_dagm


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Seven images of two categories and one stray mask."""
    return write(tmp_path / "root", *MVTEC_PATHS)


def changed_since(before: dict[str, str], after: dict[str, str]) -> tuple[set[str], set[str]]:
    """Paths that came or got another load id, and paths that went."""
    came = {path for path, load_id in after.items() if before.get(path) != load_id}
    return came, before.keys() - after.keys()


def test_the_first_load_brings_every_row_in_one_load(root: Path, warehouse: Warehouse) -> None:
    load(MVTEC, str(root), warehouse)
    assert_equals_root(warehouse, MVTEC, root)
    (load_id,) = loads(warehouse, MVTEC)
    assert set(load_ids(warehouse, MVTEC).values()) == {load_id}
    assert load_ids(warehouse, MVTEC, "stray_files") == {
        "cable/ground_truth/cut/007_mask.png": load_id
    }
    assert changes(warehouse, MVTEC) == {"images": [7, 0, 0], "stray_files": [1, 0, 0]}


def test_both_tables_are_there_after_a_first_load_without_strays(
    tmp_path: Path, warehouse: Warehouse
) -> None:
    load(MVTEC, str(write(tmp_path / "root", "bottle/train/good/000.png")), warehouse)
    assert rows_of(warehouse, MVTEC, "stray_files") == {}
    assert changes(warehouse, MVTEC) == {"images": [1, 0, 0], "stray_files": [0, 0, 0]}


def test_a_load_with_nothing_to_do_loads_nothing(root: Path, warehouse: Warehouse) -> None:
    load(MVTEC, str(root), warehouse)
    before = [load_ids(warehouse, MVTEC, table) for table in TABLES], loads(warehouse, MVTEC)
    found = load(MVTEC, str(root), warehouse)
    assert not found.any_change
    after = [load_ids(warehouse, MVTEC, table) for table in TABLES], loads(warehouse, MVTEC)
    assert after == before


def test_exactly_the_rows_that_differ_change(root: Path, warehouse: Warehouse) -> None:
    load(MVTEC, str(root), warehouse)
    before = load_ids(warehouse, MVTEC)
    os.utime(root / "bottle/train/good/000.png", (1, 1))
    (root / "bottle/test/scratched").mkdir()
    os.rename(root / "bottle/test/broken/001.png", root / "bottle/test/scratched/001.png")
    (root / "cable/train/good/000.png").unlink()
    write(root, "bottle/train/good/002.png")
    os.utime(root / "bottle/train/good/002.png", (0, 0))
    load(MVTEC, str(root), warehouse)
    assert_equals_root(warehouse, MVTEC, root)
    came, went = changed_since(before, load_ids(warehouse, MVTEC))
    assert came == {
        "bottle/train/good/000.png",
        "bottle/train/good/002.png",
        "bottle/test/scratched/001.png",
    }
    assert went == {"bottle/test/broken/001.png", "cable/train/good/000.png"}
    assert changes(warehouse, MVTEC) == {"images": [2, 1, 2]}
    assert rows_of(warehouse, MVTEC)["bottle/test/scratched/001.png"]["defect_type"] == "scratched"


def test_a_mask_that_comes_changes_and_goes_changes_its_image_alone(
    root: Path, warehouse: Warehouse
) -> None:
    load(MVTEC, str(root), warehouse)
    image, mask = "bottle/test/broken/001.png", "bottle/ground_truth/broken/001_mask.png"
    expected = []
    for step in ("comes", "changes", "goes"):
        before = load_ids(warehouse, MVTEC)
        if step == "goes":
            (root / mask).unlink()
        else:
            write(root, mask, content=step.encode())
        load(MVTEC, str(root), warehouse)
        assert changed_since(before, load_ids(warehouse, MVTEC)) == ({image}, set())
        expected.append(rows_of(warehouse, MVTEC)[image]["mask_relative_path"])
    assert expected == [mask, mask, None]


def test_a_stray_that_finds_its_image_leaves_the_strays(root: Path, warehouse: Warehouse) -> None:
    load(MVTEC, str(root), warehouse)
    write(root, "cable/test/cut/007.png")
    load(MVTEC, str(root), warehouse)
    assert rows_of(warehouse, MVTEC, "stray_files") == {}
    assert changes(warehouse, MVTEC) == {"images": [1, 0, 0], "stray_files": [0, 0, 1]}


def test_other_labels_change_the_rows_they_speak_of(tmp_path: Path, warehouse: Warehouse) -> None:
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
    (root / "Class1/Train/Label/Labels.txt").unlink()
    load(DAGM, str(root), warehouse)
    assert {row["declared_label_index"] for row in rows_of(warehouse, DAGM).values()} == {None}


def test_a_whole_category_can_go(root: Path, warehouse: Warehouse) -> None:
    load(MVTEC, str(root), warehouse)
    before = load_ids(warehouse, MVTEC)
    shutil.rmtree(root / "cable")
    load(MVTEC, str(root), warehouse, allow_shrink=True)
    gone = {"cable/train/good/000.png", "cable/test/cut/000.png"}
    assert changed_since(before, load_ids(warehouse, MVTEC)) == (set(), gone)
    assert rows_of(warehouse, MVTEC, "stray_files") == {}
    assert changes(warehouse, MVTEC) == {"images": [0, 0, 2], "stray_files": [0, 0, 1]}


def test_reloading_one_category_touches_that_category_only(
    root: Path, warehouse: Warehouse
) -> None:
    load(MVTEC, str(root), warehouse)
    before = load_ids(warehouse, MVTEC)
    for category in ("bottle", "cable"):
        os.utime(root / category / "train/good/000.png", (1, 1))
        write(root, f"{category}/train/good/009.png", f"{category}/train/good/009.jpg")
    (root / "cable/test/cut/000.png").unlink()
    load(MVTEC, str(root), warehouse, categories=["bottle"])
    assert changed_since(before, load_ids(warehouse, MVTEC)) == (
        {"bottle/train/good/000.png", "bottle/train/good/009.png"},
        set(),
    )
    assert set(rows_of(warehouse, MVTEC, "stray_files")) == {
        "bottle/train/good/009.jpg",
        "cable/ground_truth/cut/007_mask.png",
    }
    load(MVTEC, str(root), warehouse)
    assert_equals_root(warehouse, MVTEC, root)


def test_one_category_can_be_the_first_one_loaded(root: Path, warehouse: Warehouse) -> None:
    load(MVTEC, str(root), warehouse, categories=["cable"])
    assert {row["category"] for row in rows_of(warehouse, MVTEC).values()} == {"cable"}
    load(MVTEC, str(root), warehouse)
    assert_equals_root(warehouse, MVTEC, root)


def test_the_two_source_datasets_do_not_touch_each_other(
    root: Path, tmp_path: Path, warehouse: Warehouse
) -> None:
    load(MVTEC, str(root), warehouse)
    mvtec = load_ids(warehouse, MVTEC)
    dagm_root = write_dagm(tmp_path / "dagm")
    load(DAGM, str(dagm_root), warehouse)
    write(root, "bottle/train/good/002.png")
    dagm = load_ids(warehouse, DAGM)
    load(MVTEC, str(root), warehouse)
    assert load_ids(warehouse, DAGM) == dagm
    assert mvtec.items() <= load_ids(warehouse, MVTEC).items()
    assert_equals_root(warehouse, DAGM, dagm_root)


def test_the_staging_schema_holds_no_second_copy(root: Path, warehouse: Warehouse) -> None:
    load(MVTEC, str(root), warehouse)
    write(root, "bottle/train/good/002.png", "bottle/notes.csv")
    load(MVTEC, str(root), warehouse)
    for table in TABLES:
        assert query(warehouse, f"SELECT count(*) FROM mvtec_ad_staging.{table}") == [(0,)]


def test_a_hostile_category_name_is_only_a_name(tmp_path: Path, warehouse: Warehouse) -> None:
    hostile = 'x\'); DROP TABLE images;--\n"{table}" %s \N{CROCODILE}'
    root = write(tmp_path / "root", f"{hostile}/train/good/000.png", "bottle/train/good/000.png")
    load(MVTEC, str(root), warehouse)
    before = load_ids(warehouse, MVTEC)
    write(root, f"{hostile}/test/{hostile}/000.png", f"{hostile}/test/{hostile}/000.jpg")
    load(MVTEC, str(root), warehouse)
    assert_equals_root(warehouse, MVTEC, root)
    came = {f"{hostile}/test/{hostile}/000.png"}
    assert changed_since(before, load_ids(warehouse, MVTEC)) == (came, set())
    (root / hostile / "train/good/000.png").unlink()
    load(MVTEC, str(root), warehouse, categories=[hostile], allow_shrink=True)
    assert_equals_root(warehouse, MVTEC, root)


def test_a_root_may_become_a_zip_and_keeps_its_ids(
    root: Path, tmp_path: Path, warehouse: Warehouse
) -> None:
    load(MVTEC, str(root), warehouse)
    ids = {row["image_id"] for row in rows_of(warehouse, MVTEC).values()}
    archive = Path(shutil.make_archive(str(tmp_path / "mvtec"), "zip", root))
    load(MVTEC, str(archive), warehouse)
    assert {row["image_id"] for row in rows_of(warehouse, MVTEC).values()} == ids
    assert changes(warehouse, MVTEC) == {"images": [0, 7, 0]}
    assert_equals_root(warehouse, MVTEC, archive)


@pytest.mark.parametrize("killed_in", ["extract", "normalize"])
def test_what_a_killed_run_left_behind_is_not_loaded(
    root: Path, warehouse: Warehouse, killed_in: str
) -> None:
    load(MVTEC, str(root), warehouse)
    write(root, "bottle/train/good/003.png")
    stale = reconcile(MVTEC, str(root), warehouse)
    pipeline = catalog_pipeline(MVTEC, warehouse)
    pipeline.extract(catalog_source(MVTEC, stale))
    if killed_in == "normalize":
        pipeline.normalize()
    assert pipeline.has_pending_data
    assert any(warehouse.pipelines_folder.iterdir())
    os.rename(root / "bottle/train/good/003.png", root / "bottle/train/good/004.png")
    load(MVTEC, str(root), warehouse)
    assert_equals_root(warehouse, MVTEC, root)
    assert len(loads(warehouse, MVTEC)) == 2
    assert changes(warehouse, MVTEC) == {"images": [1, 0, 0]}


@pytest.mark.parametrize("folder", ["two words", "it's 100% \N{CROCODILE}"])
def test_the_warehouse_may_lie_in_any_folder(root: Path, tmp_path: Path, folder: str) -> None:
    warehouse = Warehouse(tmp_path / folder / "warehouse.duckdb", wait_seconds=0)
    load(MVTEC, str(root), warehouse)
    assert_equals_root(warehouse, MVTEC, root)


def test_a_warehouse_file_named_like_a_source_dataset_is_refused(
    root: Path, tmp_path: Path
) -> None:
    # DuckDB cannot tell a database from a schema of the same name, and dlt names them no further.
    warehouse = Warehouse(tmp_path / "mvtec_ad.duckdb", wait_seconds=0)
    with pytest.raises(WarehouseError, match=r"mvtec_ad\.duckdb"):
        load(MVTEC, str(root), warehouse)


def test_the_merge_is_spelled_exactly_like_this() -> None:
    whole = {"disposition": "merge", "strategy": "cdc", "skip_unchanged_rows": True}
    assert merge_disposition(None) == whole
    scope = category_scope(["bottle"])
    assert merge_disposition(scope) == {**whole, "destination_scope": scope}


def test_the_source_of_the_definitions_has_both_resources_and_no_rows() -> None:
    source = catalog_source(MVTEC)
    assert source.name == "mvtec_ad"
    assert {name: resource.write_disposition for name, resource in source.resources.items()} == {
        "images": "merge",
        "stray_files": "merge",
    }
    assert list(source) == []


def test_the_pipeline_of_the_definitions_touches_no_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    pipeline = catalog_pipeline(MVTEC)
    assert (pipeline.pipeline_name, pipeline.dataset_name) == ("mvtec_ad", "mvtec_ad")
    assert list(tmp_path.iterdir()) == []


class Someone:
    """Works on a root the way people do, at random; every change gets a time of its own."""

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
        return self.root / category / place.format(self.random.randint(0, 3))

    def add(self) -> None:
        path = self.some_path()
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x")
        self.stamp(path)

    def stamp(self, path: Path) -> None:
        self.clock += 1
        os.utime(path, (0, self.clock))

    def touch(self) -> None:
        if files := self.files():
            self.stamp(self.random.choice(files))

    def delete(self) -> None:
        if files := self.files():
            self.random.choice(files).unlink()

    def move(self) -> None:
        target = self.some_path()
        if files := self.files():
            target.parent.mkdir(parents=True, exist_ok=True)
            os.replace(self.random.choice(files), target)

    def drop(self) -> None:
        if self.random.random() < 0.2:
            shutil.rmtree(self.root / self.random.choice(["bottle", "cable"]), ignore_errors=True)


@pytest.mark.parametrize("seed", range(4))
def test_after_any_mix_of_changes_the_tables_equal_the_root(
    root: Path, warehouse: Warehouse, seed: int
) -> None:
    someone = Someone(root, seed)
    load(MVTEC, str(root), warehouse)
    for _ in range(4):
        before = {table: rows_of(warehouse, MVTEC, table) for table in TABLES}
        someone.work()
        found = load(MVTEC, str(root), warehouse, allow_shrink=True)
        assert_equals_root(warehouse, MVTEC, root)
        newest = loads(warehouse, MVTEC)[-1]
        for table in TABLES:
            after = rows_of(warehouse, MVTEC, table)
            kept = {path for path in after if after[path] == before[table].get(path)}
            came = {path: row["_dlt_load_id"] for path, row in after.items() if path not in kept}
            assert set(came.values()) <= {newest}
            said = found.tables[table]
            assert said.inserted == len(after.keys() - before[table].keys())
            assert said.updated == len(came.keys() & before[table].keys())
            assert said.deleted == len(before[table].keys() - after.keys())
            for path in came.keys() & before[table].keys():
                old, new = dict(before[table][path]), dict(after[path])
                del old["_dlt_load_id"], new["_dlt_load_id"]
                assert old != new
