"""Execute the blocks of docs/evaluation.md in a clean copy, with the packaged network."""

from __future__ import annotations

import duckdb
import pytest

from anomaly_assets.evaluation.protocol import REASONS
from anomaly_assets.tables.registry import EVALUATION
from anomaly_assets_tests.documents.checkout import Checkout
from anomaly_assets_tests.documents.markdown import PROJECT, blocks

PAGE = "docs/evaluation.md"
BLOCKS = {block.language: block.text for block in blocks(PROJECT, PAGE)}


@pytest.mark.slow
def test_the_commands_and_queries_of_the_page_work(checkout: Checkout) -> None:
    pytest.importorskip("torch")
    pytest.importorskip("efficientnet_lite_pytorch")
    assert checkout.first_run
    install, evaluate = BLOCKS["sh"].splitlines()
    assert install == "pip install '.[baseline]'"
    printed = checkout.run(f".venv/bin/{evaluate} --category bolt --category Class1")
    assert "mvtec_ad/bolt     256x256x3" in printed
    assert "dagm_2007/Class1  512x512x1" in printed
    with duckdb.connect(str(checkout.folder / "data/anomaly.duckdb"), read_only=True) as connection:
        found = connection.execute(BLOCKS["sql"]).fetchall()
        assert {row[3] for row in found} >= {"image_auroc", "aupro"}
        assert all(row[4] is None for row in found)  # the samples have fewer than 10 images
    (checkout.folder / "scores.py").write_text(BLOCKS["python"], "utf-8")
    scored = checkout.run(".venv/bin/python scores.py").splitlines()
    assert scored[0].split() == ["image_id", "score", "above_threshold"]
    assert len(scored) == 6


def test_the_page_has_every_table_and_every_reason_of_its_protocol() -> None:
    text = (PROJECT / PAGE).read_text("utf-8")
    assert all(f"`{name}`" in text for name in EVALUATION)
    assert {"no_split", "copy_of_test", "near_copy_of_test"} <= REASONS.keys()
    assert BLOCKS.keys() == {"sh", "sql", "python"}
