"""Test the workshop: its notebooks are executed, its programs run, its slides rendered."""

import json
import os
import re
import runpy
import shutil
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import nbformat
import pytest

from anomaly_assets_tests.notebooks.workshop import FOLDER, blocks, module, text

STEPS = range(1, 7)
MINUTES = {
    "Introduction": 8,
    "Live coding": 18,
    "Tips": 8,
    "Follow-along": 20,
    "Questions": 6,
}
"""The timetable that was ordered."""


class Executed:
    """A notebook after all its cells have run; a cell that raises fails the tests of the notebook."""

    def __init__(self, notebook: nbformat.NotebookNode) -> None:
        self._printed = {cell.id: "".join(_texts(cell)) for cell in notebook.cells}
        self.errors = [
            (cell.id, output.evalue)
            for cell in notebook.cells
            for output in cell.get("outputs", [])
            if output.output_type == "error"
        ]

    def __getitem__(self, cell: str) -> str:
        return self._printed[cell]


def _texts(cell: nbformat.NotebookNode) -> Iterator[str]:
    for output in cell.get("outputs", []):
        yield output.get("text") or output.get("data", {}).get("text/plain", "")


@pytest.fixture(scope="module")
def executed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Executed]:
    """Execute the three notebooks concurrently, each with only the two modules beside it."""
    build = module("build")
    execute = runpy.run_path(str(FOLDER.parent / "execute.py"))["execute"]

    def run(name: str) -> Executed:
        folder = tmp_path_factory.mktemp(name)
        for beside in ("stand_in.py", "checkpoints.py"):
            shutil.copy(FOLDER / beside, folder)
        return Executed(execute(getattr(build, name)(), folder))

    names = ["participant", "solution", "rehearsal"]
    with pytest.MonkeyPatch.context() as monkeypatch, ThreadPoolExecutor() as pool:
        monkeypatch.setenv("WORKSHOP_API", "stand-in")
        return dict(zip(names, pool.map(run, names), strict=True))


class TestNotebooks:
    @pytest.mark.parametrize("name", ["participant", "solution"])
    def test_is_what_the_source_makes(self, name: str) -> None:
        made = getattr(module("build"), name)()
        assert nbformat.read(FOLDER / f"{name}.ipynb", as_version=4) == made, (
            "python notebooks/workshop/build.py"
        )

    @pytest.mark.parametrize(
        "path", sorted(FOLDER.parent.rglob("*.ipynb")), ids=lambda path: path.name
    )
    def test_has_no_outputs_in_the_repository(self, path: Path) -> None:
        cells = json.loads(path.read_text("utf-8"))["cells"]
        assert [cell for cell in cells if cell.get("outputs") or cell.get("execution_count")] == []

    def test_unsolved_every_checkpoint_says_what_is_missing_and_nothing_raises(
        self, executed: dict[str, Executed]
    ) -> None:
        notebook = executed["participant"]
        assert notebook.errors == []
        assert notebook["setup"].startswith("✔ Checkpoint 0 passed: stand-in API answers")
        for step in STEPS:
            said = notebook[f"step-{step}-check"]
            assert said.startswith(f"✘ Checkpoint {step}, not yet. ")
            assert "\n  → " in said

    def test_solved_every_checkpoint_passes(self, executed: dict[str, Executed]) -> None:
        notebook = executed["solution"]
        assert notebook.errors == []
        for step in STEPS:
            assert notebook[f"step-{step}-check"].startswith(f"✔ Checkpoint {step} passed: ")

    @pytest.mark.parametrize("step", STEPS)
    def test_a_checkpoint_fails_before_its_step_and_passes_after_it(
        self, executed: dict[str, Executed], step: int
    ) -> None:
        notebook = executed["rehearsal"]
        assert notebook[f"step-{step}-check-unsolved"].startswith("✘")
        assert notebook[f"step-{step}-check"].startswith("✔")

    def test_what_each_step_is_about_can_be_seen(self, executed: dict[str, Executed]) -> None:
        notebook = executed["rehearsal"]
        assert "'earthquakes': 20" in notebook["step-2-unsolved"]
        assert "'earthquakes': 57" in notebook["step-2"]
        assert re.findall(r"^\d+", notebook["step-2-retry-look"], re.MULTILINE) == [
            *("503", "200", "200", "200", "200")
        ]
        assert "properties__mag__v_double" in notebook["step-3-unsolved"]
        assert "properties__mag__v_double" not in notebook["step-3"]
        assert re.search(r"│ +114 │ +57 │", notebook["step-4-unsolved"])
        assert re.search(r"│ +57 │ +57 │", notebook["step-4"])
        assert re.search(r"second run: .*'earthquakes': 60", notebook["step-5-unsolved"])
        assert re.search(r"second run: .*'earthquakes': 5,", notebook["step-5"])
        assert "'last_value': 1773086400000" in notebook["step-5-state-look"]
        assert "shaking_model" in notebook["step-6-unsolved"]
        assert "shaking_model" not in notebook["step-6"]

    def test_nothing_long_is_printed(self, executed: dict[str, Executed]) -> None:
        for name in ("participant", "solution"):
            longest = max(executed[name]._printed.values(), key=len)
            assert len(longest.splitlines()) <= 40

    def test_arrows_mark_what_is_to_be_changed(self) -> None:
        notebook = module("build").participant()
        marked = [cell.id for cell in notebook.cells if "# ←" in cell.source and cell.id != "title"]
        assert marked == [f"step-{step}" for step in STEPS]
        solved = module("build").solution()
        assert [cell.id for cell in solved.cells[1:] if "←" in cell.source] == []


class TestOtherSolutions:
    """Tests of participants' other attempts; each line replaces the solution's line."""

    @pytest.fixture
    def step(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator["Step"]:
        monkeypatch.setenv("WORKSHOP_API", "stand-in")
        step = Step(tmp_path, monkeypatch)
        yield step
        step.api.close()

    def test_whole_table_replaced_is_not_what_step_4_wants(
        self, step: "Step", capsys: pytest.CaptureFixture[str]
    ) -> None:
        step.run(2)
        step.run(4, ('write_disposition="merge"', 'write_disposition="replace"'))
        step.run(4, check=True)
        assert "write_disposition is replace" in _said(capsys)

    def test_filter_on_this_side_alone_is_not_enough_for_step_5(
        self, step: "Step", capsys: pytest.CaptureFixture[str]
    ) -> None:
        step.run(2)
        step.run(5, ('params["updatedafter"] = iso(updated.last_value)', "pass"))
        step.run(5, check=True)
        assert "the API was asked for all of them" in _said(capsys)

    def test_wrong_cursor_misses_the_revisions_of_step_5(
        self, step: "Step", capsys: pytest.CaptureFixture[str]
    ) -> None:
        step.run(2)
        step.run(5, ("properties.updated", "properties.time"))
        step.run(5, check=True)
        assert 'Follow "properties.updated"' in _said(capsys)

    def test_frozen_contract_stops_the_load_and_the_next_try_is_clean(
        self, step: "Step", capsys: pytest.CaptureFixture[str]
    ) -> None:
        step.run(2)
        step.run(5)
        with pytest.raises(Exception, match="contract_mode=freeze"):
            step.run(6, ("discard_value", "freeze"))
        step.run(6, check=True)
        assert "✘ Checkpoint 6" in _said(capsys)
        step.run(6)
        step.run(6, check=True)
        assert "✔ Checkpoint 6" in _said(capsys)

    def test_refused_offset_leaves_nothing_behind(
        self, step: "Step", capsys: pytest.CaptureFixture[str]
    ) -> None:
        with pytest.raises(Exception, match="400 Client Error"):
            step.run(2, ("offset=1, ", ""))
        step.run(2)
        step.run(2, check=True)
        assert "✔ Checkpoint 2" in _said(capsys)

    def test_checkpoints_before_any_cell_say_that_nothing_is_loaded(
        self, step: "Step", capsys: pytest.CaptureFixture[str]
    ) -> None:
        for number in STEPS:
            step.run(number, check=True)
        assert _said(capsys).count("There is no earthquake in the database") == 6

    def test_live_api_passes_too_where_what_only_the_stand_in_shows_is_left_out(
        self,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        stand_in = module("stand_in")
        today = datetime.now(timezone.utc).replace(hour=0, minute=0, second=0, microsecond=0)
        monkeypatch.setattr(stand_in, "WEEK_BEGINS", today - timedelta(days=7))
        server = stand_in.StandIn()
        monkeypatch.setattr(stand_in, "LIVE_URL", server.url)
        monkeypatch.setenv("WORKSHOP_API", "live")
        step = Step(tmp_path, monkeypatch)
        for number in STEPS:
            step.run(number)
            step.run(number, check=True)
        server.close()
        said = _said(capsys)
        assert "✔ Checkpoint 0 passed: live API answers" in said
        assert [f"✔ Checkpoint {number} passed" in said for number in STEPS] == [True] * 6
        assert "skipped: only the stand-in changes its schema" in said


def _said(capsys: pytest.CaptureFixture[str]) -> str:
    """Return the output as one line, because checkpoints wrap theirs."""
    return " ".join(capsys.readouterr().out.split())


class Step:
    """The cells of the solution, run without a kernel, in one namespace."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.chdir(folder)
        for name in ("LOG_LEVEL", "DLTHUB_TELEMETRY", "HTTP_SHOW_ERROR_BODY"):
            monkeypatch.setenv(f"RUNTIME__{name}", "set and put back, because the cell sets it")
        for name in ("stand_in", "checkpoints"):
            module(name)
        self._cells = {cell.id: cell.source for cell in module("build").solution().cells}
        self._file = folder / "cell.py"
        self._names: dict[str, Any] = {}
        self._execute("setup")
        self.api = self._names["api"]

    def run(self, number: int, change: tuple[str, str] = ("", ""), check: bool = False) -> None:
        self._execute(f"step-{number}-check" if check else f"step-{number}", change)

    def _execute(self, cell: str, change: tuple[str, str] = ("", "")) -> None:
        source = self._cells[cell]
        assert change[0] in source
        self._file.write_text(source.replace(*change) if change[0] else source, "utf-8")
        self._names = runpy.run_path(str(self._file), self._names, run_name="cell")


class TestStandIn:
    @pytest.fixture
    def api(self) -> Iterator[Any]:
        api = module("stand_in").StandIn()
        yield api
        api.close()

    def test_listens_on_the_loopback_interface_only(self, api: Any) -> None:
        assert api.url.startswith("http://127.0.0.1:")
        assert api._server.server_address[0] == "127.0.0.1"

    def test_tells_the_same_every_time(self) -> None:
        earthquakes_on = module("stand_in").earthquakes_on
        assert [len(earthquakes_on(day)) for day in (0, 1, 2)] == [57, 60, 62]
        assert earthquakes_on(2) == earthquakes_on(2)
        newest = earthquakes_on(0)[0]
        assert (newest["id"], newest["properties"]["mag"]) == ("wk0057", 5)
        assert isinstance(newest["properties"]["mag"], int)

    def test_day_1_revises_two_earthquakes_and_brings_three(self) -> None:
        before, after = ({e["id"]: e for e in module("stand_in").earthquakes_on(d)} for d in (0, 1))
        revised = [name for name in before if before[name] != after[name]]
        assert revised == ["wk0023", "wk0004"]
        assert sorted(set(after) - set(before)) == ["wk0058", "wk0059", "wk0060"]
        for name in revised:
            assert after[name]["properties"]["time"] == before[name]["properties"]["time"]
            assert after[name]["properties"]["updated"] > max(
                event["properties"]["updated"] for event in before.values()
            )

    def test_pages_end_with_an_empty_one(self, api: Any) -> None:
        sizes = [len(_get(api, "query", limit=20, offset=at)["features"]) for at in (1, 21, 41, 61)]
        assert sizes == [20, 20, 17, 0]
        assert _get(api, "count") == {"count": 57, "maxAllowed": 20000}

    @pytest.mark.parametrize(
        ("parameters", "reason"),
        [
            ({"offset": 0}, 'Bad offset value "0"'),
            ({"limit": 20001}, 'Bad limit value "20001"'),
            ({"since": 1}, 'Unknown parameter "since"'),
            ({"format": "csv"}, "format=geojson only"),
            ({"updatedafter": "yesterday"}, "Invalid isoformat"),
        ],
    )
    def test_refuses_what_the_live_one_refuses(
        self, api: Any, parameters: dict[str, Any], reason: str
    ) -> None:
        with pytest.raises(urllib.error.HTTPError, match="400") as refused:
            _get(api, "query", **parameters)
        assert reason in refused.value.read().decode()

    def test_fails_on_demand_and_recovers(self, api: Any) -> None:
        api.fail_next(429)
        with pytest.raises(urllib.error.HTTPError, match="429") as refused:
            _get(api, "count")
        assert refused.value.headers["Retry-After"] == "1"
        assert _get(api, "count")["count"] == 57
        assert [request.status for request in api.requests] == [429, 200]

    def test_stands_in_where_there_is_no_network(self, monkeypatch: pytest.MonkeyPatch) -> None:
        stand_in = module("stand_in")
        monkeypatch.delenv("WORKSHOP_API", raising=False)
        monkeypatch.setattr(stand_in, "LIVE_URL", "http://127.0.0.1:9")
        api = stand_in.earthquake_api()
        assert api.name == "stand-in"
        api.close()

    def test_live_is_taken_where_it_answers(
        self, api: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        stand_in = module("stand_in")
        monkeypatch.delenv("WORKSHOP_API", raising=False)
        monkeypatch.setattr(stand_in, "LIVE_URL", api.url)
        assert stand_in.earthquake_api().name == "live"

    def test_wrong_name_is_refused(self) -> None:
        with pytest.raises(ValueError, match="can be 'live' or 'stand-in'"):
            module("stand_in").earthquake_api("offline")

    def test_uses_the_standard_library_alone(self) -> None:
        imported = re.findall(r"^(?:from|import) (\w+)", text("stand_in.py"), re.MULTILINE)
        assert set(imported) - {"__future__"} <= set(sys.stdlib_module_names)


def _get(api: Any, method: str, **parameters: Any) -> Any:
    query = urlencode({**api.params, **parameters})
    with urllib.request.urlopen(f"{api.url}/{method}?{query}", timeout=10) as answer:
        return json.load(answer)


class TestSpotTheBug:
    PROGRAMS = tuple(
        re.findall(
            r"```python (bug|fixed)\n(.*?)```\n```text\n(.*?)```", text("spot_the_bug.md"), re.S
        )
    )

    def test_each_has_a_bug_and_an_answer(self) -> None:
        assert [kind for kind, _, _ in self.PROGRAMS] == ["bug", "fixed"] * 7
        for (_, bug, wrong), (_, fixed, right) in zip(
            self.PROGRAMS[::2], self.PROGRAMS[1::2], strict=True
        ):
            assert bug != fixed
            assert wrong != right
        assert text("spot_the_bug.md").count("<details><summary>Answer</summary>") == 7

    @pytest.mark.parametrize("number", range(14))
    def test_prints_what_it_says(
        self,
        number: int,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        kind, program, expected = self.PROGRAMS[number]
        monkeypatch.chdir(tmp_path)
        monkeypatch.setenv("DLT_DATA_DIR", str(tmp_path / "dlt"))
        monkeypatch.setenv("RUNTIME__DLTHUB_TELEMETRY", "false")
        Path("program.py").write_text(program, "utf-8")
        runpy.run_path("program.py", run_name=f"{kind}_{number}")
        assert capsys.readouterr().out == expected


class TestDocuments:
    def test_timetable_is_the_ordered_one(self) -> None:
        rows = re.findall(
            r"^\| ([\d:]+) \| \[([\w-]+(?: \w+)?)\]\(\S+\) \| (\d+) \|",
            text("facilitator_guide.md"),
            re.M,
        )
        assert {block: int(minutes) for _, block, minutes in rows} == MINUTES
        assert sum(int(minutes) for _, _, minutes in rows) == 60
        at = 0
        for begins, _, minutes in rows:
            assert begins == f"0:{at:02d}"
            at += int(minutes)

    def test_minutes_inside_a_block_add_up_to_the_block(self) -> None:
        sections = re.split(r"^## ", text("facilitator_guide.md"), flags=re.MULTILINE)
        for block, minutes in MINUTES.items():
            [section] = [part for part in sections if part.startswith(f"{block} (")]
            assert section.startswith(f"{block} ({minutes} minutes)")
            inside = [
                int(found) for found in re.findall(r"^\| (\d+) min \|", section, re.MULTILINE)
            ]
            assert sum(inside) == minutes

    def test_code_to_type_is_that_of_the_solution(self) -> None:
        solution = "\n".join(cell.source for cell in module("build").solution().cells)
        guide = text("facilitator_guide.md")
        section = guide[guide.index("\nStep 1:") : guide.index("**Behind** (step 3")]
        typed = "\n".join(blocks("facilitator_guide.md", "python")).splitlines()
        typed += re.findall(r"`([^`]+\(?[=\[][^`]+)`", section.split("Step 3, ")[1])
        assert len(typed) > 20
        for line in typed:
            assert line.strip() in solution, line

    @pytest.mark.parametrize("name", [path.name for path in sorted(FOLDER.glob("*.md"))])
    def test_links_lead_to_files_and_headings(self, name: str) -> None:
        links = re.findall(r"\]\((?!https?:)([^)#]*)(?:#([^)]*))?\)", text(name))
        for path, heading in links:
            target = FOLDER / path if path else FOLDER / name
            assert target.exists(), path
            if heading:
                assert heading in _anchors(target.read_text("utf-8"))

    def test_guide_links_every_file_of_the_workshop(self) -> None:
        links = set(re.findall(r"\]\(([\w.]+)[)#]", text("facilitator_guide.md")))
        files = {path.name for path in FOLDER.iterdir() if path.is_file() and path.suffix != ".pyc"}
        assert files - links == {"facilitator_guide.md"}

    def test_every_poll_has_one_answer_among_its_options(self) -> None:
        polls = re.split(r"^## ", text("polls.md"), flags=re.MULTILINE)[1:]
        assert len(polls) == 6
        for poll in polls:
            options = re.findall(r"^- \*\*([A-D])\*\* ", poll, re.MULTILINE)
            assert options == list("ABCD"[: len(options)])
            assert len(re.findall(r"^\*\*Answer: ([A-D])\.\*\*", poll, re.MULTILINE)) == 1


def _anchors(document: str) -> set[str]:
    headings = re.findall(r"^#+ (.*)$", document, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.fixture(scope="module")
def page(project_root: Path) -> str:
    """Return the rendered slides, built with the public command."""
    if shutil.which("npm") is None and os.environ.get("CI") != "true":
        pytest.skip("npm is not installed")
    subprocess.run(
        ["make", "slides"], cwd=project_root, check=True, capture_output=True, timeout=300
    )
    return (project_root / "data" / "slides.html").read_text("utf-8")


class TestSlides:
    def test_all_of_them_are_rendered(self, page: str) -> None:
        written = len(re.findall(r"^---$", text("slides.md"), re.MULTILINE)) - 1
        assert written == 16
        assert len(re.findall(r"<section\b", page)) == written

    def test_they_need_no_network(self, page: str) -> None:
        assert (
            re.findall(r"""(?:src|href)=["']?https?://(?![^"'>]*(?:dlthub|usgs))[^"'> ]*""", page)
            == []
        )
        assert "@import" not in page
        assert re.findall(r"url\([\"']?https?:", page) == []

    def test_notes_are_for_the_facilitator_only(self, page: str) -> None:
        assert "<!--" not in re.sub(r"<!--theme.*?-->", "", page.split("<body")[1])

    def test_slides_are_short(self) -> None:
        for slide in text("slides.md").split("\n---\n")[1:]:
            shown = re.sub(r"<!--.*?-->", "", slide, flags=re.DOTALL)
            assert len([line for line in shown.splitlines() if line.strip()]) <= 14, shown
            assert len(shown.split()) <= 75, shown
