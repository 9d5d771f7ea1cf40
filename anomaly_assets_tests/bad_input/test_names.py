"""Test that unusual file names reach the tables, normalised and without side effects."""

from __future__ import annotations

import os
import unicodedata
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from anomaly_assets.catalogue.dlt_source import load
from anomaly_assets.datasets import SOURCE_DATASETS
from anomaly_assets.roots.open import open_root
from anomaly_assets_tests.bad_input.loading import Outcome, finding, load_all, offenders, outcome_of
from anomaly_assets_tests.catalogue.trees import write
from anomaly_assets_tests.decoding.pictures import png
from anomaly_assets_tests.warehouse.project import SIZE, Project, mask, noise

MVTEC = SOURCE_DATASETS["mvtec_ad"]

NAMES: list[bytes] = [
    b"two words",
    b" spaces around ",
    b"it's",
    b'"quoted"',
    b"`back` $(ticks)",
    b"semi;colon",
    b"'; DROP TABLE images; --",
    b"mvtec_ad.images",
    b"new\nline",
    b"tab\tand\rreturn",
    b"100% %20 %s %(name)s",
    b"{} {0} $1 ? :name",
    b"#fragment?query&x=1",
    b"back\\slash",
    b"a..\\..\\evil",
    b"C:",
    b"*|<>",
    b"-rf",
    b"~",
    b"=1+1",
    b"<script>alert(1)",
    b"[link](javascript:1) | `md` |",
    b"\x01\x1b[31m\x7f",
    "\N{GRINNING FACE}\N{ZERO WIDTH JOINER}\N{CROCODILE}".encode(),
    "\N{RIGHT-TO-LEFT OVERRIDE}gnp".encode(),
    "u\N{COMBINING DIAERESIS}".encode(),
    "\N{LATIN SMALL LETTER E WITH ACUTE}".encode(),
    "\N{LATIN SMALL LETTER SHARP S}".encode(),
    b"caf\xe9",
    b"\xff\xfe",
    b"\xed\xa0\x80",
    b"CON",
    b"aux",
    b"NUL.txt",
    b"COM1",
    b"_dlt_loads",
    b"x" * 246,
    "\N{CROCODILE}".encode() * 61,
]
"""Names of categories, defect types and stems of files, as bytes; none is longer than 246."""

TWICE = "e\N{COMBINING ACUTE ACCENT}".encode()
"""Another spelling of one of them."""

WHOLE_MASK = bytes([1] * 48)


def as_spelled(name: bytes) -> str:
    return name.decode("utf-8", "backslashreplace")


def shown(name: bytes) -> str:
    return unicodedata.normalize("NFC", as_spelled(name))


def expected_samples() -> dict[str, bytes | None]:
    """Return the expected samples for every name: a good image, and a defect with its mask."""
    samples: dict[str, bytes | None] = {}
    for name in map(shown, NAMES):
        samples[f"{name}/train/good/{name}.png"] = None
        samples[f"{name}/test/{name}/{name}.PNG"] = WHOLE_MASK
    return samples


@pytest.fixture(scope="module")
def loaded(tmp_path_factory: pytest.TempPathFactory) -> tuple[Project, Outcome]:
    """Load all names in one root."""
    project = Project.at(tmp_path_factory.mktemp("names"))
    root = project.folder / "mvtec_ad"
    whole = png(mask((0, 0, *SIZE)))
    try:
        for seed, name in enumerate([*NAMES, TWICE]):
            write(root, b"%s/train/good/%s.png" % (name, name), content=png(noise(seed)))
            write(root, b"%s/test/%s/%s.PNG" % (name, name, name), content=png(noise(seed)))
            path = b"%s/ground_truth/%s/%s_mask.png" % (name, name, name)
            write(root, path, content=whole)
    except OSError as error:
        pytest.skip(f"this file system has no such names: {error}")
    return project, load_all(project)


def test_every_name_is_loaded_with_its_image_and_its_mask(loaded: tuple[Project, Outcome]) -> None:
    _, outcome = loaded
    name = TWICE.decode()
    assert outcome.rejected == {}
    assert outcome.strays == {
        f"{name}/train/good/{name}.png": "ambiguous_name",
        f"{name}/test/{name}/{name}.PNG": "ambiguous_name",
        f"{name}/ground_truth/{name}/{name}_mask.png": "ambiguous_name",
    }
    assert outcome.samples == expected_samples()


def test_every_name_has_the_pixels_of_its_own_file(loaded: tuple[Project, Outcome]) -> None:
    project, _ = loaded
    for seed, name in enumerate(map(shown, NAMES)):
        expected = noise(seed).resize((6, 8), Image.Resampling.LANCZOS)
        made = project.tensor(f"mvtec_ad/{name}/train/good/{name}.png")
        assert np.array_equal(made, np.asarray(expected)), name


def test_category_defect_type_and_file_name_are_columns_of_the_sample(
    loaded: tuple[Project, Outcome],
) -> None:
    rows = loaded[0].rows(
        "SELECT category, defect_type, filename FROM anomaly.samples WHERE label = 'anomalous'"
    )
    assert set(rows) == {(name, name, f"{name}.PNG") for name in map(shown, NAMES)}


def test_addresses_lead_back_to_the_files(loaded: tuple[Project, Outcome]) -> None:
    project, _ = loaded
    root = open_root(str(project.folder / "mvtec_ad"))
    addresses = project.column("SELECT source_uri FROM images ORDER BY source_uri")
    paths = {os.fsencode(root.path_of(uri) or "") for uri in addresses}
    good = {b"%s/train/good/%s.png" % (name, name) for name in NAMES}
    assert paths == good | {b"%s/test/%s/%s.PNG" % (name, name, name) for name in NAMES}


def test_a_reload_changes_nothing_and_each_category_can_be_reloaded_alone(
    loaded: tuple[Project, Outcome],
) -> None:
    project, outcome = loaded
    location = str(project.folder / "mvtec_ad")
    assert not load(MVTEC, location, project.warehouse).any_change
    os.utime(os.path.join(os.fsencode(location), NAMES[6], b"train/good", NAMES[6] + b".png"))
    found = load(MVTEC, location, project.warehouse, categories=[shown(NAMES[6])])
    changes = found.tables["images"]
    assert (changes.inserted, changes.updated, changes.deleted) == (0, 1, 0)
    assert project.build().decoded == 1
    assert outcome_of(project).samples == outcome.samples


def test_no_table_is_gone_and_none_is_new(loaded: tuple[Project, Outcome], tmp_path: Path) -> None:
    plain = Project.at(tmp_path)
    plain.save({"mvtec_ad/bottle/train/good/000.png": noise(0)})
    load_all(plain)
    query = """
        SELECT schema_name, table_name
        FROM duckdb_tables()
        WHERE NOT ends_with(schema_name, '_staging') -- only a reload that changes rows has them
        ORDER BY ALL
    """
    assert loaded[0].rows(query) == plain.rows(query)


def test_names_of_255_bytes_are_loaded(tmp_path: Path) -> None:
    project = Project.at(tmp_path)
    folder, name = "f" * 255, "n" * 251 + ".png"
    project.save({f"mvtec_ad/{folder}/test/{folder}/{name}": noise(0)})
    outcome = load_all(project)
    assert outcome.samples == {f"{folder}/test/{folder}/{name}": None}
    assert outcome.strays == {}


def test_strays_of_any_name_are_named_and_no_message_is_more_than_their_names(
    tmp_path: Path,
) -> None:
    project = Project.at(tmp_path)
    root = project.folder / "mvtec_ad"
    project.save({"mvtec_ad/bottle/train/good/000.png": noise(0)})
    try:
        write(root, *(b"%s/%s.png" % (name, name) for name in NAMES))
    except OSError as error:
        pytest.skip(f"this file system has no such names: {error}")
    outcome = load_all(project)
    assert outcome.samples.keys() == {"bottle/train/good/000.png"}
    names = [f"{name}/{name}.png" for name in map(as_spelled, NAMES)]
    assert outcome.strays == dict.fromkeys(names, "unrecognised_path")
    found = finding(project, "files_are_recognised")
    assert (found.count, len(found.shown)) == (len(NAMES), 20)


def test_names_in_a_zip_lead_nowhere_else(tmp_path: Path) -> None:
    outside = write(tmp_path / "outside", "train/good/000.png", content=png(noise(9)))
    unsafe = [
        "../bottle/train/good/000.png",
        "../../etc/train/good/000.png",
        "bottle/train/../000.png",
        "bottle/../train/000.png",
        "../train/good/000.png",
        "./train/good/000.png",
        "/train/good/000.png",
        "//bottle/train/good/000.png",
        "bottle//train/good/000.png",
        f"{outside}/train/good/000.png",
    ]
    loaded = ["bottle/train/good/000.png", "C:/train/good/000.png", "a\\..\\x/train/good/000.png"]
    archive = tmp_path / "mvtec.zip"
    with zipfile.ZipFile(archive, "w") as target:
        for name in [*unsafe, *loaded, "a\\..\\x.png", "C:\\bottle\\train\\good\\000.png"]:
            target.writestr(name, png(noise(1)))
    before = set(tmp_path.rglob("*"))
    project = Project.at(tmp_path)

    outcome = load_all(project, location=str(archive))

    assert outcome.samples == dict.fromkeys(loaded)
    assert outcome.strays == dict.fromkeys(unsafe, "unsafe_path") | {
        "a\\..\\x.png": "unrecognised_path",
        "C:\\bottle\\train\\good\\000.png": "unrecognised_path",
    }
    assert offenders(project, "files_are_recognised") == outcome.strays
    new = {path.name for path in set(tmp_path.rglob("*")) - before}
    assert new <= {"warehouse.duckdb", "warehouse.duckdb.lock", "warehouse.duckdb.holder"}
