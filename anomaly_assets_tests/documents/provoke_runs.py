"""Provoke the messages of installing and of running."""

from __future__ import annotations

import shutil
import signal
import socket
import sys
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

import dagster as dg
import duckdb
import pytest
from click.testing import CliRunner

from anomaly_assets.assets import home
from anomaly_assets.assets.interrupts import hearing_interrupts
from anomaly_assets.assets.selection import RunConfigError, refuse_unknown_steps, selected_keys
from anomaly_assets.cli.materialize import command as materialize
from anomaly_assets.cli.running import UsageError
from anomaly_assets.definitions import defs
from anomaly_assets.recipes import Recipe
from anomaly_assets.settings import unknown_variables
from anomaly_assets.tables.ddl import refresh
from anomaly_assets.warehouse.file.warehouse import FileWarehouse
from anomaly_assets_tests.documents.scene import PROJECT, Ended, Scene, saying
from anomaly_assets_tests.warehouse.project import SPEC


@saying("This project needs Python")
def _(scene: Scene) -> object:
    python = scene.folder / "python3"
    python.write_text(
        '#!/bin/sh\ncase "$1" in -c) exit 1;; *) echo Python 3.9.2;; esac\n', encoding="utf-8"
    )
    python.chmod(0o755)
    return _make_without_environment(scene, f"materialize PYTHON={python}")


@saying("The virtual environment was not created")
def _(scene: Scene) -> object:
    # Debian adds this message to Python; it appears if a package is missing that is installed here.
    for module in Path("/usr/lib").glob("python3.*/venv/__init__.py"):
        if "python3-venv" in (text := module.read_text("utf-8")):
            return text
    pytest.skip("no Python of Debian")


@saying("ERROR: THESE PACKAGES DO NOT MATCH")
def _(scene: Scene) -> object:
    with zipfile.ZipFile(scene.folder / "thing-1-py3-none-any.whl", "w") as wheel:
        about = "thing-1.dist-info"
        wheel.writestr(f"{about}/METADATA", "Metadata-Version: 2.1\nName: thing\nVersion: 1\n")
        wheel.writestr(f"{about}/WHEEL", "Wheel-Version: 1.0\nTag: py3-none-any\n")
        wheel.writestr(f"{about}/RECORD", "")
    lock = scene.folder / "requirements.lock"
    lock.write_text(f"thing==1 --hash=sha256:{'0' * 64}\n", encoding="utf-8")
    options = f"--no-index --find-links {scene.folder} --require-hashes --dry-run"
    return _printed(scene, f"{sys.executable} -m pip install {options} -r {lock}")


@saying("make: .venv/bin/python")
def _(scene: Scene) -> object:
    return _make_without_environment(scene, "types", installed=True)


@saying("ModuleNotFoundError: No module named 'anomaly_assets'")
def _(scene: Scene) -> object:
    command = f"{sys.executable} -c 'import anomaly_assets.definitions'"
    return _printed(scene, command, folder=scene.folder)


@saying("There is no chromium")
def _(scene: Scene) -> object:
    programs = scene.folder / "bin"
    programs.mkdir()
    for name in ("sh", "bash"):
        (programs / name).symlink_to(str(shutil.which(name)))
    (programs / "apt-get").write_text("#!/bin/sh\nexit 100\n")
    (programs / "apt-get").chmod(0o755)
    return scene.checkout.run(f"PATH={programs} {shutil.which('make')} chromium")


@saying("Error: Invalid set of CLI arguments")
def _(scene: Scene) -> object:
    from dagster._cli import create_dagster_cli

    scene.patch.chdir(scene.folder)
    command = ["asset", "materialize", "--select", "*"]
    return CliRunner().invoke(create_dagster_cli(), command).output


@saying("--select '…': no asset has this name")
def _(scene: Scene) -> object:
    return selected_keys("mvtec_ad", defs.get_repository_def().asset_graph)


@saying("--select '…': a run reads")
def _(scene: Scene) -> object:
    return selected_keys("mvtec_ad/files", defs.get_repository_def().asset_graph)


@saying("Run config names the step")
def _(scene: Scene) -> object:
    config = {"ops": {"mvtec_ad/images": {"config": {"categories": ["bottle"]}}}}
    with pytest.raises(RunConfigError) as refused:
        refuse_unknown_steps(config, defs.get_repository_def().asset_graph, {"mvtec_ad"})
    return refused.value


@saying("No asset has partitions")
def _(scene: Scene) -> object:
    with pytest.raises(UsageError) as refused:
        materialize.main(["--partition", "bottle"], standalone_mode=False)
    return refused.value


@saying("The variable … is set, but")
def _(scene: Scene) -> object:
    return unknown_variables({"MVTEC_ROOT": "/data"})[0]


@saying('$DAGSTER_HOME "…" must be')
def _(scene: Scene) -> object:
    return _instance(scene, "data/dagster_home")


@saying('$DAGSTER_HOME "…" is not')
def _(scene: Scene) -> object:
    return _instance(scene, str(scene.folder / "none"))


@saying("… cannot be written to, and Dagster")
def _(scene: Scene) -> object:
    shutil.copy(PROJECT / "dagster.yaml", scene.folder)
    scene.patch.setattr(home.os, "access", lambda *_: False)
    return _instance(scene, str(scene.folder))


@saying("Couldn't import module anomaly_assets.assets.home")
def _(scene: Scene) -> object:
    shutil.copy(PROJECT / "dagster.yaml", scene.folder)
    scene.patch.setitem(sys.modules, "anomaly_assets.assets.home", None)
    return _instance(scene, str(scene.folder))


@saying("Port … of 127.0.0.1 cannot be used")
def _(scene: Scene) -> object:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        code, printed = scene.checkout.attempt(f"make ui PORT={taken.getsockname()[1]}")
    assert code != 0
    assert "Serving" not in printed
    return printed


@saying("IO Error: Could not set lock")
def _(scene: Scene) -> object:
    with _elsewhere_open(scene):
        return duckdb.connect(str(scene.project.warehouse.path), read_only=True)


@saying("… is open in … (process id …)")
def _(scene: Scene) -> object:
    with (
        _elsewhere_open(scene),
        FileWarehouse(scene.project.warehouse.path, 0.1).connect() as found,
    ):
        return found


@saying("… was held for more than")
def _(scene: Scene) -> object:
    script = (
        "import pathlib, time\n"
        "from anomaly_assets.warehouse.file.warehouse import FileWarehouse\n"
        f"path = pathlib.Path({str(scene.project.warehouse.path)!r})\n"
        "with FileWarehouse(path, 5.0).refreshing('mvtec_ad'):\n"
        "    print('held', flush=True)\n"
        "    time.sleep(60)\n"
    )
    waiting = FileWarehouse(scene.project.warehouse.path, 0.1)
    with Ended(scene.other_process(script)), waiting.refreshing("mvtec_ad") as found:
        return found


@saying("The run was asked to stop")
def _(scene: Scene) -> object:
    with hearing_interrupts() as heard, _handled(signal.SIGTERM, lambda *_: None):
        signal.raise_signal(signal.SIGTERM)
        with pytest.raises(dg.DagsterExecutionInterruptedError) as interrupted:
            heard.refuse_to_go_on()
    return interrupted.value


@saying("KeyboardInterrupt: A query")
def _(scene: Scene) -> object:
    endless = "SELECT count(*) FROM range(10_000_000) AS a, range(10_000_000) AS b"
    with _handled(signal.SIGALRM, signal.default_int_handler):
        signal.setitimer(signal.ITIMER_REAL, 0.5)
        with pytest.raises(KeyboardInterrupt) as interrupted:
            scene.project.rows(endless)
    return f"{interrupted.typename}: {interrupted.value}"


@saying("The warehouse has no … yet")
def _(scene: Scene) -> object:
    with FileWarehouse(scene.folder / "warehouse.duckdb").connect() as connection:
        return refresh(connection, "samples")


@saying("Nothing was published, because blocking")
def _(scene: Scene) -> object:
    return scene.project.warehouse.publish(scene.folder / "new.duckdb", Recipe(16, 16, 3))


@saying("Nothing was published: …")
def _(scene: Scene) -> object:
    published = scene.published
    scene.project.rows("UPDATE identity SET warehouse_id = 'another'")
    return scene.project.warehouse.publish(published, SPEC)


@saying("Nothing was published, because samples")
def _(scene: Scene) -> object:
    published = scene.published
    for table in ("mvtec_ad.images", "image_tensors"):
        scene.project.rows(f"DELETE FROM {table} WHERE image_id LIKE 'mvtec_ad/carpet/%'")
    return scene.project.warehouse.publish(published, SPEC)


@saying("counts_equal_the_official_ones of samples")
def _(scene: Scene) -> object:
    return scene.checkout.first_run


@contextmanager
def _handled(
    number: signal.Signals, handler: Callable[[int, FrameType | None], object]
) -> Iterator[None]:
    before = signal.signal(number, handler)
    try:
        yield
    finally:
        signal.signal(number, before)


def _elsewhere_open(scene: Scene) -> Ended:
    script = (
        "import duckdb, time\n"
        f"connection = duckdb.connect({str(scene.project.warehouse.path)!r})\n"
        "print('open', flush=True)\n"
        "time.sleep(60)\n"
    )
    return Ended(scene.other_process(script))


def _make_without_environment(scene: Scene, arguments: str, *, installed: bool = False) -> str:
    (scene.folder / "tools").mkdir()
    for name in ("Makefile", "requirements.lock", "dagster.yaml", "tools/anomaly-assets"):
        shutil.copy(PROJECT / name, scene.folder / name)
    (scene.folder / ".venv").mkdir()
    if installed:
        (scene.folder / ".venv" / ".installed").touch()
    return _printed(scene, f"make {arguments}", folder=scene.folder)


def _printed(scene: Scene, command: str, folder: Path | None = None) -> str:
    """Return the output of a command that fails."""
    code, printed = scene.checkout.attempt(command, folder=folder)
    assert code != 0, printed
    return printed


def _instance(scene: Scene, folder: str) -> object:
    from dagster import DagsterInstance

    scene.patch.setenv("DAGSTER_HOME", folder)
    return DagsterInstance.get()
