"""Play an annotation tool: exports to Label Studio and COCO, and files that come back."""

from __future__ import annotations

import json
from copy import deepcopy
from pathlib import Path
from typing import Any

from anomaly_assets.export.annotation.returned import Returned, returned

CRACK = "mvtec_ad/bottle/test/crack/000.png"
UNMASKED = "mvtec_ad/bottle/test/crack/001.png"
GOOD = "mvtec_ad/bottle/test/good/000.png"
OTHERWISE = {"by": "ana", "at": "2026-01-02T03:04:05+00:00", "reason": "second look"}


def exported_tasks(folder: Path) -> list[dict[str, Any]]:
    """Return the tasks of an export."""
    return list(json.loads((folder / "tasks.json").read_text("utf-8")))


def submitted(task: dict[str, Any], **changes: Any) -> dict[str, Any]:
    """Return a task as Label Studio exports it with an annotation that is its prediction, unchanged."""
    result = [
        {**deepcopy(each), "origin": "prediction"} for each in task["predictions"][0]["result"]
    ]
    annotation = {
        "id": 7,
        "completed_by": {"id": 1, "email": "bo@example.com", "first_name": "", "last_name": ""},
        "result": result,
        "was_cancelled": False,
        "created_at": "2026-03-04T05:06:07.000000Z",
        "updated_at": "2026-03-04T05:06:08.000000Z",
        **changes,
    }
    return {"id": 3, "data": task["data"], "annotations": [annotation], "predictions": []}


def chosen(name: str, value: str) -> dict[str, Any]:
    """Return the result of a choice."""
    return {
        "id": f"{name}-new",
        "from_name": name,
        "to_name": "image",
        "type": "choices",
        "origin": "manual",
        "value": {"choices": [value]},
    }


def compared(content: Any, export: Path, tmp_path: Path) -> Returned:
    """Return the differences between a file with this content and an export."""
    file = tmp_path / "returned.json"
    file.write_text(json.dumps(content), "utf-8")
    return returned(file, export, **OTHERWISE)


def corrections(found: Returned) -> list[tuple[str, str, str]]:
    """Return image, field and value of all corrections."""
    return [(line.image_id, line.field, line.value) for line in found.lines]
