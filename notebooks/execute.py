"""Execute every notebook below this folder from a clean state; `make notebooks` runs it.

Each notebook runs in its own folder of a copy of the project, without files that git ignores. So a notebook
finds only files that a clone has, and its own files are deleted with the copy. Cells that install packages
are left out, because the environment has all packages. The first error ends the run, with the cell and the
traceback.

    python notebooks/execute.py [NOTEBOOK ...]
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import nbformat
from nbclient import NotebookClient

PROJECT = Path(__file__).parents[1]
CELL_SECONDS = 600


def execute(notebook: nbformat.NotebookNode, folder: Path) -> nbformat.NotebookNode:
    """Run all cells in a folder, with outputs kept in the notebook.

    Raises:
        nbclient.exceptions.CellExecutionError: A cell has failed.
    """
    notebook.cells = [cell for cell in notebook.cells if not _installs(cell)]
    client = NotebookClient(
        notebook,
        timeout=CELL_SECONDS,
        startup_timeout=CELL_SECONDS,  # of its kernel, on a machine that has other things to do
        resources={"metadata": {"path": str(folder)}},
        extra_arguments=["--log-level=ERROR"],
    )
    client.execute()
    return notebook


def main(names: list[str]) -> None:
    """Execute these notebooks, or all of them."""
    tracked = _git("ls-files", "--cached", "--others", "--exclude-standard")
    notebooks = names or sorted(
        name for name in tracked if name.startswith("notebooks/") and name.endswith(".ipynb")
    )
    # Workshop: the same on every machine. The others: the modules that they import are in the copy.
    os.environ.setdefault("WORKSHOP_API", "stand-in")
    for name in notebooks:
        with tempfile.TemporaryDirectory() as folder:
            copy = Path(folder) / "project"
            for file in tracked:
                if (PROJECT / file).is_file():
                    (copy / file).parent.mkdir(parents=True, exist_ok=True)
                    shutil.copy(PROJECT / file, copy / file)
            os.environ["PYTHONPATH"] = str(copy)
            began = time.monotonic()
            execute(nbformat.read(copy / name, as_version=4), (copy / name).parent)
            print(f"{name}: {time.monotonic() - began:.1f} s", flush=True)


def _installs(cell: nbformat.NotebookNode) -> bool:
    return cell.cell_type == "code" and cell.source.lstrip().startswith(("%pip", "!pip"))


def _git(*arguments: str) -> list[str]:
    command = ["git", "-C", str(PROJECT), *arguments, "-z"]
    listed = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    return [name for name in listed.split("\0") if name]


if __name__ == "__main__":
    main(sys.argv[1:])
