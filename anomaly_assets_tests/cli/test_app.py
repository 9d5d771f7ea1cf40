"""Test the console command: sub-commands, help, exit codes, completion, and the older names."""

from __future__ import annotations

import ast
import importlib
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import click
import pytest

from anomaly_assets import __version__, signals
from anomaly_assets.cli import app
from anomaly_assets.cli.app import main
from anomaly_assets.cli.running import CommandError, UsageError, expected, run
from anomaly_assets_tests.catalogue.trees import write
from anomaly_assets_tests.sampled import SAMPLED

PROJECT = Path(__file__).parents[2]
CLI = PROJECT / "anomaly_assets" / "cli"
NAMES = [*app._MODULES]
OLD_NAMES = {
    "anomaly_assets.excerpt": "excerpt",
    "anomaly_assets.forget": "forget",
    "anomaly_assets.ingest.__main__": "load",
    "anomaly_assets.export.__main__": "export",
    "anomaly_assets.warehouse.__main__": "copy",
    "anomaly_assets.reader.__main__": "info",
}


def test_the_help_names_every_sub_command_and_every_exit_code(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["--help"]) == 0
    printed = capsys.readouterr().out
    for name in NAMES:
        assert f"\n  {name} " in printed
    for code in ("0 ", "1 ", "2 ", "130 "):
        assert f"\n    {code}" in printed
    assert "Examples:" in printed


@pytest.mark.parametrize("name", NAMES)
def test_each_sub_command_has_a_help_with_examples(
    name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = {"datasets": [name, "list"], "corrections": [name, "import"]}.get(name, [name])
    assert main([*arguments, "--help"]) == 0
    long = capsys.readouterr().out
    assert "Examples:" in long
    assert main([*arguments, "-h"]) == 0
    assert capsys.readouterr().out == long


@pytest.mark.slow
def test_the_console_script_and_both_modules_start_the_same_command() -> None:
    assert 'anomaly-assets = "anomaly_assets.__main__:main"' in (
        PROJECT / "pyproject.toml"
    ).read_text("utf-8")
    for module in ("anomaly_assets", "anomaly_assets.cli"):
        done = subprocess.run(
            [sys.executable, "-m", module, "--version"], capture_output=True, text=True, check=True
        )
        assert done.stdout == f"anomaly-assets, version {__version__}\n"


@pytest.mark.slow
def test_the_help_of_all_sub_commands_imports_neither_dagster_nor_dlt() -> None:
    program = (
        "import sys; from anomaly_assets.cli.app import main; main(['--help']); "
        "sys.exit(bool({'dagster', 'dlt', 'torch', 'pandas'} & {*sys.modules}))"
    )
    subprocess.run([sys.executable, "-c", program], check=True, stdout=subprocess.DEVNULL)


def test_no_module_of_the_command_imports_dagster() -> None:
    for path in CLI.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom):
                names = [str(node.module)]
            assert not [name for name in names if name.startswith("dagster")], path


@pytest.mark.parametrize(
    "arguments", [["materialise"], ["load"], ["load", "vista"], ["info", "--none"]]
)
def test_arguments_that_cannot_be_used_exit_with_2(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as caught:
        main(arguments)
    assert caught.value.code == 2
    assert "Usage: " in capsys.readouterr().err


WITHOUT = "import runpy, sys; sys.modules.update(dict.fromkeys({missing!r})); sys.argv = {argv!r}; "
START = "runpy.run_module(sys.argv[0], run_name='__main__', alter_sys=True)"


def without(missing: list[str], *argv: str) -> subprocess.CompletedProcess[str]:
    """Run a module of this project where some packages cannot be imported."""
    program = WITHOUT.format(missing=missing, argv=[*argv]) + START
    return subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)


@pytest.mark.slow
@pytest.mark.parametrize("argv", [["anomaly_assets", "info"], ["anomaly_assets.reader"]])
def test_info_needs_no_click(
    argv: list[str], database_free_environment: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", str(PROJECT))
    done = without(["click", "dagster", "dlt"], *argv)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("There is nothing to read yet: ")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("missing", "argv", "said"),
    [
        (
            ["click"],
            ["anomaly_assets", "export"],
            "anomaly-assets needs click: pip install click. ",
        ),
        (
            ["PIL", "tqdm"],
            ["anomaly_assets", "export", "--format", "parquet", "--out", "out"],
            "Exports need Pillow and tqdm: pip install pillow tqdm.",
        ),
        (
            ["dagster"],
            ["anomaly_assets", "materialize"],
            "dagster is not installed. This sub-command ",
        ),
        (
            ["dlt"],
            ["anomaly_assets", "load", "mvtec_ad"],
            "dlt is not installed. This sub-command ",
        ),
    ],
)
def test_a_package_that_is_missing_is_named_without_a_stack_trace(
    missing: list[str],
    argv: list[str],
    said: str,
    database_free_environment: None,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("PYTHONPATH", str(PROJECT))
    done = without(missing, *argv)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith(f"error: {said}")
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.slow
@pytest.mark.parametrize("missing", ["PIL", "tqdm"])
def test_the_import_of_exports_says_what_to_install(missing: str) -> None:
    program = (
        f"import sys; sys.modules[{missing!r}] = None; from anomaly_assets.export import to_parquet"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.stderr.splitlines()[-1] == (
        "ImportError: Exports need Pillow and tqdm: pip install pillow tqdm."
    )


def test_names_that_only_the_data_can_confirm_exit_with_1(
    database_free_environment: None,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    write(tmp_path / "root", "bottle/train/good/000.png")
    monkeypatch.setenv("MVTEC_AD_ROOT", "root")
    for arguments, said in (
        (["load", "mvtec_ad", "--category", "wood"], "MVTec AD has no category 'wood'"),
        (["forget", "mvtec"], "holds no source dataset 'mvtec'"),
    ):
        assert main(arguments) == 1
        assert said in capsys.readouterr().err
    page = " ".join((PROJECT / "docs/command.md").read_text("utf-8").split())
    assert "a name that only the data can confirm, such as" in page


def test_endings_have_their_exit_codes(capsys: pytest.CaptureFixture[str]) -> None:
    def ending(error: BaseException | None) -> int:
        @click.command()
        def command() -> None:
            if error is not None:
                raise error

        return run(command, [], "command")

    assert ending(None) == 0
    assert ending(CommandError("the disk is full")) == 1
    assert ending(UsageError("--a or --b")) == 2
    assert ending(KeyboardInterrupt()) == 130
    assert capsys.readouterr().err.split("\n") == [
        "error: the disk is full",
        "error: --a or --b",
        "",
        "interrupted",
        "",
    ]
    with pytest.raises(ZeroDivisionError):  # a bug keeps its stack trace
        ending(ZeroDivisionError())


def test_expected_errors_of_libraries_keep_their_message() -> None:
    with pytest.raises(CommandError, match="^no such table$"), expected(LookupError):
        raise LookupError("no such table")
    with pytest.raises(UsageError), expected(ValueError):
        raise UsageError("stays what it is")
    with pytest.raises(OSError, match="other"), expected(LookupError):
        raise OSError("other")


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_a_shell_can_complete_names(shell: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["completion", shell]) == 0
    script = capsys.readouterr().out
    assert f"_ANOMALY_ASSETS_COMPLETE={shell}_complete" in script


def test_completion_offers_sub_commands_and_options(monkeypatch: pytest.MonkeyPatch) -> None:
    program = "import sys; sys.argv[0] = 'anomaly-assets'; from anomaly_assets.cli.app import main; main()"
    words = {"anomaly-assets ma": "materialize", "anomaly-assets load --cat": "--category"}
    for line, expected_word in words.items():
        monkeypatch.setenv("_ANOMALY_ASSETS_COMPLETE", "bash_complete")
        monkeypatch.setenv("COMP_WORDS", line)
        monkeypatch.setenv("COMP_CWORD", str(len(line.split()) - 1))
        done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
        assert expected_word in done.stdout


@pytest.mark.parametrize(("module", "name"), OLD_NAMES.items())
def test_an_older_name_is_a_door_to_the_same_command(module: str, name: str) -> None:
    door = importlib.import_module(module)
    assert door.main is importlib.import_module(f"anomaly_assets.cli.{name}").main
    assert door.__file__ is not None
    assert len(Path(door.__file__).read_text("utf-8").splitlines()) <= 8


def test_an_older_name_prints_what_the_new_one_prints(
    database_free_environment: None, capsys: pytest.CaptureFixture[str]
) -> None:
    from anomaly_assets.cli.export import main as export
    from anomaly_assets.cli.info import main as info

    arguments = ["--format", "parquet", "--out", "out"]
    for old, new in ((info, ["info"]), (lambda: export(arguments), ["export", *arguments])):
        assert old() == 1
        by_old_name = capsys.readouterr()
        assert main(new) == 1
        assert capsys.readouterr() == by_old_name
        assert "make materialize" in by_old_name.err


SECRET_ROOTS = {
    "https://user:SEKRIT@h/x": "https://h/x",
    "https://h/x.zip?sig=SEKRIT": "https://h/x.zip",
    "https://user:SE/KRIT@h/x": "https://…",
    "https://me:80/SEKRIT@h/x": "https://…",
    "https:/u:SEKRIT@h/x": "https:/…",
    "s3://b/x?sig=SEKRIT": "s3://b/x",
    "s3://u:pw/SEKRIT@h/x": "s3://…",
    "u:SEKRIT@h/x": "…",
    "user:SEKRIT@h/x": "…",
}
"""Roots with a password or a signature, and what a message shows of each."""


@pytest.mark.parametrize("root", SECRET_ROOTS)
def test_the_list_of_datasets_shows_no_password_and_no_signature_of_a_root(
    root: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("MVTEC_AD_ROOT", root)
    assert main(["datasets", "list"]) == 0
    line, *_ = capsys.readouterr().out.splitlines()
    assert line == f"mvtec_ad: MVTec AD, CC BY-NC-SA 4.0, {SECRET_ROOTS[root]} (MVTEC_AD_ROOT)"


@pytest.mark.parametrize("root", ["u:SEKRIT@h/x", "https:/u:SEKRIT@h/x"])
def test_a_root_that_does_not_exist_is_named_without_a_password(
    root: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["excerpt", "--root", root, "--out", str(tmp_path / "out")]) == 1
    assert "SEKRIT" not in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("module", ["click", "duckdb", "pandas", "numpy"])
def test_a_signal_while_a_command_imports_ends_it_with_130(
    module: str, number: signal.Signals, tmp_path: Path
) -> None:
    # A library that drops the exception of a signal handler during its import.
    (tmp_path / f"{module}.py").write_text(
        "import signal\ntry:\n"
        f"    signal.raise_signal({int(number)})\n"
        "except BaseException:\n    pass\nraise ImportError('went on')\n"
    )
    done = command("info", PYTHONPATH=f"{tmp_path}:{PROJECT}")
    assert (done.returncode, done.stdout) == (130, "")
    assert done.stderr == "interrupted before it began; nothing was changed\n"


def test_every_sub_command_that_opens_duckdb_imports_first_what_duckdb_imports() -> None:
    for name in NAMES:
        text = (CLI / f"{'described' if name == 'info' else name}.py").read_text("utf-8")
        begins = "begin_work()" in text or "begin_reading()" in text
        assert begins == (name != "completion"), name


def test_an_error_after_a_lost_interrupt_is_an_interrupt(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(signals, "_received", [2])

    @click.command()
    @click.argument("kind", type=click.Choice(["bare", "expected", "ours", "none"]))
    def command(kind: str) -> None:
        if kind == "bare":
            raise RuntimeError("Query interrupted")
        if kind == "ours":
            raise CommandError("Query interrupted")
        if kind == "expected":
            with expected(RuntimeError):
                raise RuntimeError("Query interrupted")

    for kind in ("bare", "expected", "ours", "none"):
        assert run(command, [kind], "command") == 130
        assert "interrupted" in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.skipif(not Path("/dev/full").exists(), reason="only Linux has /dev/full")
@pytest.mark.parametrize(
    "arguments", [["--help"], ["datasets", "list"], ["completion", "bash"], ["info", "--help"]]
)
def test_output_that_cannot_be_written_is_an_error_in_one_sentence(arguments: list[str]) -> None:
    with open("/dev/full", "w") as full:
        done = command(*arguments, stdout=full)
    assert done.returncode == 1
    assert done.stderr == "error: The output could not be written: No space left on device.\n"


@pytest.mark.slow
@pytest.mark.parametrize("arguments", [["--help"], ["datasets", "list"]])
def test_a_reader_that_ended_and_a_closed_output_are_no_error(arguments: list[str]) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    with open(writing, "w") as closed:
        done = command(*arguments, stdout=closed)
    assert (done.returncode, done.stderr) == (0, "")
    shell = f"exec {sys.executable} -m anomaly_assets {' '.join(arguments)} >&-"
    closed_by_shell = subprocess.run(["sh", "-c", shell], capture_output=True, text=True)
    assert (closed_by_shell.returncode, closed_by_shell.stderr) == (0, "")


@pytest.mark.parametrize(
    "arguments",
    [
        ["excerpt", "--root", "", "--out", "out"],
        ["excerpt", "--root", "root", "--out", " "],
        ["export", "--format", "parquet", "--out", ""],
        ["export", "--format", "parquet", "--out", "out", "--database", ""],
        ["copy", "--from", "", "--to", "copy.duckdb"],
        ["copy", "--from", "a.duckdb", "--to", ""],
    ],
)
def test_an_empty_path_is_refused(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(arguments)
    assert caught.value.code == 2
    assert "this is empty; name a path." in capsys.readouterr().err


@pytest.mark.parametrize("name", ["samples", "reference"])
def test_an_older_name_that_needs_a_checkout_says_so_where_there_is_none(
    name: str, tmp_path: Path
) -> None:
    (tmp_path / "anomaly_assets").symlink_to(PROJECT / "anomaly_assets")  # as in a wheel: no tools/
    run_there = [sys.executable, "-P", "-m", f"anomaly_assets.{name}"]
    if sys.version_info < (3, 11):
        run_there.remove("-P")
    environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
    done = subprocess.run(run_there, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert done.returncode == 1
    assert done.stderr.startswith(f"error: anomaly_assets.{name} works only in a checkout")
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.slow
def test_the_page_of_tables_is_not_written_in_another_folder(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "anomaly_assets.reference"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(PROJECT)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1
    assert done.stderr.startswith("error: there is no docs/tables.md here.")


def command(
    *arguments: str, stdout: Any = subprocess.PIPE, **variables: str
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "anomaly_assets", *arguments],
        env={**os.environ, **variables},
        stdout=stdout,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=_hear_signals,
    )


def _hear_signals() -> None:
    """Undo what a background shell, or a test in this process, has set: an ignored signal is inherited."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_DFL)


def test_datasets_are_listed_with_the_roots_that_would_be_loaded(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("MVTEC_AD_ROOT", "/data/mvtec_ad")
    monkeypatch.delenv("DAGM_2007_ROOT", raising=False)
    assert main(["datasets", "list"]) == 0
    assert capsys.readouterr().out.splitlines()[:4] == [
        "mvtec_ad: MVTec AD, CC BY-NC-SA 4.0, /data/mvtec_ad (MVTEC_AD_ROOT)",
        "",
        "Built in, and off until their variable names a root:",
        "  DAGM_2007_ROOT      DAGM 2007, CC BY 4.0",
    ]
    monkeypatch.setenv("DAGM_2007_ROOT", "")
    assert main(["datasets", "list"]) == 0
    line = "dagm_2007: DAGM 2007, CC BY 4.0, not refreshed (DAGM_2007_ROOT is empty)"
    assert capsys.readouterr().out.splitlines()[1] == line


def test_samples_are_not_listed_as_roots_beside_data_of_named_roots(
    database_free_environment: None,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    for dataset in SAMPLED.values():
        monkeypatch.delenv(dataset.root_variable, raising=False)
    assert main(["datasets", "list"]) == 0
    assert capsys.readouterr().out.splitlines()[0] == (
        "mvtec_ad: MVTec AD, CC BY-NC-SA 4.0, data/samples/mvtec_ad (samples of the repository; set "
        "MVTEC_AD_ROOT)"
    )
    assert not (tmp_path / "data").exists()
    write(tmp_path / "root", "bottle/train/good/000.png")
    monkeypatch.setenv("MVTEC_AD_ROOT", "root")
    assert main(["load", "mvtec_ad"]) == 0
    monkeypatch.delenv("MVTEC_AD_ROOT")
    capsys.readouterr()
    assert main(["datasets", "list"]) == 0
    listed = capsys.readouterr().out.splitlines()
    assert main(["load", "dagm_2007"]) == 0
    reason = capsys.readouterr().out.removeprefix("DAGM 2007 ").removesuffix(".\n")
    assert reason.startswith("not refreshed (DAGM_2007_ROOT is not set; samples of the repository ")
    assert listed[1] == f"dagm_2007: DAGM 2007, CC BY 4.0, {reason}"
    monkeypatch.setenv("ANOMALY_WAREHOUSE", "md:team")
    assert main(["datasets", "list"]) == 0
    assert "unless the warehouse, which cannot be read now, holds data" in capsys.readouterr().out


def test_a_misspelled_variable_is_a_warning(
    database_free_environment: None,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("ANOMALY_DATABSE", "hidden")
    sentence = (
        "warning: The variable ANOMALY_DATABSE is set, but it is not a setting: it is ignored."
    )
    for arguments, code in ((["datasets", "list"], 0), (["info"], 1)):
        assert main(arguments) == code
        printed = capsys.readouterr()
        assert printed.err.startswith(f"{sentence} Did you mean ANOMALY_DATABASE?\n")
        assert "hidden" not in printed.err + printed.out


@pytest.fixture
def database_free_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Work in an empty folder, where nothing is published."""
    monkeypatch.chdir(tmp_path)
    for name in ("ANOMALY_DATABASE", "ANOMALY_WAREHOUSE"):
        monkeypatch.delenv(name, raising=False)
