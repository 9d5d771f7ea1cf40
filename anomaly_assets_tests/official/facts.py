"""Read published facts about MVTec AD and DAGM 2007."""

import json
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any


@cache
def published_facts() -> Mapping[str, Any]:
    """Return sizes, modes, images per kind, and masks, by dataset and category."""
    facts: Mapping[str, Any] = json.loads(
        Path(__file__).with_name("official_counts.json").read_text("utf-8")
    )
    return facts
