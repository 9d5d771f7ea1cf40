"""Test what `anomaly-assets evaluate` prints after its run."""

from __future__ import annotations

import pytest

from anomaly_assets.assets import evaluation as assets
from anomaly_assets.cli import evaluate
from anomaly_assets.cli.running import run
from anomaly_assets.evaluation import backbone, report


@pytest.mark.parametrize("why", [[], ["The results were not published: newer data wait."]])
def test_the_table_says_if_the_new_results_were_not_published(
    why: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(assets, "unpublished", why)
    monkeypatch.setattr(backbone, "open_backbone", lambda _: None)
    monkeypatch.setattr(evaluate, "run_graph", lambda *_, **__: False)
    monkeypatch.setattr(report, "metric_lines", lambda *_: ["category  recipe"])
    assert run(evaluate.command, [], "anomaly-assets evaluate") == 0
    said = [f"{each} The table shows the results that were published before." for each in why]
    assert capsys.readouterr().out.splitlines() == ["", *said, "category  recipe"]
