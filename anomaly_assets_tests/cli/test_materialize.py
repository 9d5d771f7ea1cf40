"""Test `anomaly-assets materialize`: what it prints, how it ends, and the run that it leaves for the UI."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import warnings
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest import mock

import duckdb
import pytest

from anomaly_assets.assets.selection import RunConfigError, refuse_unknown_steps, selected_keys
from anomaly_assets.cli.app import main
from anomaly_assets.definitions import defs
from anomaly_assets.errors import rerun_with

PROJECT = Path(__file__).parents[2]
SAMPLES = PROJECT / "data" / "samples"
CONFIG = {"ops": {"mvtec_ad": {"config": {"allow_shrink": True}}}}


@dataclass
class Done:
    """A command that has ended."""

    code: int
    out: str
    err: str

    @property
    def screen(self) -> list[str]:
        """Return the lines that a person sees."""
        return (self.out + self.err).splitlines()


@dataclass
class Folder:
    """A working folder with a Dagster home, a warehouse and a published database of its own.

    Attributes:
        path: The folder.
        here: Whether `run` calls the command in this process. It takes a tenth of the time, because
            Dagster is imported already.
    """

    path: Path
    here: bool = False

    def environment(self, **variables: str) -> dict[str, str]:
        inherited = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("ANOMALY_", "DAGSTER_", "MAKE")) and not name.endswith("_ROOT")
        }
        return {**inherited, "PYTHONPATH": str(PROJECT), **variables}

    def start(self, *arguments: str, **variables: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-m", "anomaly_assets", "materialize", *arguments],
            cwd=self.path,
            env=self.environment(**variables),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def run(self, *arguments: str, **variables: str) -> Done:
        if self.here:
            return self._run_here(*arguments, **variables)
        process = self.start(*arguments, **variables)
        out, err = process.communicate(timeout=240)
        return Done(process.returncode, out, err)

    def _run_here(self, *arguments: str, **variables: str) -> Done:
        # Files, because the command and Dagster duplicate and redirect the descriptors of both streams.
        out, err = (self.path.with_name(f"{self.path.name}.{name}") for name in ("out", "err"))
        before = os.getcwd()
        os.chdir(self.path)
        try:
            with (
                mock.patch.dict(os.environ, self.environment(**variables), clear=True),
                warnings.catch_warnings(),
                out.open("w", encoding="utf-8") as stdout,
                err.open("w", encoding="utf-8") as stderr,
                redirect_stdout(stdout),
                redirect_stderr(stderr),
            ):
                code = main(["materialize", *arguments])
        except SystemExit as ended:  # click exits so for invalid arguments
            code = int(ended.code or 0)
        finally:
            os.chdir(before)
        return Done(code, out.read_text("utf-8"), err.read_text("utf-8"))

    def runs(self) -> list[tuple[str, str]]:
        """Return status and code location of the runs in the Dagster home, oldest first."""
        import dagster as dg

        home = self.path / "data" / "dagster_home"
        with dg.DagsterInstance.from_config(str(home)) as instance:
            return [
                (run.status.value, run.remote_job_origin.location_name)
                for run in reversed([*instance.get_runs()])
                if run.remote_job_origin is not None
            ]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Folder:
    path = tmp_path_factory.mktemp("folder")
    shutil.copytree(SAMPLES, path / "data" / "samples")
    return Folder(path)


@pytest.fixture(scope="module")
def good(folder: Folder) -> Done:
    """Run for the first time on the samples, without any variable and without a Dagster home."""
    return folder.run()


@pytest.fixture(scope="module")
def called_folder(tmp_path_factory: pytest.TempPathFactory) -> Folder:
    path = tmp_path_factory.mktemp("called_folder")
    shutil.copytree(SAMPLES, path / "data" / "samples")
    return Folder(path, here=True)


@pytest.fixture(scope="module")
def called(called_folder: Folder) -> Done:
    """Run the same command in this process."""
    return called_folder.run()


@pytest.fixture(params=["called", pytest.param("started", marks=pytest.mark.slow)])
def done_in(request: pytest.FixtureRequest) -> tuple[Done, Folder]:
    """Return a first run on the samples, and its folder: in this process, and in one of its own."""
    names = {"called": ("called", "called_folder"), "started": ("good", "folder")}[request.param]
    done, folder = (request.getfixturevalue(name) for name in names)
    return done, folder


@pytest.fixture
def empty(tmp_path: Path) -> Folder:
    """Return a folder without anything, for runs in this process."""
    path = tmp_path / "folder"
    path.mkdir()
    return Folder(path, here=True)


def test_a_good_run_on_the_samples_fits_on_a_screen(done_in: tuple[Done, Folder]) -> None:
    good, _ = done_in
    assert (good.code, good.err) == (0, "")
    # On a busy machine, long steps have lines of progress, and one at their end even without rows.
    lines = [line for line in good.screen if not re.search(r": done \[| left$", line)]
    assert len(lines) <= 25, lines
    assert not [line for line in good.screen if line.startswith("splits")]
    assert re.match(r"dagm_2007: images 28 rows \(28 new\) \[[\d.]+ s\]$", good.screen[0])
    [tensors] = [line for line in lines if line.startswith("image_tensors: ")]
    assert re.fullmatch(
        r"image_tensors: 62 rows \(62 new\), recipe_tensors 28 rows \(28 new\) "
        r"\[[\d.]+ s, [\d,]+ images/s\]",
        tensors,
    )


def test_it_ends_with_datasets_failed_checks_and_the_database(
    done_in: tuple[Done, Folder],
) -> None:
    good, folder = done_in
    at = good.screen.index("")
    dagm, mvtec, title, check, *rest = good.screen[at + 1 :]
    uri = (folder.path / "data/samples").as_uri()
    for line, name, images in ((dagm, "dagm_2007", 28), (mvtec, "mvtec_ad", 34)):
        assert line == (
            f"{name}: {images} images from {uri}/{name} (samples of the repository), refreshed: "
            f"{images} new, 0 changed, 0 removed, 0 rejected"
        )
    assert title == "1 check failed:"
    assert check.startswith("  counts_equal_the_official_ones of samples: 4 categories ")
    assert rest[2:4] == [
        "    mvtec_ad/bolt (unknown category)",
        "    mvtec_ad/woven (unknown category)",
    ]
    assert rest[-2] == (
        "Recipes of the tensors: dagm_2007: 256x256x3, 512x512x1; mvtec_ad: 256x256x3."
    )
    assert rest[-3].startswith("data/anomaly.duckdb holds 62 samples of dagm_2007 and mvtec_ad")
    assert "open_samples" in rest[-1]


@pytest.mark.slow
def test_the_run_is_stored_with_the_code_location_that_the_ui_shows(
    good: Done, folder: Folder
) -> None:
    assert good.code == 0
    location = re.search(r"location_name: (\w+)", (PROJECT / "workspace.yaml").read_text("utf-8"))
    assert location is not None
    assert folder.runs()[0] == ("SUCCESS", location[1])


def test_a_mistyped_root_is_the_last_thing_on_the_screen(done_in: tuple[Done, Folder]) -> None:
    good, folder = done_in
    assert good.code == 0
    done = folder.run(MVTEC_AD_ROOT="/nope")
    assert done.code == 1
    assert done.err == (
        "error: MVTec AD (MVTEC_AD_ROOT): /nope does not exist. 0 images listed, 34 loaded; nothing was "
        "changed. To leave this dataset out, set MVTEC_AD_ROOT to the empty string.\n"
    )
    assert "/nope" not in done.out  # it is reported once
    assert "Traceback" not in done.out
    assert "Stack Trace" not in done.out
    assert len(done.screen) <= 10


@pytest.mark.slow
def test_three_failed_checks_are_listed_with_the_first_five_files(empty: Folder) -> None:
    root = empty.path / "mvtec_ad"
    shutil.copytree(SAMPLES / "mvtec_ad", root)
    masks = sorted(root.glob("bolt/ground_truth/*/*.png"))
    for number in range(7):
        shutil.copy(masks[0], masks[0].with_name(f"9{number:02}_mask.png"))
    (root / "bolt/train/good/000.png").write_bytes(b"")
    done = empty.run(MVTEC_AD_ROOT=str(root), DAGM_2007_ROOT="", ANOMALY_IMAGE_SIZE="32")
    assert (done.code, done.err) == (0, "")
    at = done.screen.index("3 checks failed:")
    listed = "\n".join(done.screen[at:])
    assert "  masks_belong_to_an_image of mvtec_ad/stray_files: 7 masks " in listed
    assert listed.count("_mask.png (orphan_mask)") == 5
    assert "    … and 2 more, listed in the UI" in listed
    assert "  images_are_usable of rejected_images: 1 " in listed
    assert "bolt/train/good/000.png" in listed
    assert " 0 removed, 1 rejected" in done.out


@pytest.mark.slow
def test_a_blocking_check_is_the_cause_and_nothing_is_published(empty: Folder) -> None:
    folder, tmp_path, roots = empty, empty.path, {}
    for variable, name in (
        ("MVTEC_AD_ROOT", "mvtec_ad/bolt"),
        ("DAGM_2007_ROOT", "dagm_2007/Class1"),
    ):
        roots[variable] = str(tmp_path / name.partition("/")[0])
        shutil.copytree(SAMPLES / name, tmp_path / name)
    assert folder.run(**roots, ANOMALY_IMAGE_SIZE="16").code == 0
    database = tmp_path / "data/anomaly.duckdb"
    before = database.read_bytes()
    # A dataset that is not refreshed keeps its duplicated row.
    with duckdb.connect(str(tmp_path / "data/warehouse.duckdb")) as connection:
        connection.execute("INSERT INTO dagm_2007.images FROM dagm_2007.images LIMIT 1")
    done = folder.run(**{**roots, "DAGM_2007_ROOT": "", "ANOMALY_IMAGE_SIZE": "16"})
    assert done.code == 1
    assert done.err.startswith("error: Nothing was published, because of a failed check. ")
    assert "image_ids_are_unique: " in done.err
    assert len(done.err.splitlines()) == 1
    assert database.read_bytes() == before


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--select", "nothing"], "nothing"),
        (["--config-json", "{"], "--config-json is not JSON"),
        (["--config-json", "[]"], "has to be a JSON object"),
        (["--config-json", '{"ops": {"mvtec_ad": {"config": {"alow": 1}}}}'], '"alow"'),
        (["--config", "none.yaml"], "none.yaml"),
        (["--select", "mvtec_ad"], "Did you mean mvtec_ad/images, mvtec_ad/stray_files or group:"),
        (["--config-json", '{"ops": {"mvtec_ad/images": {}}}'], "mvtec_ad/images is mvtec_ad: "),
        (["--partition", "leather"], "anomaly-assets load NAME --category CATEGORY"),
    ],
)
def test_what_cannot_be_run_exits_with_2_and_leaves_no_run(
    arguments: list[str], said: str, empty: Folder
) -> None:
    done = empty.run(*arguments)
    assert done.code == 2
    assert said in done.err.splitlines()[-1]
    assert done.out == ""
    assert not (empty.path / "data/warehouse.duckdb").exists()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("arguments", "code"), [(["--select", "nothing"], 2), (["--config", "none.yaml"], 2)]
)
def test_a_process_ends_with_the_code_of_the_command(
    arguments: list[str], code: int, tmp_path: Path
) -> None:
    done = Folder(tmp_path).run(*arguments)
    assert (done.code, done.out) == (code, "")
    assert not (tmp_path / "data/warehouse.duckdb").exists()


@pytest.mark.parametrize(
    ("select", "said"),
    [
        (
            "mvtec_ad",
            "--select 'mvtec_ad': no asset has this name. Did you mean mvtec_ad/images, "
            "mvtec_ad/stray_files or group:mvtec_ad? Nothing ran.",
        ),
        (
            "mvtec_ad/files",
            "--select 'mvtec_ad/files': a run reads mvtec_ad/files and never writes it. Did you mean "
            "mvtec_ad/images, mvtec_ad/stray_files or group:mvtec_ad? Nothing ran.",
        ),
        (
            "images, sampels",
            "--select 'sampels': no asset has this name. Did you mean samples or splits? ",
        ),
        (
            "group:mvtec",
            "--select 'group:mvtec': it selects no asset. Did you mean group:mvtec_ad ",
        ),
        ("+(", "--select '+(': this cannot be read as a selection. Choose from baseline_metrics, "),
        ("xyz", "--select 'xyz': no asset has this name. Choose from baseline_metrics, "),
    ],
)
def test_a_selection_of_nothing_says_what_can_be_selected(select: str, said: str) -> None:
    with pytest.raises(RunConfigError) as raised:
        selected_keys(select, defs.get_repository_def().asset_graph)
    assert str(raised.value).startswith(said)


@pytest.mark.parametrize(
    ("select", "count"),
    [
        ("*", 26),
        ("not group:evaluation", 21),
        ("group:mvtec_ad", 2),
        ("mvtec_ad/files+, samples", 3),
    ],
)
def test_a_selection_leaves_out_what_a_run_only_reads(select: str, count: int) -> None:
    assert len(selected_keys(select, defs.get_repository_def().asset_graph)) == count


@pytest.mark.parametrize(
    ("run_config", "said"),
    [
        (
            {"ops": {"mvtec_ad/images": {"config": {"categories": ["x"]}}}},
            "Run config names the step 'mvtec_ad/images', which does not exist. The step of asset "
            'mvtec_ad/images is mvtec_ad: {"ops": {"mvtec_ad": {"config": {…}}}}. Steps with options: '
            "dagm_2007, evaluation, gallery, image_tensors, mvtec_ad, published_database. Nothing ran.",
        ),
        (
            {"ops": {"mvtec": {}}},
            "Run config names the step 'mvtec', which does not exist. Did you ",
        ),
        (
            {"ops": {"nonsense": {}}},
            "Run config names the step 'nonsense', which does not exist. St",
        ),
        (
            {"ops": {"rejected_image": {}}},
            "Run config names the step 'rejected_image', which does no",
        ),
        (
            {"mvtec_ad": {}},
            "Run config has no section 'mvtec_ad'. Config of a step belongs below ops",
        ),
        ({"opps": {}}, "Run config has no section 'opps'. Did you mean ops? Sections: ops, "),
    ],
)
def test_run_config_of_an_unknown_step_is_refused(run_config: dict[str, Any], said: str) -> None:
    repository = defs.get_repository_def()
    graph = repository.asset_graph
    job = repository.get_implicit_job_def_for_assets(graph.materializable_asset_keys)
    assert job is not None
    steps = {node.name for node in job.nodes}
    refuse_unknown_steps({"ops": {step: {} for step in steps}, "loggers": {}}, graph, steps)
    with pytest.raises(RunConfigError) as raised:
        refuse_unknown_steps(run_config, graph, steps)
    assert str(raised.value).startswith(said)


@pytest.mark.slow
def test_a_misspelled_variable_is_the_first_line_of_a_run(done_in: tuple[Done, Folder]) -> None:
    good, folder = done_in
    assert good.code == 0
    done = folder.run("--select", "load_history", MVTEC_ROOT="hidden")
    assert done.code == 0
    assert done.screen[0] == (
        "  warning: The variable MVTEC_ROOT is set, but it is not a setting: it is ignored. Did you mean "
        "MVTEC_AD_ROOT?"
    )
    assert "hidden" not in done.out + done.err


def test_a_part_of_the_graph_says_that_it_did_not_publish(done_in: tuple[Done, Folder]) -> None:
    good, folder = done_in
    assert good.code == 0
    done = folder.run("--select", "dataset_summary")
    assert (done.code, done.err) == (0, "")
    step, empty, dagm, mvtec, also_empty, not_published, holds, *_ = done.screen
    assert step.startswith("dataset_summary: 15 rows (unchanged) [")
    assert dagm.startswith("dagm_2007: 28 images from ")
    assert mvtec.startswith("mvtec_ad: 34 images from ")
    assert empty == also_empty == ""
    assert not_published == (
        "Not published in this run, because --select leaves out published_database."
    )
    assert holds.startswith("data/anomaly.duckdb holds 62 samples of dagm_2007 and mvtec_ad")


@pytest.mark.slow
def test_a_part_of_the_graph_with_a_config_file_and_the_log_of_dagster(tmp_path: Path) -> None:
    shutil.copytree(SAMPLES / "mvtec_ad", tmp_path / "root")
    (tmp_path / "run.yaml").write_text("ops: {mvtec_ad: {config: {categories: [bolt]}}}\n")
    done = Folder(tmp_path).run(
        *("--select", "mvtec_ad/images", "--config", "run.yaml", "--verbose"),
        MVTEC_AD_ROOT="root",
        DAGM_2007_ROOT="",
    )
    assert done.code == 0, done.err
    assert " - DEBUG - " in done.err
    assert "There is nothing to read yet: " in done.out
    with duckdb.connect(str(tmp_path / "data/warehouse.duckdb"), read_only=True) as connection:
        rows = connection.execute("SELECT DISTINCT category FROM mvtec_ad.images").fetchall()
    assert rows == [("bolt",)]


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_ends_the_run_cleanly(number: signal.Signals, good: Done, folder: Folder) -> None:
    assert good.code == 0
    with folder.start() as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stdout.readline().startswith("dagm_2007: ")
        process.send_signal(number)
        assert process.wait(timeout=60) == 130
        assert process.stderr.read() == (
            "The run was stopped. Committed rows are kept, and the next run continues from there.\n"
        )
    assert folder.run("--select", "mvtec_ad/images").code == 0


@pytest.mark.slow
@pytest.mark.parametrize("screen", ["| head -1", ">/dev/full", ">&-", "| head -0"])
def test_a_screen_that_went_away_does_not_stop_the_run(
    screen: str, good: Done, folder: Folder
) -> None:
    assert good.code == 0
    count = len(folder.runs())
    done = subprocess.run(
        ["bash", "-c", f"set -o pipefail; {sys.executable} -m anomaly_assets materialize {screen}"],
        cwd=folder.path,
        env=folder.environment(),
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert [status for status, _ in folder.runs()[count:]] == ["SUCCESS"]


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_before_the_first_step_stops_the_run(
    number: signal.Signals, good: Done, folder: Folder
) -> None:
    assert good.code == 0
    # Raised while resources are set up; that failure belongs to no step.
    program = (
        "import signal, sys\n"
        "from anomaly_assets.assets import resources\n"
        "from anomaly_assets.cli.app import main\n"
        f"resources.code_version = lambda: signal.raise_signal({int(number)})\n"
        "sys.exit(main(['materialize']))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=folder.path,
        env=folder.environment(),
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stdout) == (130, "")
    assert done.stderr == (
        "The run was stopped. Committed rows are kept, and the next run continues from there.\n"
    )


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no limit on the size of a file")
@pytest.mark.parametrize("kilobytes", [2000, 300])  # the warehouse is larger, or Dagster's database
def test_files_that_may_not_grow_are_the_cause_in_one_sentence(
    kilobytes: int, folder: Folder, tmp_path: Path
) -> None:
    shutil.copytree(folder.path / "data" / "samples", tmp_path / "data" / "samples")
    done = subprocess.run(
        [
            "bash",
            "-c",
            f"ulimit -f {kilobytes}; exec {sys.executable} -m anomaly_assets materialize",
        ],
        cwd=tmp_path,
        env=folder.environment(),
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1
    *_, last = done.stderr.splitlines()
    assert re.fullmatch(
        rf"error: A file in {tmp_path}/data\S* would become larger than this process may write: "
        r"[\d.]+ MB \(ulimit -f\)\. Raise the limit, then run again: committed rows are kept\.",
        last,
    )
    assert "Traceback" not in done.stderr


def test_a_home_that_cannot_be_written_to_is_named(empty: Folder) -> None:
    (empty.path / "file").touch()
    done = empty.run(DAGSTER_HOME=str(empty.path / "file" / "home"))
    assert done.code == 1
    assert done.err.startswith(f"error: {empty.path}/file/home cannot be written to, and Dagster ")


def test_the_command_of_a_message_can_be_pasted() -> None:
    sentence = rerun_with("mvtec_ad", "allow_shrink")
    assert sentence.startswith("run, with the same variables: make materialize ARGS=")
    pasted = sentence.partition(": ")[2].partition(", or ")[0]
    # Make gives ARGS to the command, after the shell has read it.
    read = subprocess.run(
        ["bash", "-c", f"make() {{ eval printf '%s\\\\n' \"${{2#ARGS=}}\"; }}; {pasted}"],
        capture_output=True,
        text=True,
        check=True,
    )
    option, config = read.stdout.splitlines()
    assert (option, json.loads(config)) == ("--config-json", CONFIG)
