"""Test Dagster's own commands, run like in CI and by users: exit codes and leftovers."""

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import duckdb
import pytest

from anomaly_assets_tests.assets.environment import Environment


@dataclass
class Command:
    """A command that was started in the project root, with a separate Dagster home."""

    process: "subprocess.Popen[bytes]"
    printed: Path

    def end(self) -> tuple[int, str]:
        """Wait for the end; return its exit code and output."""
        try:
            code = self.process.wait(timeout=300)
        finally:
            self.process.kill()
        return code, self.printed.read_text("utf-8")


class Shell:
    """Function objects that start commands in the project root."""

    def __init__(self, project_root: Path, folder: Path) -> None:
        self.project_root = project_root
        self.folder = folder
        self.homes = 0

    def dagster(self, *arguments: str, **variables: str) -> Command:
        """Start `python -m dagster` with these arguments and environment variables."""
        self.homes += 1
        home = self.folder / f"dagster_home_{self.homes}"
        home.mkdir(parents=True)
        shutil.copy(self.project_root / "dagster.yaml", home)
        printed = home / "printed.txt"
        # Without a network nothing is evaluated, while the other run would wait for the warehouse.
        variables = {"DAGSTER_HOME": str(home), "ANOMALY_BACKBONE": "none.pt", **variables}
        # A file and not a pipe: a full pipe would block the command while the test waits for another one.
        with printed.open("wb") as output:
            process = subprocess.Popen(
                [sys.executable, "-m", "dagster", *arguments],
                cwd=self.project_root,
                env={**os.environ, **variables},
                stdout=output,
                stderr=subprocess.STDOUT,
            )
        return Command(process, printed)

    def materialize(self, select: str, *arguments: str, **variables: str) -> Command:
        """Start `dagster asset materialize` like in the README."""
        return self.dagster(
            *("asset", "materialize", "-m", "anomaly_assets.definitions", "--select", select),
            *arguments,
            **variables,
        )


@pytest.fixture(scope="module")
def shell(project_root: Path, tmp_path_factory: pytest.TempPathFactory) -> Shell:
    return Shell(project_root, tmp_path_factory.mktemp("shell"))


@pytest.fixture(scope="module")
def overlapping(
    project_root: Path, shell: Shell, module_environment: Environment
) -> list[tuple[int, str]]:
    """Run everything twice at the same time, on a warehouse that does not exist yet."""
    module_environment.copy_roots(project_root / "data" / "samples")
    commands = [shell.materialize("*") for _ in range(2)]
    return [command.end() for command in commands]


def test_materializing_everything_exits_0_and_leaves_a_database_to_query(
    overlapping: list[tuple[int, str]], module_environment: Environment
) -> None:
    for code, output in overlapping:
        assert code == 0, output
        assert output.count(", refreshed: ") == 2
        assert " - DEBUG - " not in output
        assert "Deprecat" not in output
        assert "dagster-embedded-elt" not in output
    assert module_environment.query(
        "SELECT source_dataset, label, count(*) FROM anomaly.samples GROUP BY ALL ORDER BY ALL"
    ) == [
        ("dagm_2007", "anomalous", 6),
        ("dagm_2007", "good", 22),
        ("mvtec_ad", "anomalous", 12),
        ("mvtec_ad", "good", 22),
    ]


def test_of_two_runs_that_overlap_one_does_the_work_and_the_other_finds_it_done(
    overlapping: list[tuple[int, str]], module_environment: Environment
) -> None:
    assert [code for code, _ in overlapping] == [0, 0]
    query = """
        SELECT source_dataset, rows_inserted, rows_updated, rows_deleted, status
        FROM load_history
        ORDER BY ALL
    """
    assert module_environment.query(query) == [
        ("dagm_2007", 28, 0, 0, "completed"),
        ("mvtec_ad", 34, 0, 0, "completed"),
    ]
    # Tensors and snapshot are of the same run: nothing was decoded or published twice.
    decoded = module_environment.query("SELECT DISTINCT run_id FROM image_tensors")
    assert len(decoded) == 1
    assert module_environment.query("SELECT run_id FROM snapshots") == decoded


def test_the_other_commands_exit_as_ci_expects(
    overlapping: list[tuple[int, str]],
    shell: Shell,
    module_environment: Environment,
    tmp_path: Path,
) -> None:
    assert [code for code, _ in overlapping] == [0, 0]
    published = module_environment.database.read_bytes()
    alone = tmp_path / "alone" / "warehouse.duckdb"
    broken = tmp_path / "broken.duckdb"
    shutil.copyfile(module_environment.warehouse, broken)
    with duckdb.connect(str(broken)) as connection:  # a dataset that is not refreshed keeps this
        connection.execute("INSERT INTO dagm_2007.images FROM dagm_2007.images LIMIT 1")
    # Three at once, because each spends most of its time importing.
    commands = {
        "blocking": shell.materialize("*", DAGM_2007_ROOT="", ANOMALY_WAREHOUSE=str(broken)),
        "alone": shell.materialize("mvtec_ad/images", ANOMALY_WAREHOUSE=str(alone)),
        "validate": shell.dagster("definitions", "validate", "-w", "workspace.yaml"),
    }
    ends = {name: command.end() for name, command in commands.items()}

    code, output = ends["blocking"]
    assert code == 1, output
    # The cause is the last line, after a line for every step that was not run.
    assert "images: image_ids_are_unique" in output.splitlines()[-3]
    assert module_environment.database.read_bytes() == published

    code, output = ends["alone"]
    assert code == 0, output
    assert module_environment.query("SELECT count(*) FROM mvtec_ad.images", database=alone) == [
        (34,)
    ]

    code, output = ends["validate"]
    assert code == 0, output
    assert "Validation successful for code location anomaly_assets." in output
