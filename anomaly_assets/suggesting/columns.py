"""Find the role of a column of a table by the words in its cells and by its name."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence

from anomaly_assets.suggesting.words import is_label, is_split, kind_of, squeezed

_MOST_KINDS = 50

NAMES = {
    "split": "split subset set fold usage use partition phase menge verwendung teilmenge aufteilung",
    "label": "label class target anomaly isanomaly anomalous defect isdefect defective isdefective result "
    "status ng nok nio fehler ergebnis klasse verdict decision ok quality",
    "category": "category object product objekt kategorie produkt clsname part",
}
"""Names of columns by their role; a column whose cells are 0 and 1 needs such a name to have labels."""

_OF_DEFECTS = (
    "defecttype defect defects defectclass defectname fehlerart fehlertyp fehler failuretype failure fault "
    "faulttype anomalytype damage damagetype type class label"
)
"""Names of columns whose cells are defect types, so that `none` means good."""

_NONE = ("none", "keine", "keiner", "kein")
_ROUND = re.compile(r"([01])[.,]0+")
_YES = {"1": "anomalous", "0": "good", "true": "anomalous", "false": "good"}
_GOOD_IF_YES = ("ok", "isok", "good", "isgood", "quality", "passed", "pass", "io")


def role_of(column: str, cells: Sequence[str]) -> str | None:
    """Return the role of a column, by the words in its cells."""
    counted = Counter(filter(None, cells))
    if (
        not counted
        or len(counted) > _MOST_KINDS
        or (len(counted) > 3 and 2 * len(counted) > counted.total())
    ):
        return None
    name = squeezed(column)
    kinds = [kind_of(cell) for cell in counted]
    if all(is_split(kind) for kind in kinds):
        return "split"
    if all(label_of(column, cell) for cell in counted):
        return "label"
    has_none = name in _OF_DEFECTS.split() and any(cell.lower() in _NONE for cell in counted)
    if ("good" in kinds or has_none) and not any(is_split(kind) for kind in kinds):
        return "defect_type"
    return "category" if name in NAMES["category"].split() else None


def label_of(column: str, cell: str) -> str | None:
    """Return the label that a cell means."""
    kind = kind_of(cell)
    if is_label(kind):
        return kind
    name = squeezed(column)
    if cell.lower() in _NONE and name in _OF_DEFECTS.split():
        return "good"
    if whole := _ROUND.fullmatch(cell):
        cell = whole[1]
    if cell.lower() in _YES and name in NAMES["label"].split() and name not in _GOOD_IF_YES:
        return _YES[cell.lower()]
    return None
