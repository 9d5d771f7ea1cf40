"""Test that numbers on command lines have bounds, and a message with the bound."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from anomaly_assets.arguments import at_least, whole_number
from anomaly_assets.excerpt import main as excerpt
from anomaly_assets.warehouse.__main__ import main as warehouse

PROJECT_ROOT = Path(__file__).parents[1]
CHECKED_OTHERWISE = {
    *(("examples/dask/run.py", name) for name in ("--workers", "--threads")),
    *(("anomaly_assets/cli/split.py", name) for name in ("--val", "--test", "--folds")),
}
"""A script that imports nothing of the project has checks of its own; `Plan` has those of assignments."""


@pytest.mark.parametrize("text", ["-1", "0.5", "", "one", "0x1", "1e3", "²", "٣", "1_0"])
def test_what_is_no_whole_number_from_the_bound_on_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="^'.*': use a whole number of at least 0.$"):
        whole_number(text, 0)


def test_a_bound_is_the_smallest_number_that_is_taken() -> None:
    assert at_least(2)("2") == 2
    with pytest.raises(ValueError, match="'1': use a whole number of at least 2."):
        whole_number("1", 2)
    with pytest.raises(ValueError, match="of at least 1 and at most 9 digits."):
        whole_number("1000000000", 1)


@pytest.mark.parametrize("given", ["--keep=-1", "--keep=-1000000", "--keep=1.5"])
def test_a_negative_number_of_publications_to_keep_is_refused(
    given: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit, match="2"):
        warehouse(["expire", given])
    value = given.partition("=")[2]
    said = f"Invalid value for '--keep': {value!r}: use a whole number of at least 0.\n"
    assert capsys.readouterr().err.endswith(said)


def test_an_excerpt_of_no_image_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit, match="2"):
        excerpt(["--root", "anywhere", "--out", str(tmp_path / "out"), "--per-kind", "0"])
    said = "Invalid value for '--per-kind': '0': use a whole number of at least 1."
    assert said in capsys.readouterr().err


def test_no_command_takes_a_number_without_a_bound() -> None:
    """Allow only seeds without a bound, because a seed is any whole number."""
    found = {
        (path.relative_to(PROJECT_ROOT).as_posix(), name)
        for folder in (
            "anomaly_assets",
            "anomaly_assets_tests",
            "benchmarks",
            "examples",
            "notebooks",
        )
        for path in (PROJECT_ROOT / folder).rglob("*.py")
        for name in re.findall(
            r'(?:add_argument|option)\(\s*"(--[\w-]+)",\s*type=(?:int|float)\b', path.read_text()
        )
        if name != "--seed"
    }
    assert found == CHECKED_OTHERWISE
