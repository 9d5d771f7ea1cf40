"""Test the training example, run as a script while the published file is replaced."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from importlib.util import find_spec
from pathlib import Path

import pytest

from anomaly_assets.reader import open_samples
from anomaly_assets_tests.assets.environment import Environment
from anomaly_assets_tests.documents.markdown import blocks_on_training

pytest.importorskip("torch")


def materialize(project_root: Path, home: Path) -> None:
    command = [sys.executable, "-m", "dagster", "asset", "materialize", "--select", "*"]
    subprocess.run(
        [*command, "-m", "anomaly_assets.definitions"],
        cwd=project_root,
        env={**os.environ, "DAGSTER_HOME": str(home)},
        check=True,
        capture_output=True,
    )


@pytest.fixture(scope="module")
def home(
    module_environment: Environment,
    project_root: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> Path:
    """Return the Dagster home of a first run over the sample data."""
    folder = tmp_path_factory.mktemp("dagster_home")
    shutil.copy(project_root / "dagster.yaml", folder)
    module_environment.copy_roots(project_root / "data" / "samples")
    materialize(project_root, folder)
    return folder


@pytest.fixture
def page(project_root: Path) -> list[str]:
    """Return the blocks that the tests execute."""
    return blocks_on_training(project_root)


def test_an_epoch_is_trained_by_six_lines_below_the_imports(
    home: Path, project_root: Path, page: list[str]
) -> None:
    lines = [line for line in page[0].splitlines() if line]
    assert len([line for line in lines if not line.startswith(("import ", "from "))]) <= 6
    assert not [line for line in lines if ";" in line or len(line) > 100]
    first = "before = [weights.clone() for weights in model.parameters()]\nfor batch in "
    program = page[0].replace("for batch in ", first, 1)
    program += (
        "assert all((a != b).any() for a, b in zip(before, model.parameters()))\nprint(len(batch))"
    )
    run_trainer(project_root, program)


def test_a_transform_of_each_sample_runs_in_workers(
    home: Path, project_root: Path, page: list[str]
) -> None:
    if not find_spec("torchvision"):
        pytest.skip("torchvision is not installed: make torch")
    importable = "from anomaly_assets_tests.reader import vision\nvision.make_importable()\n"
    run_trainer(project_root, importable + page[0] + page[1])


def run_trainer(project_root: Path, program: str) -> None:
    command = [sys.executable, "-c", program]
    found = subprocess.run(command, cwd=project_root, capture_output=True, text=True)
    assert found.returncode == 0, found.stderr


def start_trainer(project_root: Path, printed: Path, *arguments: str) -> subprocess.Popen[bytes]:
    with printed.open("wb") as output:
        return subprocess.Popen(
            [sys.executable, "examples/train.py", *arguments],
            cwd=project_root,
            env={**os.environ, "PYTHONPATH": str(project_root)},
            stdout=output,
        )


def wait_for_lines(trainer: subprocess.Popen[bytes], printed: Path, count: int) -> list[str]:
    while len(lines := printed.read_text().splitlines()) < count:
        assert trainer.poll() is None, "the trainer has ended"
        time.sleep(0.05)
    return lines


def test_the_trainer_scores_every_test_image(
    home: Path, project_root: Path, tmp_path: Path
) -> None:
    printed = tmp_path / "printed.txt"
    with start_trainer(project_root, printed, "--epochs", "2", "--workers", "1") as trainer:
        assert trainer.wait(120) == 0
    lines = printed.read_text().splitlines()
    assert [line.split(":")[0] for line in lines[1:3]] == ["epoch 1", "epoch 2"]
    tested = open_samples(category="woven", split="test")
    assert [line.split()[-1] for line in lines[3:]] == tested.table["image_id"].to_pylist()


@pytest.mark.timeout(300)
def test_a_trainer_sees_one_snapshot_while_the_published_file_is_replaced(
    module_environment: Environment, home: Path, project_root: Path, tmp_path: Path
) -> None:
    roots = module_environment.mvtec_ad
    printed = tmp_path / "printed.txt"
    with start_trainer(
        project_root, printed, "--category", "bolt", "--epochs", "100000"
    ) as trainer:
        try:
            before = len(wait_for_lines(trainer, printed, 3))
            folder = roots / "bolt/train/good"
            shutil.copyfile(roots / "woven/train/good/000.png", folder / "000.png")
            (folder / "003.png").unlink()
            materialize(project_root, home)
            published = open_samples(category="bolt", split="train")
            meanwhile = len(printed.read_text().splitlines())
            # The workers of these epochs were started when another file had the name.
            lines = wait_for_lines(trainer, printed, meanwhile + 4)
        finally:
            trainer.kill()  # SIGTERM may be ignored here: Dagster lets it be as SIGINT was found
    assert before < meanwhile
    assert lines[0].startswith("snapshot ")
    assert lines[0].split()[1] != published.snapshot_id
    assert len(published) == 7
    # Normalised with the statistics of exactly these images, their mean square is 1.
    seen = {line.split(": ")[1].split(", loss")[0] for line in lines[1:]}
    assert seen == {"8 images, mean square 1.0000"}
