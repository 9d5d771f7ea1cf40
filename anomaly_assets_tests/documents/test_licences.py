"""Execute the section on licences of docs/curation.md, in its order and in a clean copy of the project."""

from __future__ import annotations

import json
from importlib.util import find_spec

import pytest

from anomaly_assets.datasets import SOURCE_DATASETS
from anomaly_assets.datasets.declaration_files import BUILT_IN, built_in_declaration
from anomaly_assets_tests.datasets.declared import declarations
from anomaly_assets_tests.documents.checkout import Checkout
from anomaly_assets_tests.documents.markdown import PROJECT, blocks

TEXT = (PROJECT / "docs/curation.md").read_text("utf-8")
SECTION = TEXT.partition("\n## Licences and commercial use\n")[2].partition("\n## ")[0]
BLOCKS = [block for block in blocks(PROJECT, "docs/curation.md") if block.text in SECTION]


def test_the_table_has_the_terms_of_every_built_in_dataset() -> None:
    rows = [line.split(" | ") for line in SECTION.splitlines() if line.startswith("| `")]
    for name in BUILT_IN:
        declared = built_in_declaration(name)
        [(_, licence, use)] = [row for row in rows if f"`{name}`" in row[0]]
        assert (licence, use.rstrip(" |")) == (declared.licence, declared.commercial_use)


def test_the_declarations_of_the_page_allow_commercial_use() -> None:
    [text] = [block.text for block in BLOCKS if block.language == "toml"]
    found = declarations(text)
    assert {name: each.commercial_use for name, each in found.items()} == {
        "line4": "allowed",
        "mvtec_ad": "allowed",
    }
    assert found["mvtec_ad"].licence == SOURCE_DATASETS["mvtec_ad"].licence


@pytest.mark.slow
def test_commercial_samples_are_read_and_exported(checkout: Checkout) -> None:
    assert checkout.first_run
    code, export = (block for block in BLOCKS if block.language in ("python", "sh"))
    (checkout.folder / "page.py").write_text(code.text, "utf-8")
    assert checkout.run(".venv/bin/python page.py") == code.output
    assert checkout.run(export.text) == export.output
    described = json.loads((checkout.folder / "export/free/croissant.json").read_text("utf-8"))
    assert described["license"] == ["https://spdx.org/licenses/CC-BY-4.0.html"]
    if find_spec("mlcroissant"):
        page = (PROJECT / "docs/exporting.md").read_text("utf-8")
        lines = page.partition("```python\nimport mlcroissant\n")[2].partition("```")[0]
        script = f"import mlcroissant\n{lines}".replace("DIR", "export/free")
        (checkout.folder / "described.py").write_text(script, "utf-8")
        checkout.run(".venv/bin/python described.py")
