"""Define words for splits and labels; words for labels match in upper and lower case."""

from __future__ import annotations

from typing import Literal, TypeAlias

Split: TypeAlias = Literal["train", "test", "validation", "unassigned"]
Label: TypeAlias = Literal["good", "anomalous"]

UNKNOWN = "unknown"
"""Label of an image without any evidence."""

UNSPECIFIED = "unspecified"
"""Defect type of an anomalous image in a layout without defect types."""

GOOD_WORDS = frozenset({"good", "ok", "normal", "0"})
ANOMALOUS_WORDS = frozenset(
    {"anomalous", "anomaly", "abnormal", "bad", "ko", "ng", "nok", "defect", "defective", "1"}
)


ACCEPTED_WORDS = (
    f"{', '.join(sorted(GOOD_WORDS))} mean good; {', '.join(sorted(ANOMALOUS_WORDS))} mean anomalous; "
    "unknown selects images without a label"
)
"""Words for labels, as a sentence of an error message."""


def label_meant(word: str) -> str:
    """Return the label that a word means; any other text is returned unchanged."""
    folded = word.casefold()
    if folded in GOOD_WORDS:
        return "good"
    return "anomalous" if folded in ANOMALOUS_WORDS else word
