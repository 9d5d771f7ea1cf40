"""Execute the sections on the history and on notices of docs/curation.md, in a clean copy."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from anomaly_assets.notify import refuse_unusable
from anomaly_assets.settings import notify_addresses
from anomaly_assets_tests.documents.checkout import Checkout
from anomaly_assets_tests.documents.markdown import PROJECT, Block, blocks
from anomaly_assets_tests.documents.test_commands import _offline

TEXT = (PROJECT / "docs/curation.md").read_text("utf-8")


def commands(heading: str) -> list[Block]:
    """Return the blocks of one section that a shell executes."""
    section = TEXT.partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
    found = blocks(PROJECT, "docs/curation.md")
    return [block for block in found if block.language == "sh" and block.text in section]


@pytest.mark.slow
def test_the_log_prints_what_the_first_run_did(checkout: Checkout) -> None:
    assert checkout.first_run
    [log] = commands("History")
    first, *lines = checkout.run(log.text).splitlines()
    assert first == (log.output or "").partition("\n")[0]
    assert all(len(line) <= 80 for line in lines if "file:///" not in line)
    published = r"[-0-9]{10} [0-9:]{5}  published [0-9]+ samples of "
    assert any(re.match(published, line) for line in lines)


@pytest.mark.slow
def test_the_extra_of_the_page_exists(checkout: Checkout, tmp_path: Path) -> None:
    install, _ = commands("Notices")
    printed = checkout.run(_offline(install.text, tmp_path))
    assert "Successfully installed anomaly_assets" in printed.replace("-", "_")
    assert "does not provide the extra" not in printed


@pytest.mark.slow
def test_apprise_can_use_the_addresses_of_the_page() -> None:
    _, export = commands("Notices")
    [value] = re.findall(r"^export ANOMALY_NOTIFY='(.*)'$", export.text)
    addresses = notify_addresses({"ANOMALY_NOTIFY": value})
    assert [each.partition(":")[0] for each in addresses] == ["mailto", "slack"]
    refuse_unusable(addresses)
