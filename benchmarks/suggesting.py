"""Measure suggested declarations: images classified as in the truth, for each of twenty trees.

    python -m benchmarks.suggesting [--show TREE]

An image of the truth that is missing counts as wrong, and so does a file that is taken for an image.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

from anomaly_assets_tests.suggesting.measured import Score, measured
from anomaly_assets_tests.suggesting.trees import TREES


def main() -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.suggesting", description=__doc__)
    parser.add_argument(
        "--show", default="", metavar="TREE", help="print the suggestion for a tree"
    )
    options = parser.parse_args()
    reached = 0
    with tempfile.TemporaryDirectory(prefix="anomaly-suggest-") as work:
        for name, tree in TREES.items():
            if options.show not in ("", name):
                continue
            if tree.real is not None and not tree.real.is_dir():
                print(f"{name:14} left out: the real excerpt is not there")
                continue
            score = measured(tree, Path(work) / name)
            reached += score.is_reached
            print(f"{name:14} {_line(score)}")
            if options.show:
                print(score.suggestion.toml or score.suggestion.cannot)
                for path, (expected, found) in list(score.wrong.items())[:12]:
                    print(f"  {path}\n    expected {expected}\n    found    {found}")
    if not options.show:
        print(f"{reached} of {len(TREES)} trees as they should be")


def _line(score: Score) -> str:
    if score.suggestion.cannot is not None:
        return "cannot" + ("" if score.is_reached else ", but should")
    share = f"{score.right / score.images:7.1%}"
    masks = f"{score.paired} of {score.masks} with their masks" if score.masks else ""
    return f"{share} of {score.images:3} images {masks}" + (
        "" if score.is_reached else "  <- below"
    )


if __name__ == "__main__":
    main()
