"""Read the files of the workshop: modules beside notebooks, blocks of Markdown."""

import importlib.util
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

FOLDER = Path(__file__).parents[2] / "notebooks" / "workshop"


def module(name: str) -> ModuleType:
    """Import a module of the workshop under the name that the notebooks use."""
    if name not in sys.modules:
        spec = importlib.util.spec_from_file_location(name, FOLDER / f"{name}.py")
        assert spec is not None
        assert spec.loader is not None
        sys.modules[name] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(sys.modules[name])
    return sys.modules[name]


def text(name: str) -> str:
    """Return a document of the workshop."""
    return (FOLDER / name).read_text("utf-8")


def blocks(name: str, language: str) -> Iterator[str]:
    """Yield the fenced blocks of a document in one language, given as after the fence."""
    for block in re.finditer(rf"^```{language}\n(.*?)^```", text(name), re.MULTILINE | re.DOTALL):
        yield block[1]
