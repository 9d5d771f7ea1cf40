"""Define the fixtures of all tests: the project's folder, and a separate environment."""

import gc
import os
import shutil
from collections.abc import Generator, Iterator
from pathlib import Path

import psutil
import pytest
from hypothesis import HealthCheck, settings

from anomaly_assets_tests.assets.environment import Environment, set_up
from anomaly_assets_tests.assets.trees import write_tiny_roots

# A machine that is busy with other things generates examples slowly; no test fails because of that.
settings.register_profile("busy", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("busy")

PROJECT_ROOT = Path(__file__).parents[1]
_FOLDER = f"{Path(__file__).parent}/"

SLOW = (
    *(
        "assets/test_consent",
        "assets/test_large_reports",
        "assets/test_notices",
        "assets/test_previews",
        "assets/test_purge",
    ),
    *("assets/test_real_excerpts", "assets/test_tensor_shape", "dask/test_cluster"),
    *("bad_input/test_archives", "bad_input/test_files", "bad_input/test_names"),
    *("decoding/test_build_interrupted",),
    *("declared/test_life", "declared/test_processes"),
    *("dask/test_example", "dask/test_taking_part", "documents/test_ci", "documents/test_commands"),
    "evaluation/test_backbone",
    *("examples/", "export/test_main", "notebooks/", "previews/test_many", "reader/test_connect"),
    *(
        "reader/test_fetch",
        "reader/test_other_systems",
        "reader/test_swaps",
        "reader/test_torch",
        "reader/test_vision",
    ),
    *("reader/test_training", "releases/", "site/", "tables/test_registry_grows"),
    *("test_automation_repeats", "test_command_line", "test_install", "warehouse/test_interrupted"),
)
"""Modules of slow tests: they load many roots, run many graphs, or need a cluster or a copy of the
project."""

SERVERS = {"checkout", "postgres", "s3", "servers"}
"""Fixtures that start servers or install the project. Tests that use one are slow."""

LONGEST = (
    *("warehouse/lake/", "dask/", "documents/", "notebooks/", "stores/"),
    *("test_command_line", "test_install", "inspection/", "tables/test_registry_grows"),
    *("declared/", "releases/", "test_automation_repeats", "examples/"),
    *("warehouse/", "reader/", "assets/", "bad_input/", "cli/", "catalogue/"),
)
"""Tests that begin first, so that of several processes none is left alone with a long module."""


SHARED_MEMORY = Path("/dev/shm")
MEMORY_OF_FAST_TESTS, MEMORY_OF_ALL_TESTS = 2_000_000_000, 12_000_000_000
"""Free bytes that temporary folders in memory need; installations of slow tests take most of them."""


def pytest_configure(config: pytest.Config) -> None:
    """Put temporary folders into memory if it has room, unless a variable or `--basetemp` names a place.

    DuckDB and publishing call `fsync` forty times in a test of a warehouse. On a disk each call takes
    milliseconds, and syncing a file system waits for everything that other processes write.
    """
    named = {"PYTEST_DEBUG_TEMPROOT", "TMPDIR", "PYTEST_XDIST_WORKER"} & os.environ.keys()
    if named or config.getoption("basetemp") or not SHARED_MEMORY.is_dir():
        return
    if os.statvfs(SHARED_MEMORY).f_flag & os.ST_NOEXEC:  # tests install packages there
        return
    fast = "not slow" in config.getoption("-m")
    free = min(shutil.disk_usage(SHARED_MEMORY).free, psutil.virtual_memory().available)
    if free > (MEMORY_OF_FAST_TESTS if fast else MEMORY_OF_ALL_TESTS):
        os.environ["PYTEST_DEBUG_TEMPROOT"] = str(SHARED_MEMORY)


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """Take the collected tests and all imported modules out of garbage collection.

    Half a million objects stay until the end. Looking through them took a quarter of the time of
    collecting, and a part of the time of each test that makes many objects.
    """
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.enable()


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Do not import modules of slow tests, and so PyTorch and Dask, if `-m` excludes slow tests."""
    if "not slow" not in config.getoption("-m"):
        return None
    path = str(collection_path).removeprefix(_FOLDER)
    return path.startswith(SLOW) or None


@pytest.hookimpl(tryfirst=True)  # before the expression of `-m` is evaluated
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the slow tests, and sort the longest tests first; those of a module stay in order."""
    places = [*LONGEST, ""]

    def path_of(item: pytest.Item) -> str:
        return str(item.path).removeprefix(_FOLDER)

    for item in items:
        uses_server = not SERVERS.isdisjoint(getattr(item, "fixturenames", ()))
        if uses_server or path_of(item).startswith(SLOW):
            item.add_marker(pytest.mark.slow)
    items.sort(
        key=lambda item: next(n for n, at in enumerate(places) if path_of(item).startswith(at))
    )


@pytest.fixture(scope="session")
def project_root() -> Path:
    """Return the checkout."""
    return PROJECT_ROOT


@pytest.fixture(scope="session")
def real_root(project_root: Path) -> Path:
    """Return the real excerpts beside the checkout, or skip the test."""
    root = project_root.parent / "shared" / "real"
    if not root.is_dir():
        pytest.skip(f"no real excerpts at {root}")
    return root


@pytest.fixture
def environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Environment:
    """Set all settings to paths in `tmp_path`; the roots do not exist yet."""
    return set_up(tmp_path, monkeypatch)


@pytest.fixture
def samples(environment: Environment) -> Environment:
    """Add copies of the committed sample roots to the environment: 34 and 28 images."""
    environment.copy_roots(PROJECT_ROOT / "data" / "samples")
    return environment


@pytest.fixture
def tiny(environment: Environment) -> Environment:
    """Add roots of a few tiny images to the environment: 9 and 4."""
    write_tiny_roots(environment)
    return environment


@pytest.fixture(scope="session")
def refreshed_once(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Run the whole graph once on the roots of `tiny`; returns the folder of its files."""
    from anomaly_assets_tests.assets.runs import run_job  # imports Dagster

    folder = tmp_path_factory.mktemp("refreshed")
    with pytest.MonkeyPatch.context() as monkeypatch:
        environment = set_up(folder, monkeypatch)
        write_tiny_roots(environment)
        assert run_job().success
    shutil.copytree(folder / "roots", folder / "roots_as_loaded")
    return folder


@pytest.fixture
def refreshed(refreshed_once: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Environment:
    """Return an environment like `tiny`, after one run of the whole graph with default settings.

    The roots stay in one place and are copied for each test, because a warehouse records its roots. The
    warehouse, the published database and its pictures are copied to `tmp_path`.
    """
    shutil.rmtree(refreshed_once / "roots")
    shutil.copytree(refreshed_once / "roots_as_loaded", refreshed_once / "roots")
    for name in ("work", "published"):
        shutil.copytree(refreshed_once / name, tmp_path / name)
    return set_up(tmp_path, monkeypatch, roots=refreshed_once / "roots")


@pytest.fixture(scope="module")
def module_environment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Environment]:
    """Create an environment for the tests of one module that share a run."""
    with pytest.MonkeyPatch.context() as monkeypatch:
        yield set_up(tmp_path_factory.mktemp("environment"), monkeypatch)
