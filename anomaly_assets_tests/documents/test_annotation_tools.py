"""Execute the section on annotation tools of docs/curation.md, in order and in a clean copy of the project.

Only Label Studio is replaced, by a file as it exports it.
"""

from __future__ import annotations

import json
import re

import pytest

from anomaly_assets_tests.documents.checkout import Checkout
from anomaly_assets_tests.documents.markdown import PROJECT, blocks
from anomaly_assets_tests.export.annotation.answered import chosen, exported_tasks, submitted

TEXT = (PROJECT / "docs/curation.md").read_text("utf-8")
SECTION = TEXT.partition("\n## Annotation tools\n")[2].partition("\n## ")[0]
BLOCKS = [
    block
    for block in blocks(PROJECT, "docs/curation.md")
    if block.language == "sh" and block.text in SECTION
]
CORRECTED = "dagm_2007/Class1/Train/0012.PNG"


def without_ids(text: str | None) -> str:
    """Return a text without the ids of snapshots and contents, which another release may change."""
    return re.sub(r"\b(SHA256|[0-9a-f]{64}|[0-9a-f]{12})\b", "ID", str(text))


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_label_is_exported_corrected_and_imported(checkout: Checkout) -> None:
    export, compare, write = BLOCKS
    assert checkout.first_run
    assert without_ids(checkout.run(export.text)) == without_ids(export.output)
    tasks = {
        task["data"]["image_id"]: submitted(task)
        for task in exported_tasks(checkout.folder / "export/review")
    }
    reason = {
        "from_name": "reason",
        "type": "textarea",
        "value": {"text": ["dust, not a defect"]},
    }
    tasks[CORRECTED]["annotations"][0]["result"] = [chosen("label", "good"), reason]
    returned = json.dumps([*tasks.values()])
    (checkout.folder / "project-1.json").write_text(returned, "utf-8")
    file = checkout.folder / "corrections.csv"
    assert without_ids(checkout.run(compare.text)) == without_ids(compare.output)
    assert not file.exists()
    assert without_ids(checkout.run(write.text)) == without_ids(write.output)
    assert file.read_text("utf-8").splitlines()[1].startswith(f"{CORRECTED},")
