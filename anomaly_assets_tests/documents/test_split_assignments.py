"""Execute the section on split assignments of docs/curation.md, in its order and in a clean copy."""

from __future__ import annotations

import duckdb
import pytest

from anomaly_assets_tests.documents.checkout import Checkout
from anomaly_assets_tests.documents.markdown import PROJECT, blocks

TEXT = (PROJECT / "docs/curation.md").read_text("utf-8")
SECTION = TEXT.partition("\n## Split assignments\n")[2].partition("\n## ")[0]
BLOCKS = [block for block in blocks(PROJECT, "docs/curation.md") if block.text in SECTION]


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_an_assignment_is_made_published_read_and_exported(checkout: Checkout) -> None:
    split, code, export, query = BLOCKS
    assert checkout.first_run
    checkout.run("git init -q")
    printed = checkout.run(split.text)
    assert printed.startswith(str(split.output))
    assert checkout.run("git status --porcelain splits") == "A  splits/v1.csv\n"
    (checkout.folder / "page.py").write_text(code.text, "utf-8")
    assert checkout.run(".venv/bin/python page.py") == code.output
    checkout.run(export.text)
    files = {path.name[:5] for path in (checkout.folder / "export/v1/data").iterdir()}
    assert files == {"train", "valid", "test-"}
    database = str(checkout.folder / "data/anomaly.duckdb")
    with duckdb.connect(database, read_only=True) as connection:
        assert str(connection.sql(query.text)).rstrip() == str(query.output).rstrip()
