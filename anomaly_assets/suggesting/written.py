"""Write a declaration as TOML with comments."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from anomaly_assets.datasets.names import shown

_WIDTH = 100


def value(item: Any) -> str:
    """Return a value as TOML."""
    if isinstance(item, Mapping):
        pairs = ", ".join(f"{_key(key)} = {value(each)}" for key, each in item.items())
        return f"{{ {pairs} }}"
    if isinstance(item, (list, tuple)):
        return f"[{', '.join(map(value, item))}]"
    if isinstance(item, Raw):
        return item.text
    # JSON escapes every character that TOML requires, except DEL. TOML cannot hold bytes that are not text.
    return json.dumps(shown(item), ensure_ascii=False).replace("\x7f", "\\u007f")


class Raw:
    """A value that is TOML already."""

    def __init__(self, text: str) -> None:
        self.text = text


def _key(key: str) -> str:
    return key if key.replace("_", "").isalnum() and key.isascii() else json.dumps(key)


def entries(kind: str, found: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return the lines of a list of patterns; one with a path alone is only its text."""
    if not found:
        return []
    texts = [value(dict(each)) if len(each) > 1 else value(each["path"]) for each in found]
    one = f"{kind} = [{', '.join(texts)}]"
    if len(texts) == 1 and len(one) <= _WIDTH:
        return [one]
    return [f"{kind} = [", *(f"  {text}," for text in texts), "]"]


def comment(sentence: str) -> list[str]:
    """Return a sentence as lines of comment."""
    return [f"# {line}" for line in textwrap.wrap(shown(sentence), _WIDTH - 2)]


def listed(texts: Iterable[str], most: int = 6) -> str:
    """Format the first `most` texts for a sentence, sorted and in quotation marks, and count the others."""
    found = sorted(texts)
    more = f" and {len(found) - most} more" if len(found) > most else ""
    return ", ".join(f'"{shown(text)}"' for text in found[:most]) + more
