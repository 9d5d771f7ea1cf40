"""Test the wheel, the source distribution and `make`: their files, and commands in an empty environment.

Empty environments are filled from a package index. Where pip reaches none, these tests are skipped, unless
`ANOMALY_TEST_INSTALL` is `required`, as it is in continuous integration. The test that installs everything
takes more than a minute and runs only then.
"""

from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
import sys
import tarfile
import zipfile
from dataclasses import dataclass
from pathlib import Path

import pytest

from anomaly_assets_tests.documents.checkout import Checkout
from anomaly_assets_tests.documents.markdown import blocks
from anomaly_assets_tests.reader.published import publish_pictures
from tools.port import HOST, obstacle

READER_ONLY = ("docs/reading.md", "pip install -r requirements-reader.txt")
"""Page and first line of the block that installs the reader alone."""

_REQUIRED = os.environ.get("ANOMALY_TEST_INSTALL") == "required"
_SHIPPED = {".py", ".json", ".sql", ".toml", ".typed", ".html", ".css", ".js"}
_OF_LINTERS = {"ruff.toml", "tsconfig.json"}
_PROBE_SECONDS = 60


@dataclass(frozen=True)
class Distributions:
    """Files that were built from a clean copy of the project.

    Attributes:
        checkout: The copy.
        source: The source distribution.
        wheel: Built from the copy.
        wheel_of_source: Built from the source distribution.
    """

    checkout: Path
    source: Path
    wheel: Path
    wheel_of_source: Path


@pytest.fixture(scope="module")
def distributions(project_root: Path, tmp_path_factory: pytest.TempPathFactory) -> Distributions:
    folder = tmp_path_factory.mktemp("distributions")
    checkout, unpacked = folder / "checkout", folder / "unpacked"
    checkout.mkdir()
    Checkout(project_root, checkout)
    (checkout / ".venv").rename(folder / "environment")
    source = checkout / "dist" / _build("sdist", checkout)
    with tarfile.open(source) as archive:
        archive.extractall(unpacked, filter="data")
    [beside] = unpacked.iterdir()
    return Distributions(
        checkout,
        source,
        checkout / "dist" / _build("wheel", checkout),
        beside / "dist" / _build("wheel", beside),
    )


def _build(kind: str, folder: Path) -> str:
    code = f"import setuptools.build_meta as backend; print(backend.build_{kind}('dist'))"
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()[-1]


def test_the_wheel_has_every_file_of_the_package_and_no_other(distributions: Distributions) -> None:
    package = distributions.checkout / "anomaly_assets"
    expected = {
        path.relative_to(distributions.checkout).as_posix()
        for path in package.rglob("*")
        if path.suffix in _SHIPPED and path.name not in _OF_LINTERS
    }
    found = _names(distributions.wheel)
    assert {name for name in found if ".dist-info/" not in name} == expected
    assert "anomaly_assets/py.typed" in found
    assert any(name.endswith(".dist-info/licenses/LICENSE") for name in found)


def test_the_source_distribution_builds_the_same_wheel(distributions: Distributions) -> None:
    assert distributions.wheel_of_source.name == distributions.wheel.name
    assert _contents(distributions.wheel_of_source) == _contents(distributions.wheel)


def test_the_ranges_of_the_reader_are_those_of_the_project(project_root: Path) -> None:
    text = (project_root / "pyproject.toml").read_text("utf-8")
    [section] = re.findall(r"^dependencies = \[$(.*?)^\]$", text, re.M | re.S)
    wanted = (project_root / "requirements-reader.txt").read_text("utf-8")
    lines = [line.partition("#")[0].strip() for line in wanted.splitlines()]
    ranges = {line for line in lines if line}
    assert {re.split("[<>=]", line)[0] for line in ranges} == {
        *("duckdb", "filelock", "numpy", "pyarrow", "pytz")
    }
    assert ranges <= set(re.findall(r'^  "([^"]+)"', section, re.M))


def test_the_versions_of_python_are_the_same_wherever_they_are_named(project_root: Path) -> None:
    def text(name: str) -> str:
        return (project_root / name).read_text("utf-8")

    project = text("pyproject.toml")
    [(first, end)] = re.findall(r'^requires-python = ">=3\.(\d+),<3\.(\d+)"$', project, re.M)
    minors = [*range(int(first), int(end))]
    named = re.findall(r'"Programming Language :: Python :: 3\.(\d+)"', project)
    assert [*map(int, named)] == minors
    assert f"environments = [\"python_version < '3.{end}' " in project
    assert f"python_full_version < '3.{end}'" in text("requirements.lock").partition("\n")[0]
    for page in ("README.md", "CONTRIBUTING.md", "docs/troubleshooting.md", "Makefile"):
        assert f"Python 3.{minors[0]} to 3.{minors[-1]}" in text(page), page
    assert f"(3, {minors[0]}) <= sys.version_info[:2] <= (3, {minors[-1]})" in text("Makefile")


@pytest.fixture
def made(project_root: Path, tmp_path: Path) -> Checkout:
    """Return a copy with an environment that an older Makefile made, and the command that `make` adds."""
    (tmp_path / "first place").mkdir()
    copy = Checkout(project_root, tmp_path / "first place")
    copy.run("make .venv/bin/anomaly-assets")
    return copy


def test_the_command_of_a_checkout_runs_its_code_in_any_folder(
    made: Checkout, tmp_path: Path
) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "click.py").write_text("raise SystemExit('imported from the working folder')")
    folder = made.folder.rename(tmp_path / "second place")
    (folder / "anomaly_assets" / "version.py").write_text("__version__ = 'of this copy'\n")
    (tmp_path / "link").symlink_to(folder / ".venv" / "bin" / "anomaly-assets")
    for command in (
        f"'{folder}/.venv/bin/anomaly-assets'",
        "'../second place/.venv/bin/anomaly-assets'",
        f"PATH='{folder}/.venv/bin':$PATH anomaly-assets",
        "../link",
    ):
        printed = made.run(f"{command} --version", folder=elsewhere)
        assert printed == "anomaly-assets, version of this copy\n"
    code, printed = made.attempt("../link export --format zip --out 'a folder'", folder=elsewhere)
    assert code == 2
    assert printed.startswith("Usage: anomaly-assets export ")


def test_make_renews_the_command_with_its_environment(made: Checkout) -> None:
    command = made.folder / ".venv" / "bin" / "anomaly-assets"
    before = command.stat().st_mtime_ns
    made.run("make .venv/bin/anomaly-assets")
    assert command.stat().st_mtime_ns == before
    command.unlink()
    assert "tools/anomaly-assets" in made.run("make --dry-run materialize")
    (made.folder / "requirements.lock").touch()
    wanted = made.run("make --dry-run types").splitlines()
    [install] = [n for n, line in enumerate(wanted) if "-r requirements.lock" in line]
    [copy] = [n for n, line in enumerate(wanted) if "cp tools/anomaly-assets" in line]
    assert install < copy < len(wanted) - 1


def test_a_port_is_refused_with_a_sentence_before_anything_starts() -> None:
    with socket.create_server((HOST, 0)) as taken:
        port = taken.getsockname()[1]
        assert str(obstacle(str(port))).startswith(
            f"Port {port} of 127.0.0.1 cannot be used (Address already in use). "
        )
    assert obstacle(str(port)) is None
    for text in ("", "abc", "0", "65536", "-1"):
        assert str(obstacle(text)).startswith(f"PORT={text} is not a port. ")


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Skip tests that need a package index if pip reaches none."""
    folder = tmp_path_factory.mktemp("probe")
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--no-cache-dir"]
    try:
        done = subprocess.run(
            [*command, "--retries", "0", "--dest", str(folder), "pytz"],
            capture_output=True,
            text=True,
            check=False,
            timeout=_PROBE_SECONDS,
        )
        why = done.stderr if done.returncode else ""
    except subprocess.TimeoutExpired:
        why = "pip did not answer in time"
    if why and _REQUIRED:
        pytest.fail(f"ANOMALY_TEST_INSTALL is required, and pip reaches no index: {why}")
    if why:
        pytest.skip("pip reaches no package index")


class Empty:
    """A new environment with nothing but pip in it, and an empty folder to work in."""

    def __init__(self, folder: Path) -> None:
        subprocess.run([sys.executable, "-m", "venv", str(folder / "environment")], check=True)
        self.folder = folder / "work"
        self.folder.mkdir()
        self._programs = folder / "environment" / "bin"

    def run(self, script: str, *, folder: Path | None = None, **variables: str) -> str:
        """Run a script of bash that has to exit with 0; returns what it printed."""
        kept = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("ANOMALY_", "DAGSTER_", "PYTHON"))
        }
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", script],
            cwd=folder or self.folder,
            env={
                **kept,
                "PATH": f"{self._programs}{os.pathsep}{kept['PATH']}",
                "PIP_DISABLE_PIP_VERSION_CHECK": "1",
                "PIP_NO_COMPILE": "1",  # takes as long as unpacking
                **variables,
            },
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout[-5000:]
        return done.stdout


READ = """
import sys
from anomaly_assets import AnomalyAssetsError, open_samples
from anomaly_assets.reader import cached_selections, list_snapshots
with open_samples({database!r}, category="bottle") as samples:
    batch = next(samples.batches(4, shuffle=0))
    cached = samples.cache("cache")
    assert cached.normalised()[0].image.shape == batch.images.shape[1:]
    print(len(samples), batch.images.shape, batch.images.dtype)
assert len(cached_selections("cache")) == len(list_snapshots({database!r})) == 1
try:
    open_samples("nowhere.duckdb")
except FileNotFoundError:
    pass
# Modules for databases on a server, which need the extra of their kind.
import anomaly_assets.reader.pixels.lake
from anomaly_assets.warehouse.motherduck.warehouse import connect_motherduck
assert "site-packages" in anomaly_assets.__file__
"""

TYPED = """
from anomaly_assets import Batch, open_samples
batch: Batch = next(open_samples("anomaly.duckdb").batches(4))
names: list[str] = batch.image_ids
wrong: int = open_samples("anomaly.duckdb")
"""


@pytest.mark.usefixtures("index")
def test_the_reader_runs_with_what_its_page_installs(
    distributions: Distributions, tmp_path: Path
) -> None:
    page, first_line = READER_ONLY
    [block] = [
        each for each in blocks(distributions.checkout, page) if each.first_line == first_line
    ]
    database = publish_pictures(tmp_path / "published").folder / "anomaly.duckdb"
    environment = Empty(tmp_path)
    printed = environment.run(block.text, folder=distributions.checkout)
    assert "ERROR" not in printed
    listed = environment.run("python -m pip list --format freeze").splitlines()
    installed = {line.partition("==")[0].lower().replace("-", "_") for line in listed}
    assert installed - {"pip", "setuptools"} == {
        *("anomaly_assets", "duckdb", "filelock", "numpy", "pyarrow", "pytz")
    }
    script = environment.folder / "train.py"
    script.write_text(READ.format(database=str(database)), "utf-8")
    assert environment.run("python train.py") == "8 (4, 8, 6, 3) uint8\n"
    for command in ("anomaly-assets info", "python -m anomaly_assets.reader"):
        printed = environment.run(command, ANOMALY_DATABASE=str(database))
        assert printed.startswith(f"{database} holds ")
    assert "needs click: pip install click." in environment.run("anomaly-assets --help || true")
    # Type checkers find the types of the package; pyarrow has none.
    (environment.folder / "typed.py").write_text(TYPED, "utf-8")
    checked = environment.run(
        f'{sys.executable} -m mypy --strict --python-executable "$(command -v python)" typed.py || true'
    )
    assert re.findall(r"^typed.py:(\d+): error: (.*)$", checked, re.M) == [
        (
            "5",
            'Incompatible types in assignment (expression has type "Samples", variable has type "int")'
            "  [assignment]",
        )
    ]


@pytest.mark.skipif(
    not _REQUIRED, reason="installs all packages: set ANOMALY_TEST_INSTALL=required"
)
@pytest.mark.usefixtures("index")
def test_the_wheel_runs_the_whole_graph_in_an_empty_environment(
    distributions: Distributions, tmp_path: Path
) -> None:
    environment = Empty(tmp_path)
    samples = environment.folder / "roots"
    shutil.copytree(distributions.checkout / "data" / "samples", samples)
    # Install the versions of requirements.lock, because the newest versions may be incompatible.
    locked = (distributions.checkout / "requirements.lock").read_text("utf-8")
    pinned = re.findall(r"^([\w.-]+)(?:\[[\w,]+\])?(==[^ ]+ ;.*?) \\$", locked, re.M)
    constraints = environment.folder / "constraints.txt"
    constraints.write_text("\n".join(map("".join, pinned)), "utf-8")
    environment.run(f"pip install --quiet --constraint constraints.txt {distributions.wheel}")
    environment.run("pip check")
    printed = environment.run(
        "dagster asset materialize -m anomaly_assets.definitions --select '*'\n"
        "python -m anomaly_assets.reader",
        MVTEC_AD_ROOT=str(samples / "mvtec_ad"),
        DAGM_2007_ROOT=str(samples / "dagm_2007"),
        DAGSTER_HOME=str(environment.folder),
        ANOMALY_IMAGE_SIZE="32",
        RUNTIME__DLTHUB_TELEMETRY="false",
    )
    assert "data/anomaly.duckdb holds 62 samples of dagm_2007 and mvtec_ad" in printed


def _names(wheel: Path) -> set[str]:
    with zipfile.ZipFile(wheel) as archive:
        return set(archive.namelist())


def _contents(wheel: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(wheel) as archive:
        return {
            name: archive.read(name)
            for name in archive.namelist()
            if not name.endswith(".dist-info/RECORD")
        }
