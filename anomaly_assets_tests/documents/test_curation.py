"""Test that the blocks of docs/curation.md run on the sample data and give the output of the page."""

from __future__ import annotations

from pathlib import Path

import pytest

from anomaly_assets_tests.assets.environment import Environment
from anomaly_assets_tests.assets.runs import run_job
from anomaly_assets_tests.documents.markdown import PROJECT, Block, blocks

PAGE = "docs/curation.md"
BLOCKS = {block.first_line: block for block in reversed(blocks(PROJECT, PAGE)) if block.language}

pytestmark = pytest.mark.slow


def executed(block: Block, environment: Environment, capsys: pytest.CaptureFixture[str]) -> str:
    """Run a block of Python on the published database of this test; return what it prints."""
    code = block.text.replace("data/anomaly.duckdb", str(environment.database))
    exec(compile(code, f"{PAGE}:{block.line}", "exec"), {})
    return capsys.readouterr().out


def test_corrections(
    samples: Environment,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    file = tmp_path / "corrections.csv"
    file.write_text(BLOCKS["image_id,content_sha256,field,value,reason,by,at"].text)
    command = BLOCKS["ANOMALY_CORRECTIONS=corrections.csv make materialize"].text
    name, _, value = command.split()[0].partition("=")
    monkeypatch.setenv(name, str(tmp_path / value))
    assert run_job().success
    capsys.readouterr()
    block = BLOCKS["import duckdb"]
    assert executed(block, samples, capsys) == block.output
    query = "SELECT label, defect_type FROM anomaly.samples WHERE image_id LIKE '%woven/train/good/003%'"
    assert samples.query(query) == [("anomalous", "stain")]
