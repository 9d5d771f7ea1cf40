"""Provoke the messages of roots, of reading, and of network services."""

from __future__ import annotations

import importlib.util
import pickle
import re
import shutil
import subprocess
import sys

import duckdb
import pytest

from anomaly_assets.catalogue.dlt_source import load
from anomaly_assets.catalogue.reconcile import reconcile
from anomaly_assets.datasets import SOURCE_DATASETS, SourceDataset
from anomaly_assets.datasets.declaration_files import declared
from anomaly_assets.decoding import dask as cluster
from anomaly_assets.evaluation.backbone import open_backbone
from anomaly_assets.reader import open_samples
from anomaly_assets.warehouse.extensions import load_extensions
from anomaly_assets.warehouse.file.warehouse import FileWarehouse
from anomaly_assets.warehouse.lake.connect import connect_lake
from anomaly_assets.warehouse.motherduck.warehouse import start_motherduck
from anomaly_assets_tests.catalogue.trees import LABELS, catalog_of, write, write_dagm
from anomaly_assets_tests.documents.scene import Scene, saying
from anomaly_assets_tests.stores.site import served
from anomaly_assets_tests.warehouse.project import SPEC


@saying("The baseline needs PyTorch")
def _(scene: Scene) -> object:
    scene.patch.setitem(sys.modules, "torch", None)
    return open_backbone()


@saying("The results were not published")
def _(scene: Scene) -> object:
    published = scene.published
    scene.project.rows("UPDATE image_tensors SET run_id = 'another'")
    return scene.project.warehouse.publish(published, SPEC, only_results=True)


@saying("… has no scores of")
def _(scene: Scene) -> object:
    return open_samples(scene.published).scores()


@saying("MVTec AD (MVTEC_AD_ROOT): … does not exist")
def _(scene: Scene) -> object:
    return scene.reconcile(scene.folder / "none")


@saying("… is empty; it should hold MVTec AD")
def _(scene: Scene) -> object:
    return scene.reconcile(scene.folder)


@saying("… contains no MVTec AD images (…)")
def _(scene: Scene) -> object:
    (scene.folder / "photos").mkdir()
    (scene.folder / "photos" / "holiday.png").write_bytes(b"")
    return scene.reconcile(scene.folder)


@saying("… contains no MVTec AD images. It looks like a category folder")
def _(scene: Scene) -> object:
    return scene.reconcile(scene.project.roots_folder / "mvtec_ad" / "bottle")


@saying("… contains no MVTec AD images. The layout begins in a folder below it")
def _(scene: Scene) -> object:
    shutil.copytree(scene.project.roots_folder / "mvtec_ad", scene.folder / "data" / "raw")
    return scene.reconcile(scene.folder)


@saying("… contains no MVTec AD images. Its folders are those of MVTec AD")
def _(scene: Scene) -> object:
    write(scene.folder, "bottle/train/good/000.jpg")
    return scene.reconcile(scene.folder)


@saying("… contains no MVTec AD images that can be read")
def _(scene: Scene) -> object:
    write(scene.folder, "blobs/0")
    link = scene.folder / "root" / "bottle" / "train" / "good" / "000.png"
    link.parent.mkdir(parents=True)
    link.symlink_to(scene.folder / "blobs" / "0")
    return scene.reconcile(scene.folder / "root")


@saying("… contains no MVTec AD images. Its names contain backslashes")
def _(scene: Scene) -> object:
    write(scene.folder, "data/bottle\\train\\good\\000.png")
    return scene.reconcile(scene.folder)


@saying("… contains no DAGM 2007 images. Its labels files")
def _(scene: Scene) -> object:
    write(scene.folder, "Class1/Train/Label/Labels.txt", content=LABELS)
    warehouse = scene.project.warehouse
    return reconcile(SOURCE_DATASETS["dagm_2007"], str(scene.folder), warehouse)


@saying("… contains no MVTec AD images. It looks like DAGM 2007")
def _(scene: Scene) -> object:
    return scene.reconcile(write_dagm(scene.folder))


@saying("…: … of … files belong to no image of MVTec AD")
def _(scene: Scene) -> object:
    root = scene.folder / "root"
    write(root, "bottle/train/good/000.png", "bottle/test_public/1.png", "bottle/2.png")
    warehouse = FileWarehouse(scene.folder / "warehouse.duckdb", wait_seconds=0)
    return reconcile(SOURCE_DATASETS["mvtec_ad"], str(root), warehouse)


@saying("DAGM 2007: no folder has the case of the official names")
def _(scene: Scene) -> object:
    write(scene.folder, "Class1/train/0001.PNG")
    write(scene.folder, "Class1/train/Label/0001_label.PNG")
    return catalog_of("dagm_2007", scene.folder).notes[0]


@saying("… lists … images of MVTec AD")
def _(scene: Scene) -> object:
    shutil.copytree(scene.project.roots_folder / "mvtec_ad" / "bottle", scene.folder / "bottle")
    shutil.rmtree(scene.folder / "bottle" / "train")
    return scene.reconcile(scene.folder)


@saying("s3:// needs s3fs")
def _(scene: Scene) -> object:
    scene.patch.setitem(sys.modules, "s3fs", None)
    return scene.reconcile("s3://bucket/mvtec_ad")


@saying("…: all … samples with")
def _(scene: Scene) -> object:
    scene.project.rows(
        "UPDATE dagm_2007.images SET label = 'unknown', label_index = NULL, label_source = 'none' "
        "WHERE split = 'test'"
    )
    return open_samples(scene.published, source_dataset="dagm_2007", split="test")


@saying("… does not answer")
def _(scene: Scene) -> object:
    pytest.importorskip("aiohttp")
    return scene.reconcile("http://127.0.0.1:1/mvtec_ad/")


@saying("…: this is neither a path")
def _(scene: Scene) -> object:
    return scene.reconcile("s3:/bucket/mvtec_ad")


@saying("http://… redirects to")
def _(scene: Scene) -> object:
    pytest.importorskip("aiohttp")
    with served() as site:
        site.redirects["/mvtec_ad/"] = "http://localhost:1/login"
        return scene.reconcile(site.location("/mvtec_ad/"))


@saying("…: the part after a #")
def _(scene: Scene) -> object:
    pytest.importorskip("aiohttp")
    return scene.reconcile("http://127.0.0.1:1/mvtec#ad/")


@saying("… images have a new image_id")
def _(scene: Scene) -> object:
    image = scene.project.roots_folder / "mvtec_ad" / "bottle/train/good/000.png"
    root = scene.folder / "root"
    (root / "bottle/train/good").mkdir(parents=True)
    shutil.copy(image, root / "bottle/train/good/é.png")
    warehouse = FileWarehouse(scene.folder / "warehouse.duckdb")
    load(SOURCE_DATASETS["mvtec_ad"], str(root), warehouse)
    with warehouse.connect() as connection:
        connection.execute(
            "UPDATE mvtec_ad.images SET relative_path = replace(relative_path, 'é', 'e\u0301')"
        )
    return load(SOURCE_DATASETS["mvtec_ad"], str(root), warehouse).renaming


@saying("….toml:…: […] is … and cannot name a schema")
def _(scene: Scene) -> object:
    found = declared({"line4.toml": b'[order]\nimages = ["{name}"]\n'})
    return found.problems[0]


@saying("… is an archive that cannot be read in place")
def _(scene: Scene) -> object:
    archive = scene.folder / "mvtec_anomaly_detection.tar.xz"
    archive.write_bytes(b"")
    return scene.reconcile(archive)


@saying("MVTec AD has no category")
def _(scene: Scene) -> object:
    return scene.reconcile(scene.project.roots_folder / "mvtec_ad", categories=["Bottle"])


@saying("… images below … are loaded as … already")
def _(scene: Scene) -> object:
    renamed = b'[line4]\nlike = "mvtec_ad"\n'
    [declaration] = declared({"line4.toml": renamed}).declarations
    root = str(scene.project.roots_folder / "mvtec_ad")
    warehouse = FileWarehouse(scene.folder / "renamed.duckdb", 5.0)
    load(SOURCE_DATASETS["mvtec_ad"], root, warehouse)
    return reconcile(SourceDataset(declaration), root, warehouse)


@saying("… does not exist: run `make materialize`")
def _(scene: Scene) -> object:
    return open_samples(scene.folder / "none.duckdb")


@saying("category='…' does not exist")
def _(scene: Scene) -> object:
    return open_samples(scene.published, category="botle")


@saying("… is not a published database")
def _(scene: Scene) -> object:
    other = scene.folder / "other.duckdb"
    duckdb.connect(str(other)).close()
    return open_samples(other)


@saying("No single snapshot '…'")
def _(scene: Scene) -> object:
    return open_samples(scene.published, snapshot="0123456789ab")


@saying("… was replaced since these samples were opened")
def _(scene: Scene) -> object:
    with open_samples(scene.published) as samples:
        pickled = pickle.dumps(samples)
    with duckdb.connect(str(scene.published)) as connection:
        connection.execute("UPDATE snapshots SET snapshot_id = 'another'")
    return pickle.loads(pickled).images[:]


@saying("where='…' is not a SQL condition")
def _(scene: Scene) -> object:
    return open_samples(scene.published, where="lenght(filename) > 3")


@saying("… cannot be read: Binder Error: Unique")
def _(scene: Scene) -> object:
    with duckdb.connect(str(scene.published)):
        return open_samples(scene.published)


@saying("Required module 'pytz'")
def _(scene: Scene) -> object:
    query = "SELECT published_at::TIMESTAMPTZ FROM snapshots"  # as in a warehouse
    program = (
        "import duckdb, sys; sys.modules['pytz'] = None; "
        f"duckdb.connect({str(scene.published)!r}, read_only=True).execute({query!r}).fetchall()"
    )
    return subprocess.run([sys.executable, "-c", program], capture_output=True, text=True).stderr


@saying("Trying to read a database file with version")
def _(scene: Scene) -> object:
    newer = scene.folder / "newer.duckdb"
    duckdb.connect(str(newer)).close()
    content = bytearray(newer.read_bytes())
    assert content[8:12] == b"DUCK"
    content[12:20] = (9999).to_bytes(8, "little")
    newer.write_bytes(content)
    # The page begins with a checksum, which is in the message of DuckDB.
    with pytest.raises(duckdb.IOException, match="does not match stored checksum") as told:
        duckdb.connect(str(newer), read_only=True)
    computed = re.search(r"computed checksum (\d+)", str(told.value))
    assert computed is not None
    content[0:8] = int(computed[1]).to_bytes(8, "little")
    newer.write_bytes(content)
    return duckdb.connect(str(newer), read_only=True)


@saying("Connection Error: Can't open")
def _(scene: Scene) -> object:
    with duckdb.connect(str(scene.published)):
        return duckdb.connect(str(scene.published), read_only=True)


@saying("Cannot execute statement of type")
def _(scene: Scene) -> object:
    with duckdb.connect(str(scene.published), read_only=True) as connection:
        return connection.execute("CREATE TABLE mine AS SELECT 1")


@saying("anomaly-assets needs click")
def _(scene: Scene) -> object:
    return _without("click", "from anomaly_assets.cli.start import main; main(['export'])")


@saying("Exports need Pillow and tqdm")
def _(scene: Scene) -> object:
    return _without("PIL", "import anomaly_assets.export")


@saying("… is not installed. This sub-command")
def _(scene: Scene) -> object:
    return _without("dagster", "from anomaly_assets.cli.start import main; main(['materialize'])")


def _without(package: str, statements: str) -> str:
    """Run statements where a package cannot be imported; returns the errors."""
    return _said(f"import sys; sys.modules[{package!r}] = None; {statements}")


def _said(program: str) -> str:
    """Run a program, and return what it writes to standard error."""
    return subprocess.run([sys.executable, "-c", program], capture_output=True, text=True).stderr


@saying("to_torch() needs PyTorch")
def _(scene: Scene) -> object:
    scene.patch.setitem(sys.modules, "torch", None)
    scene.patch.delitem(sys.modules, "anomaly_assets.reader.torch", raising=False)
    with open_samples(scene.published) as samples:
        return samples.to_torch()


@saying("to_loader() needs PyTorch")
def _(scene: Scene) -> object:
    scene.patch.setitem(sys.modules, "torch", None)
    scene.patch.delitem(sys.modules, "anomaly_assets.reader.loader", raising=False)
    with open_samples(scene.published) as samples:
        return samples.to_loader(4)


@saying("torchvision cannot be imported")
def _(scene: Scene) -> object:
    pytest.importorskip("torch")
    broken = scene.folder / "torchvision"
    broken.mkdir()
    (broken / "__init__.py").write_text("raise RuntimeError('operator … does not exist')")
    return _said(f"""
import sys
sys.path.insert(0, {str(scene.folder)!r})
from anomaly_assets.reader import open_samples
open_samples({str(scene.published)!r}).to_torch()[0]
""")


@saying("This iteration was begun before")
def _(scene: Scene) -> object:
    pytest.importorskip("torch")
    return _said(f"""
import os
from anomaly_assets.reader import open_samples
samples = open_samples({str(scene.published)!r})
batches = iter(samples.to_loader(1, num_workers=1, multiprocessing_context="fork"))
next(batches)
if os.fork():
    os.wait()
else:
    try:
        next(batches)
    except RuntimeError as error:
        os.write(2, str(error).encode())
    finally:
        os._exit(0)
""")


@saying("show() needs Pillow")
def _(scene: Scene) -> object:
    path = str(scene.published)
    return _without(
        "PIL", f"from anomaly_assets import open_samples; open_samples({path!r})[0].show()"
    )


@saying("ducklake:postgres:… cannot be opened")
def _(scene: Scene) -> object:
    return connect_lake("ducklake:postgres:host=127.0.0.1 port=1 dbname=anomaly user=team")


@saying("DuckDB's extension … is not installed")
def _(scene: Scene) -> object:
    scene.patch.setattr(importlib.util, "find_spec", lambda _: None)
    load_extensions(duckdb.connect(":memory:"), "ducklake")
    return "loaded"


@saying("The installed extension … is for DuckDB")
def _(scene: Scene) -> object:
    scene.patch.setattr(duckdb, "__version__", "1.5.4")
    load_extensions(duckdb.connect(":memory:"), "ducklake")
    return "loaded"


@saying("MotherDuck needs a token")
def _(scene: Scene) -> object:
    for name in ("motherduck_token", "MOTHERDUCK_TOKEN"):
        scene.patch.delenv(name, raising=False)
    return start_motherduck()


@saying("No Dask scheduler answers")
def _(scene: Scene) -> object:
    pytest.importorskip("distributed")
    scene.patch.setattr(cluster, "_CONNECT_SECONDS", 1)
    with cluster.on_cluster("dask://127.0.0.1:1", {}, SPEC, 1.0) as compute:
        return compute
