"""Make the name of a source dataset from the name of a folder."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Collection

from anomaly_assets.datasets.declaration_files import BUILT_IN
from anomaly_assets.datasets.source_dataset import name_fault, taken_names

_SPELLED = {"ä": "ae", "ö": "oe", "ü": "ue", "ß": "ss", "ø": "o", "æ": "ae", "ł": "l"}
_MOST = 36


def valid_name(folder: str, allowed: Collection[str] = ()) -> str:
    """Return a valid name that is similar to that of a folder.

    Args:
        folder: Name of the folder.
        allowed: Names of built-in datasets that may be used.
    """
    text = unicodedata.normalize("NFC", folder).casefold()
    text = "".join(_SPELLED.get(letter, letter) for letter in text)
    text = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode()
    name = "_".join(re.findall("[a-z0-9]+", text))[:_MOST].strip("_")
    if not name[:1].isalpha():
        name = f"images_{name}".strip("_")[:_MOST].strip("_")
    if name.endswith("_staging"):
        name += "_1"
    if (name in BUILT_IN and name not in allowed) or name in taken_names():
        name += "_own"
    assert name_fault(name) is None, name
    return name
