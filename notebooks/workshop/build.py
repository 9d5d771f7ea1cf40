"""Make participant.ipynb and solution.ipynb from source.py, so that they never drift apart.

python notebooks/workshop/build.py
"""

from __future__ import annotations

import re
from pathlib import Path

import nbformat
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

HERE = Path(__file__).parent
_CELL = re.compile(r"^# %% (\[markdown\] )?(\S+)\n", re.MULTILINE)


def participant() -> nbformat.NotebookNode:
    """Return the notebook with every step unsolved."""
    return _notebook([(kind, name, _unsolved(text)) for kind, name, text in _cells()])


def solution() -> nbformat.NotebookNode:
    """Return the notebook with every step solved."""
    return _notebook([(kind, name, _solved(text)) for kind, name, text in _cells()])


def rehearsal() -> nbformat.NotebookNode:
    """Return a notebook for the tests: each step unsolved, its checkpoint, solved, and its checkpoint."""
    cells: list[tuple[str, str, str]] = []
    unsolved: list[tuple[str, str, str]] = []
    for kind, name, text in _cells():
        if "# ?" in text:
            unsolved = [(kind, f"{name}-unsolved", _unsolved(text))]
        elif unsolved and name.endswith("-check"):
            *before, solved = cells
            cells = [*before, *unsolved, (kind, f"{name}-unsolved", text), solved]
            unsolved = []
        cells.append((kind, name, _solved(text)))
    return _notebook(cells)


def main() -> None:
    """Write both notebooks."""
    for name, notebook in (("participant", participant()), ("solution", solution())):
        nbformat.write(notebook, HERE / f"{name}.ipynb")


def _cells() -> list[tuple[str, str, str]]:
    """Return kind, name and text of each cell of the source."""
    _, *parts = _CELL.split((HERE / "source.py").read_text("utf-8"))
    return [
        ("markdown" if kind else "code", name, text.strip("\n"))
        for kind, name, text in zip(parts[::3], parts[1::3], parts[2::3], strict=True)
    ]


def _solved(text: str) -> str:
    kept = [line for line in text.split("\n") if not line.lstrip().startswith("# ?")]
    return "\n".join(kept)


def _unsolved(text: str) -> str:
    lines: list[str] = []
    replaced = False
    for line in text.split("\n"):
        if line.lstrip().startswith("# ?"):
            lines.append(line.replace("# ? ", "", 1))
            replaced = True
        elif not replaced:
            lines.append(line)
        else:
            replaced = False
    return "\n".join(lines)


def _notebook(cells: list[tuple[str, str, str]]) -> nbformat.NotebookNode:
    notebook = new_notebook(
        metadata={
            "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
            "language_info": {"name": "python"},
        }
    )
    for kind, name, text in cells:
        if kind == "markdown":
            text = re.sub(r"^# ?", "", text, flags=re.MULTILINE)
            notebook.cells.append(new_markdown_cell(text, id=name))
        else:
            text = re.sub(r"^# ! ", "", text, flags=re.MULTILINE)
            notebook.cells.append(new_code_cell(text, id=name))
    nbformat.validate(notebook)
    return notebook


if __name__ == "__main__":
    main()
