"""Test the commands of docs/your-own-data.md, from an unknown folder to a batch; blocks of declarations.md.

Only `/data/line4` is replaced, by a folder that is generated here.
"""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from anomaly_assets.datasets.declaration import DEFAULT_WORDS
from anomaly_assets.datasets.declaration_files import KEYS, declared, tomllib
from anomaly_assets_tests.documents.checkout import Checkout
from anomaly_assets_tests.documents.markdown import PROJECT, blocks
from anomaly_assets_tests.warehouse.project import mask, noise

PAGE = "docs/your-own-data.md"
REFERENCE = "docs/declarations.md"
ON_THE_PAGE = "/data/line4"

pytestmark = pytest.mark.timeout(600)


def write_line4(root: Path) -> None:
    """Write the folder of the page: good images, two kinds of defects, masks in a tree of their own."""
    pictures = {
        **{f"train/ok/{n:03}.jpg": noise(n) for n in range(12)},
        **{f"test/ok/{n:03}.jpg": noise(100 + n) for n in range(6)},
    }
    for n in range(6):
        defect = "dent" if n < 4 else "scratch"
        pictures[f"test/{defect}/{n:03}.jpg"] = noise(200 + n)
        pictures[f"masks/{defect}/{n:03}.png"] = mask((2, 2, 6, 5))
    for path, picture in pictures.items():
        place = root / "lid" / path
        place.parent.mkdir(parents=True, exist_ok=True)
        picture.save(place)
    (root / "notes").mkdir()
    (root / "notes" / "shift2.xlsx").write_bytes(b"PK")


@pytest.mark.slow
def test_the_page_leads_from_a_folder_to_a_batch(tmp_path: Path) -> None:
    root = tmp_path / "line4"
    write_line4(root)
    (tmp_path / "checkout").mkdir()
    checkout = Checkout(PROJECT, tmp_path / "checkout")
    checkout.run("make .venv/bin/anomaly-assets")
    text = (PROJECT / PAGE).read_text("utf-8")
    fences = re.findall(r"^```(\w*)\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    assert [language for language, _ in fences] == ["sh", "", "sh", "python", ""]
    (_, commands), (_, report), (_, load), (_, code), (_, printed) = fences
    assert checkout.run(commands.replace(ON_THE_PAGE, str(root))) == report.replace(
        ON_THE_PAGE, str(root)
    )
    checkout.run(load)
    (checkout.folder / "page.py").write_text(code)
    assert checkout.run(".venv/bin/python page.py") == printed


@pytest.mark.parametrize("page", [PAGE, REFERENCE, "docs/adding-a-dataset.md"])
def test_every_declaration_of_a_page_can_be_used(page: str) -> None:
    for block in blocks(PROJECT, page):
        if block.language == "toml":
            found = declared({"page.toml": block.text.encode()})
            assert [str(problem) for problem in found.problems] == [], f"{page}:{block.line}"
            assert found.declarations, f"{page}:{block.line}"


def test_every_declaration_of_a_page_fits_the_schema_of_editors() -> None:
    jsonschema = pytest.importorskip("jsonschema")
    path = PROJECT / "anomaly_assets/datasets/declaration.schema.json"
    validator = jsonschema.Draft7Validator(json.loads(path.read_text("utf-8")))
    for page in (PAGE, REFERENCE):
        for block in blocks(PROJECT, page):
            if block.language == "toml":
                validator.validate(tomllib.loads(block.text))


def test_the_reference_names_every_key_and_every_word() -> None:
    text = (PROJECT / REFERENCE).read_text("utf-8")
    assert not [key for key in KEYS if f"`{key}`" not in text]
    sentence = text[text.index("Words for good:") :].partition("\n\n")[0]
    listed = set(re.findall(r"[a-z01]+", sentence))
    assert not [word for words in DEFAULT_WORDS.values() for word in words if word not in listed]
