"""Test that every command of these pages is executed, in a clean copy and in the order of the pages.

Only machine-specific parts are replaced:

  | on the page | here |
  | --- | --- |
  | `/data/mvtec_anomaly_detection`, `/data/DAGM_KaggleUpload` | copies of the sample roots |
  | `/data/VisA.zip`, `/data/line4` | a tree of the official shape in an archive, a generated folder |
  | `/share/anomaly.duckdb` | the database that the first command has published |
  | `/tmp/excerpt` | a new folder |
  | the category `bottle` | a category of the samples |
  | PostgreSQL on `db.example`, `s3://bucket/anomaly` | the server of the tests of lakes, a folder |
  | `pip install …` | the same into a separate folder, without an index and so without dependencies |
  | `make ui` | started on a free port, asked for its version, ended |
  | `make test` | collects one module, because this is a test |
"""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import duckdb
import pytest

from anomaly_assets_tests.documents.checkout import Checkout, substituted
from anomaly_assets_tests.documents.markdown import (
    PAGES,
    PROJECT,
    Block,
    blocks,
    blocks_on_training,
)
from anomaly_assets_tests.documents.test_your_own_data import ON_THE_PAGE, write_line4
from anomaly_assets_tests.official_trees import write_tree
from anomaly_assets_tests.stores.servers import free_ports
from anomaly_assets_tests.test_install import READER_ONLY
from anomaly_assets_tests.warehouse.lake.postgres import PASSWORD, Postgres

BLOCKS = [block for page in PAGES for block in blocks(PROJECT, page) if block.language]

Check = Callable[[Checkout, Block, pytest.FixtureRequest], None]
CHECKS: dict[tuple[str, str], Check] = {}


def of(page: str, *first_lines: str) -> Callable[[Check], Check]:
    """Register a function that executes these blocks of a page, given by their first lines."""

    def register(check: Check) -> Check:
        CHECKS.update({(page, line): check for line in first_lines})
        return check

    return register


@pytest.mark.parametrize("block", BLOCKS, ids=lambda block: f"{block.page}:{block.line}")
def test_a_block_does_what_its_page_says(
    block: Block, checkout: Checkout, request: pytest.FixtureRequest
) -> None:
    check = CHECKS.get((block.page, block.first_line))
    assert check is not None, f"Define in this module how {block.first_line!r} is executed."
    assert checkout.first_run
    check(checkout, block, request)


def test_nothing_is_executed_that_no_page_says() -> None:
    assert CHECKS.keys() == {(block.page, block.first_line) for block in BLOCKS}
    assert len(CHECKS) == len(BLOCKS)


@of("README.md", "make materialize")
def _(checkout: Checkout, block: Block, _: pytest.FixtureRequest) -> None:
    assert block.text == "make materialize\n"
    last = checkout.first_run.splitlines()[-3:]
    assert block.output is not None
    assert _without_ids("\n".join(last)) == _without_ids(block.output.rstrip())


@of("README.md", "make ui")
def _(checkout: Checkout, block: Block, _: pytest.FixtureRequest) -> None:
    serve, test, listing = (line.partition("  #")[0].rstrip() for line in block.text.splitlines())
    [port] = free_ports(1)
    with checkout.serving(f"{serve} PORT={port}", port) as page:
        assert json.loads(page)["dagster_webserver_version"] == "1.13.1"
    collected = checkout.run(
        f'{test} ARGS="--collect-only -q anomaly_assets_tests/test_settings.py"'
    )
    assert re.search(r"\d+ tests collected", collected)
    targets = checkout.run(listing)
    assert all(f"  {name} " in targets for name in ("materialize", "ui", "test", "tables"))


@of("README.md", '.venv/bin/python -c "')
def _(checkout: Checkout, block: Block, _: pytest.FixtureRequest) -> None:
    assert checkout.run(block.text).strip() == str(block.output).strip()


@of("README.md", "pip install .")
def _(checkout: Checkout, block: Block, request: pytest.FixtureRequest) -> None:
    environment = _installed(checkout, request)
    assert (environment / "anomaly_assets/tables/sql/samples.sql").is_file()
    assert block.text.splitlines()[1].startswith("export ANOMALY_DATABASE=/share/anomaly.duckdb ")


@of("README.md", "from anomaly_assets.reader import open_samples")
def _(checkout: Checkout, block: Block, request: pytest.FixtureRequest) -> None:
    environment = _installed(checkout, request)
    script = environment / "train.py"
    script.write_text(block.text, "utf-8")
    printed = checkout.run(
        f"{checkout.folder}/.venv/bin/python {script}",
        folder=environment,
        PYTHONPATH=str(environment),
        ANOMALY_DATABASE=str(checkout.folder / "data/anomaly.duckdb"),
    )
    assert printed == block.output


@of("README.md", ".venv/bin/anomaly-assets export --format parquet --out export/parquet")
def _(checkout: Checkout, block: Block, _: pytest.FixtureRequest) -> None:
    checkout.run(block.text)
    exported = checkout.folder / "export"
    # Blocks of other pages export into the same folder, and may have run before.
    assert {"parquet", "mvtec", "bolt", "hf"} <= {path.name for path in exported.iterdir()}
    assert len([*exported.glob("parquet/data/*.parquet")]) == 2
    assert len([*exported.glob("mvtec/bolt/*/*/*.png")]) == 17 + 6  # with the masks
    assert len([*exported.glob("bolt/images/mvtec_ad/bolt/*/*/*.png")]) == 17
    assert len([*exported.glob("hf/*/images/mvtec_ad/*/*/*.png")]) == 34


@of("README.md", ".venv/bin/anomaly-assets datasets suggest /data/line4 > line4.toml")
def _(checkout: Checkout, block: Block, request: pytest.FixtureRequest) -> None:
    root = request.getfixturevalue("tmp_path") / "line4"
    write_line4(root)
    own = _own_database(request)
    printed = checkout.run(block.text.replace(ON_THE_PAGE, str(root)), **own)
    assert f"[line4] line4, file://{root}\n  24 images in 1 category, 6 masks, 1 stray\n" in printed
    assert _published(checkout, own) == {"line4": 24}


@of(
    "README.md",
    "MVTEC_AD_ROOT=/data/mvtec_anomaly_detection VISA_ROOT=/data/VisA.zip make materialize",
)
def _(checkout: Checkout, block: Block, request: pytest.FixtureRequest) -> None:
    own, theirs = _own_database(request), _copied_roots(checkout, request)
    visa = request.getfixturevalue("tmp_path") / "VisA"
    truth = write_tree("visa", visa)
    archive = shutil.make_archive(str(visa), "zip", visa)
    checkout.run("make materialize", **own)
    assert _published(checkout, own) == {"dagm_2007": 28, "mvtec_ad": 34}
    checkout.run(substituted(block.text, {**theirs, "/data/VisA.zip": archive}), **own)
    assert _published(checkout, own) == {"mvtec_ad": 34, "visa": len(truth.images)}


@of(
    "README.md",
    ".venv/bin/python -m dagster asset materialize -m anomaly_assets.definitions --select '*'",
)
def _(checkout: Checkout, block: Block, _: pytest.FixtureRequest) -> None:
    printed = checkout.run(block.text)
    assert " - WARNING - " in printed
    assert "Failed check counts_equal_the_official_ones of samples: 4 categories " in printed
    assert " - DEBUG - " not in printed


@of(
    "README.md",
    'export ANOMALY_WAREHOUSE="ducklake:postgres:host=db.example dbname=anomaly user=team"',
)
def _(checkout: Checkout, block: Block, request: pytest.FixtureRequest) -> None:
    postgres: Postgres = request.getfixturevalue("postgres")
    postgres.create("readme")
    script = substituted(
        block.text,
        {
            "host=db.example dbname=anomaly user=team": postgres.conninfo("readme"),
            "s3://bucket/anomaly": str(checkout.folder / "data" / "lake"),
        },
    )
    printed = checkout.run(script, PGPASSWORD=PASSWORD, ANOMALY_IMAGE_SIZE="32")
    last = printed.splitlines()[-3]
    assert re.fullmatch(
        r"ducklake:postgres:.* holds 62 samples of dagm_2007 and mvtec_ad, .*", last
    )
    assert PASSWORD not in printed


@of(
    "README.md",
    "SELECT source_dataset, category, split, count(*) AS images, count(mask_tensor) AS masks",
    "SELECT category, split, defect_type, images, "
    "round(100 * area_fraction_median, 2) AS median_area_percent",
)
def _(checkout: Checkout, block: Block, _: pytest.FixtureRequest) -> None:
    assert str(checkout.query(block.text)).rstrip() == str(block.output).rstrip()


@of(
    "docs/reading.md",
    "from anomaly_assets.reader import diff_snapshots, list_snapshots, open_samples",
)
def _(checkout: Checkout, block: Block, request: pytest.FixtureRequest) -> None:
    own = _own_database(request)
    checkout.run("make materialize", **own)
    checkout.run("make materialize", **own, **_roots(_copied_roots(checkout, request)))
    theirs = Path(own["ANOMALY_DATABASE"])
    script = theirs.with_name("script.py")
    script.write_text(block.text, "utf-8")
    command = f".venv/bin/python {script}"
    printed = checkout.run(command, PYTHONPATH=".", ANOMALY_DATABASE=str(theirs))
    assert re.fullmatch(r"[0-9a-f]{12} .*0 added, 0 removed, 0 changed, 0 relabelled.*\n", printed)
    for older in theirs.parent.glob("anomaly.*.duckdb"):
        older.unlink()
    assert checkout.run(command, PYTHONPATH=".", ANOMALY_DATABASE=str(theirs)) == ""


@of("docs/reading.md", "import torch", "from torchvision.transforms import v2")
def _(_: Checkout, block: Block, __: pytest.FixtureRequest) -> None:
    """Check that `reader/test_training.py` executes it, which is skipped without PyTorch."""
    assert block.text in blocks_on_training(PROJECT)


@of(
    "docs/reading.md",
    'samples = open_samples(source_dataset="dagm_2007", size=512)',
    'tiles = open_samples(recipe="full/tile=512+64", split="test")',
)
def _(checkout: Checkout, block: Block, request: pytest.FixtureRequest) -> None:
    own = _own_database(request)
    checkout.run("make materialize", **own, ANOMALY_SIZES="32,512x512x1,full/tile=512+64")
    script = Path(own["ANOMALY_DATABASE"]).with_name("script.py")
    before = "from anomaly_assets.reader import open_samples\n"
    model = "def model(samples):\n    return samples.images[:][..., 0].astype(float)\n"
    after = "print(len(samples) if 'samples' in dir() else [each.shape for each in heatmaps.values()][0])"
    script.write_text(f"{before}{model}{block.text}\n{after}\n", "utf-8")
    database = own["ANOMALY_DATABASE"]
    printed = checkout.run(f".venv/bin/python {script}", PYTHONPATH=".", ANOMALY_DATABASE=database)
    assert printed in ("28\n", "(512, 512)\n")


@of(*READER_ONLY)
def _(_: Checkout, block: Block, __: pytest.FixtureRequest) -> None:
    """Check only the text of the lines: `test_install` executes them in an empty environment."""
    assert block.text == "pip install -r requirements-reader.txt\npip install --no-deps .\n"


@of("docs/settings.md", "pip install '.[s3]'")
def _(checkout: Checkout, block: Block, request: pytest.FixtureRequest) -> None:
    folder = request.getfixturevalue("tmp_path")
    printed = checkout.run(_offline(block.text, folder))
    assert "Successfully installed anomaly_assets" in printed.replace("-", "_")
    assert "does not provide the extra" not in printed


@of(
    "docs/settings.md",
    "MVTEC_AD_ROOT=/data/mvtec_anomaly_detection DAGM_2007_ROOT=/data/DAGM_KaggleUpload make ui",
)
def _(checkout: Checkout, block: Block, request: pytest.FixtureRequest) -> None:
    theirs = _copied_roots(checkout, request)
    checkout.run("make materialize", **_own_database(request), **_roots(theirs))
    # A run of the UI has the environment of the UI; without the variables it behaves like this run.
    printed = checkout.run("make materialize", **_own_database(request))
    assert printed.count("_ROOT is not set; it was loaded from file:") >= 2
    [port] = free_ports(1)
    command = substituted(block.text.rstrip(), theirs)
    with checkout.serving(f"{command} PORT={port}", port) as page:
        assert json.loads(page)["dagster_webserver_version"] == "1.13.1"


@of("docs/settings.md", "make purge")
def _(checkout: Checkout, block: Block, _: pytest.FixtureRequest) -> None:
    printed = checkout.run(block.text.partition("  #")[0])
    assert re.search(
        r"^0 runs from before .* UTC were deleted\. .*/data/dagster_home now has ", printed, re.M
    )


@of(
    "docs/settings.md",
    'make materialize ARGS="--config-json '
    '\'{\\"ops\\": {\\"mvtec_ad\\": {\\"config\\": {\\"categories\\": [\\"bottle\\"]}}}}\'"',
)
def _(checkout: Checkout, block: Block, request: pytest.FixtureRequest) -> None:
    theirs = _copied_roots(checkout, request)["/data/mvtec_anomaly_detection"]
    checkout.run("make materialize", MVTEC_AD_ROOT=theirs)
    for category in ("bolt", "woven"):
        next(Path(theirs).glob(f"{category}/train/good/*.png")).unlink()
    checkout.run(block.text.replace("bottle", "woven"), MVTEC_AD_ROOT=theirs)
    assert _images_of(checkout) == {"bolt": 17, "woven": 16}


@of(
    "docs/settings.md",
    'ANOMALY_IMAGE_SIZE=128 make materialize ARGS="--config-json '
    '\'{\\"ops\\": {\\"image_tensors\\": {\\"config\\": {\\"change_shape\\": true}}}}\'"',
)
def _(checkout: Checkout, block: Block, request: pytest.FixtureRequest) -> None:
    theirs = _copied_roots(checkout, request)
    roots = {
        "MVTEC_AD_ROOT": theirs["/data/mvtec_anomaly_detection"],
        "DAGM_2007_ROOT": theirs["/data/DAGM_KaggleUpload"],
    }
    checkout.run(block.text, folder=None, **roots)
    assert checkout.query("SELECT DISTINCT height FROM anomaly.samples").fetchall() == [(128,)]


@of(
    "docs/settings.md",
    'make materialize ARGS="--config-json '
    '\'{\\"ops\\": {\\"mvtec_ad\\": {\\"config\\": {\\"allow_shrink\\": true}}}}\'"',
)
def _(checkout: Checkout, block: Block, request: pytest.FixtureRequest) -> None:
    theirs = _copied_roots(checkout, request)["/data/mvtec_anomaly_detection"]
    shutil.rmtree(Path(theirs) / "woven")
    checkout.run(block.text, MVTEC_AD_ROOT=theirs)
    assert _images_of(checkout) == {"bolt": 17}


@of(
    "docs/settings.md",
    'make materialize ARGS="--config-json '
    '\'{\\"ops\\": {\\"published_database\\": {\\"config\\": {\\"allow_shrink\\": true}}}}\'"',
)
def _(checkout: Checkout, block: Block, request: pytest.FixtureRequest) -> None:
    theirs = Path(_copied_roots(checkout, request)["/data/mvtec_anomaly_detection"])
    shutil.rmtree(theirs / "woven")
    pictures = sorted(theirs.glob("bolt/*/good/*.png"))
    for picture in pictures:
        picture.write_text("version https://git-lfs.github.com/spec/v1\n")
    checkout.run(block.text, MVTEC_AD_ROOT=str(theirs))
    query = "SELECT count(*) FROM anomaly.samples WHERE source_dataset = 'mvtec_ad'"
    usable = checkout.query(query).fetchall()
    assert usable == [(17 - len(pictures),)]


@of(
    "docs/settings.md",
    "MVTEC_AD_ROOT=/data/hub/snapshots/0123abc MVTEC_AD_LINKS=follow make materialize",
)
def _(checkout: Checkout, block: Block, request: pytest.FixtureRequest) -> None:
    theirs = Path(_copied_roots(checkout, request)["/data/mvtec_anomaly_detection"])
    links = theirs.parent / "links"
    for file in theirs.rglob("*.png"):
        link = links / file.relative_to(theirs)
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(file)
    checkout.run(block.text.replace("/data/hub/snapshots/0123abc", str(links)))
    assert _images_of(checkout) == {"bolt": 17, "woven": 17}


@of(
    "docs/settings.md",
    'make materialize ARGS="--config-json '
    '\'{\\"ops\\": {\\"mvtec_ad\\": {\\"config\\": {\\"allow_strays\\": true}}}}\'"',
)
def _(checkout: Checkout, block: Block, request: pytest.FixtureRequest) -> None:
    theirs = Path(_copied_roots(checkout, request)["/data/mvtec_anomaly_detection"])
    (theirs / "woven" / "test").rename(theirs / "woven" / "test_public")
    (theirs / "bolt").rename(theirs / "woven" / "bolt")
    variables: dict[str, Any] = {
        "MVTEC_AD_ROOT": str(theirs),
        "ANOMALY_WAREHOUSE": str(theirs.parent / "warehouse.duckdb"),
        "ANOMALY_DATABASE": str(theirs.parent / "anomaly.duckdb"),
        "ANOMALY_IMAGE_SIZE": "32",
    }
    for file in theirs.rglob("bolt/*/*/*.png"):
        file.rename(file.with_suffix(".jpg"))
    code, printed = checkout.attempt("make materialize", **variables)
    assert code != 0
    assert "files belong to no image of MVTec AD" in printed
    checkout.run(block.text, **variables)
    assert (theirs.parent / "anomaly.duckdb").is_file()


@of("docs/settings.md", ".venv/bin/anomaly-assets forget dagm_2007")
def _(checkout: Checkout, block: Block, request: pytest.FixtureRequest) -> None:
    theirs = _copied_roots(checkout, request)["/data/DAGM_KaggleUpload"]
    checkout.run(".venv/bin/python -m anomaly_assets.ingest dagm_2007", DAGM_2007_ROOT=theirs)
    printed = checkout.run(block.text, DAGM_2007_ROOT="")
    assert printed.startswith("dagm_2007: 28 images removed from ")


@of(
    "docs/settings.md",
    'make materialize ARGS="--config-json '
    '\'{\\"ops\\": {\\"published_database\\": {\\"config\\": {\\"adopt\\": true}}}}\'"',
)
def _(checkout: Checkout, block: Block, request: pytest.FixtureRequest) -> None:
    folder = request.getfixturevalue("tmp_path")
    theirs = _copied_roots(checkout, request)
    published = folder / "team.duckdb"
    published.write_text("no database\n" * 1000)
    variables: dict[str, Any] = {
        "MVTEC_AD_ROOT": theirs["/data/mvtec_anomaly_detection"],
        "DAGM_2007_ROOT": "",
        "ANOMALY_WAREHOUSE": str(folder / "warehouse.duckdb"),
        "ANOMALY_DATABASE": str(published),
        "ANOMALY_IMAGE_SIZE": "32",
    }
    code, _ = checkout.attempt("make materialize", **variables)
    assert code != 0
    checkout.run(block.text, **variables)
    with duckdb.connect(str(published), read_only=True) as connection:
        assert connection.execute("SELECT count(*) FROM anomaly.samples").fetchall() == [(34,)]


@of(
    "docs/settings.md",
    ".venv/bin/anomaly-assets excerpt --root /data/mvtec_anomaly_detection "
    "--out /tmp/excerpt --per-kind 10 --seed 0",
)
def _(checkout: Checkout, block: Block, request: pytest.FixtureRequest) -> None:
    out = request.getfixturevalue("tmp_path") / "excerpt"
    theirs = _copied_roots(checkout, request)
    printed = checkout.run(substituted(block.text, {**theirs, "/tmp/excerpt": str(out)}))
    assert printed.startswith("mvtec_ad: ")
    assert len([*out.glob("*/test/*/*.png")]) > 0


@of("docs/settings.md", ".venv/bin/anomaly-assets load mvtec_ad")
def _(checkout: Checkout, block: Block, request: pytest.FixtureRequest) -> None:
    theirs = _copied_roots(checkout, request)["/data/mvtec_anomaly_detection"]
    assert "mvtec_ad.images: " in checkout.run(block.text, MVTEC_AD_ROOT=theirs)


@of("examples/ci/README.md", "mkdir -p .github/workflows")
def _(checkout: Checkout, block: Block, _: pytest.FixtureRequest) -> None:
    checkout.run(block.text)
    [copied] = (checkout.folder / ".github/workflows").iterdir()
    assert copied.read_bytes() == (PROJECT / "examples/ci/anomaly_assets.yml").read_bytes()


def _without_ids(text: str) -> str:
    return re.sub(r"\b[0-9a-f]{12}\b", "…", text)


def _images_of(checkout: Checkout) -> dict[str, int]:
    counted = "SELECT category, count(*) FROM mvtec_ad.images GROUP BY ALL"
    return dict(checkout.query(counted).fetchall())


def _published(checkout: Checkout, own: dict[str, Any]) -> dict[str, int]:
    """Return the number of samples of each source dataset in a database of `_own_database`."""
    counted = "SELECT source_dataset, count(*) FROM anomaly.samples GROUP BY ALL"
    return dict(checkout.query(counted, own["ANOMALY_DATABASE"]).fetchall())


def _copied_roots(checkout: Checkout, request: pytest.FixtureRequest) -> dict[str, str]:
    """Return copies of the samples, by the names on the pages."""
    folder = request.getfixturevalue("tmp_path")
    names = {"/data/mvtec_anomaly_detection": "mvtec_ad", "/data/DAGM_KaggleUpload": "dagm_2007"}
    for name in names.values():
        shutil.copytree(checkout.folder / "data/samples" / name, folder / name)
    return {address: str(folder / name) for address, name in names.items()}


def _roots(theirs: dict[str, str]) -> dict[str, Any]:
    return {
        "MVTEC_AD_ROOT": theirs["/data/mvtec_anomaly_detection"],
        "DAGM_2007_ROOT": theirs["/data/DAGM_KaggleUpload"],
    }


def _own_database(request: pytest.FixtureRequest) -> dict[str, Any]:
    folder = request.getfixturevalue("tmp_path")
    return {
        "ANOMALY_WAREHOUSE": str(folder / "warehouse.duckdb"),
        "ANOMALY_DATABASE": str(folder / "anomaly.duckdb"),
        "ANOMALY_IMAGE_SIZE": "32",  # a fraction of the time
    }


def _offline(command: str, target: Path) -> str:
    """Return `pip install` into a folder, without dependencies, which are already installed."""
    options = (
        f"--no-index --no-deps --no-build-isolation --disable-pip-version-check --target {target}"
    )
    return command.replace("pip install", f".venv/bin/python -m pip install {options}")


def _installed(checkout: Checkout, request: pytest.FixtureRequest) -> Path:
    """Return the folder into which the README has installed the package."""
    folder = checkout.folder / "data" / "installed"
    if not folder.exists():
        [block] = [each for each in BLOCKS if each.first_line == "pip install ."]
        checkout.run(_offline(block.text, folder))
    return folder
