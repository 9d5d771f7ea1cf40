"""Test the figures of `make bench`: which are measured, what is stored, and what the page shows."""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import duckdb
import pytest

from benchmarks import whole
from benchmarks.__main__ import FIGURES, PAGE, RESULTS
from benchmarks.bench import COMMON, Bench, FailedError, NotMeasuredError, python
from benchmarks.chart import draw, write_table
from benchmarks.figures import Figure, chosen, keep, measured
from benchmarks.trees import Pictures, Tree


def halves(bench: Bench) -> Iterator[float]:
    for _ in range(bench.pairs):
        yield 0.5


def missing(bench: Bench) -> Iterator[float]:
    yield from (_refused() for _ in range(bench.pairs))


def _refused() -> float:
    raise NotMeasuredError("a tool is not installed: make bench-writers")


def failing(bench: Bench) -> Iterator[float]:
    (bench.work / "leftover").mkdir()
    yield 0.5
    raise FailedError("materialize failed:\nlast line")


SOME = (
    Figure("first load / bare loop", halves, "<=", 0.62, True),
    Figure("Lance / first load", missing, ">=", 1.6, False),
    Figure("first load", halves, "<=", 1, False, pairs=2),
    Figure("command: peak memory", halves, "<=", 1000, True, tool="lance", unit="MB"),
    Figure("broken", failing, "<=", 1, False),
)


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    work = tmp_path / "work"
    work.mkdir()
    return Bench(work, Pictures([], [], [], [], are_real=False), 1, 1, (1, 2), pairs=3)


def names(only: str, *, quick: bool = False) -> list[str]:
    return [figure.name for figure in chosen(SOME, only, quick=quick)]


def test_the_short_form_has_few_figures_but_measures_what_is_named() -> None:
    assert names("", quick=True) == ["first load / bare loop", "command: peak memory"]
    assert names("LANCE,broken", quick=True) == ["Lance / first load", "broken"]


def test_a_full_name_is_that_figure_and_a_part_is_all_that_have_it() -> None:
    assert names("first load") == ["first load"]
    assert names("load /") == ["first load / bare loop"]
    assert len(names("first loa")) == 3
    assert len(names("")) == len(SOME)


@pytest.mark.parametrize("only", ["frist load", "Lance,", ","])
def test_a_name_that_no_figure_has_is_refused_with_those_there_are(only: str) -> None:
    with pytest.raises(LookupError, match="Lance / first load; first load"):
        chosen(SOME, only, quick=False)


def test_names_of_all_figures_differ_and_can_be_chosen() -> None:
    assert len({figure.name for figure in FIGURES}) == len(FIGURES)
    for figure in FIGURES:
        assert chosen(FIGURES, figure.name, quick=True) == [figure]


def test_figures_that_fail_are_left_out_and_leave_nothing(
    bench: Bench, capsys: pytest.CaptureFixture[str]
) -> None:
    (bench.work / "tree-1").mkdir()
    results = list(measured(SOME, bench))
    assert [len(each["pairs"]) for each in results] == [3, 2, 3]
    assert results[2]["version"].startswith("pylance ")
    assert bench.failed == ["broken"]
    printed = capsys.readouterr().out
    assert "not measured: a tool is not installed: make bench-writers" in printed
    assert "FAILED: materialize failed:\nlast line" in printed
    assert "goal <= 1000 MB  met" in printed
    assert [path.name for path in bench.work.iterdir()] == ["tree-1"]


def test_measuring_some_figures_keeps_the_others_and_compares_them_with_goals_of_today(
    tmp_path: Path,
) -> None:
    stored = tmp_path / "results.json"
    stored.write_text(
        json.dumps(
            [
                {"figure": "gone", "ratio": 1.0, "pairs": [1.0], "goal": "<= 1", "met": True},
                {"figure": SOME[0].name, "ratio": 0.9, "pairs": [0.9], "goal": "<= 1", "met": True},
            ]
        )
    )
    new = {"figure": "first load", "ratio": 0.5, "pairs": [0.5, 0.5]}
    ordered = keep(SOME, [new], stored)
    assert [(each["figure"], each["goal"], each["met"]) for each in ordered] == [
        (SOME[0].name, "<= 0.62", False),
        ("first load", "<= 1", True),
    ]
    assert json.loads(stored.read_text()) == ordered


def result(name: str, day: int, pairs: list[float], **more: Any) -> dict[str, Any]:
    measured_at = {"date": f"2026-11-{day}", "commit": f"c{day}"}
    ratio = {"figure": name, "ratio": pairs[0], "goal": "<= 1000", "met": True, "pairs": pairs}
    return {**ratio, "measured": measured_at, **more}


def test_rows_measured_at_another_time_or_in_fewer_pairs_show_it(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("before\n<!-- written by make bench -->\nold\n<!-- end -->\nafter\n")
    results = [
        result("a", 29, [1, 0.5, 2], version="pylance 14.0.2"),
        result("b", 25, [1, 2, 3]),
        result("c", 29, [1240.5, 1239.9], unit="MB"),
        result("d", 29, [3, 4, 5], version="daft 0.7.26"),
        result("e", 29, [3]),
    ]
    write_table(results, page)
    assert page.read_text().splitlines()[3:-3] == [
        "Measured 2026-11-29 at c29, 3 pairs each, unless a row has something else.",
        "Compared with daft 0.7.26, pylance 14.0.2.",
        "",
        "| figure | ratio | spread | goal | |",
        "| --- | --- | --- | --- | --- |",
        "| a | 1 | 0.5 to 2 | ≤ 1000 | met |",
        "| b | 1 | 1 to 3 | ≤ 1000 | met, 2026-11-25 at c25 |",
        "| c | 1240 MB | 1240 to 1240 (2 pairs) | ≤ 1000 | met |",
        "| d | 3 | 3 to 5 | ≤ 1000 | met |",
        "| e | 3 | 1 pair | ≤ 1000 | met |",
    ]
    for name in ("first.svg", "second.svg"):
        draw(results, tmp_path / name)
    assert (tmp_path / "first.svg").read_bytes() == (tmp_path / "second.svg").read_bytes()


def test_the_page_says_what_is_stored(tmp_path: Path) -> None:
    page = Path(shutil.copy(PAGE, tmp_path))
    write_table(keep(FIGURES, [], Path(shutil.copy(RESULTS, tmp_path))), page)
    assert page.read_text("utf-8") == PAGE.read_text("utf-8")


def test_a_process_sees_no_setting_of_its_parent(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("ANOMALY_SIZES", "MVTEC_AD_ROOT", "DAGM_2007_DEPTH", "DAGSTER_HOME"):
        monkeypatch.setenv(name, "from outside")
    done = python(["-c", "import os; print(dict(os.environ))"], {"ANOMALY_SIZES": "256"})
    assert "from outside" not in done.output
    assert "'ANOMALY_SIZES': '256'" in done.output
    assert os.environ["DAGSTER_HOME"] == "from outside"


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_the_peak_of_a_process_is_its_own() -> None:
    ours = bytearray(300_000_000)
    code = "import time; held = bytearray(80_000_000); del held; time.sleep(0.2)"
    peak = python(["-c", code]).peak_megabytes
    del ours
    assert 80 < peak < 200


def test_a_process_that_fails_says_what_it_printed_last() -> None:
    with pytest.raises(FailedError, match=r"first\nno such root$"):
        python(["-c", "import sys; print('first'); sys.exit('no such root')"])


def test_a_small_disk_is_refused_before_anything_is_written(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench._trees[1] = Tree({}, 21454)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=20e9))
    monkeypatch.setattr(whole, "materialize", lambda *_: pytest.fail("it began"))
    with pytest.raises(
        NotMeasuredError, match=r"has 20 GB free, and this figure needs 21: set TMPDIR"
    ):
        list(whole.shipped(bench))


@pytest.mark.parametrize(
    ("others", "variables", "accepted"),
    [
        (None, COMMON, True),
        (0, COMMON, True),
        (1, COMMON, False),
        (None, whole.COMMON_AND_512, False),
        (1, whole.COMMON_AND_512, False),
        (2, whole.COMMON_AND_512, True),
        (None, whole.SHIPPED, False),
        (1, whole.SHIPPED, True),
        (0, whole.ONLY_512, False),  # its common recipe is 256x256
    ],
)
def test_a_figure_of_recipes_wants_a_warehouse_that_holds_them(
    tmp_path: Path, others: int | None, variables: dict[str, str], accepted: bool
) -> None:
    warehouse = tmp_path / "warehouse.duckdb"
    with duckdb.connect(str(warehouse)) as connection:
        connection.execute("CREATE TABLE image_tensors AS SELECT 256 AS height FROM range(2)")
        if others is not None:
            connection.execute(f"CREATE TABLE recipe_tensors AS FROM range({others})")
    if accepted:
        whole.expect(warehouse, variables)
    else:
        with pytest.raises(NotMeasuredError):
            whole.expect(warehouse, variables)
