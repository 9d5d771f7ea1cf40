"""Test that every quoted message of the troubleshooting page is provoked and compared."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from anomaly_assets_tests.documents import provoke_reads, provoke_runs
from anomaly_assets_tests.documents.checkout import Checkout
from anomaly_assets_tests.documents.markdown import blocks
from anomaly_assets_tests.documents.scene import PROJECT, PROVOKED, Scene
from anomaly_assets_tests.warehouse.conftest import loaded_once, project
from anomaly_assets_tests.warehouse.project import Project

__all__ = ["loaded_once", "project", "provoke_reads", "provoke_runs"]

PAGE = "docs/troubleshooting.md"
QUOTED = [" ".join(block.text.split()) for block in blocks(PROJECT, PAGE) if not block.language]


@pytest.fixture
def scene(
    tmp_path: Path, project: Project, checkout: Checkout, monkeypatch: pytest.MonkeyPatch
) -> Scene:
    (tmp_path / "scene").mkdir()
    return Scene(tmp_path / "scene", project, checkout, monkeypatch)


@pytest.mark.parametrize("quoted", QUOTED)
def test_a_message_is_what_the_page_quotes(quoted: str, scene: Scene) -> None:
    [provoke] = [provoke for beginning, provoke in PROVOKED.items() if quoted.startswith(beginning)]
    try:
        message = str(provoke(scene))
    except Exception as error:
        message = f"{type(error).__name__}: {error} {error.args}"
    pattern = re.escape(quoted).replace("…", ".+?")
    assert re.search(pattern, " ".join(message.split())), message


def test_every_message_that_is_provoked_is_on_the_page() -> None:
    assert len(PROVOKED) == len(QUOTED)
    assert len(set(QUOTED)) == len(QUOTED)


def test_the_readme_quotes_the_same_messages() -> None:
    readme = (PROJECT / "README.md").read_text("utf-8")
    section = readme.partition("\n## Troubleshooting\n")[2].partition("\n## ")[0]
    rows = re.findall(r"^\| `(.+?)` \|", section, re.M)
    assert len(rows) > 5
    for message in rows:
        pattern = re.escape(message.rstrip(".")).replace("…", ".+?")
        assert any(re.search(pattern, quoted) for quoted in QUOTED), message
