"""Test the workflow of `examples/ci`: against GitHub's own schema, and its steps in a clean copy.

GitHub's runners and the actions are not tested. `sudo` is a script that only runs its arguments, one
module of tests is collected, and missing servers are not installed.
"""

from __future__ import annotations

import copy
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from anomaly_assets.settings import Settings
from anomaly_assets_tests.documents.checkout import Checkout

PROJECT = Path(__file__).parents[2]
FILE = PROJECT / "examples" / "ci" / "anomaly_assets.yml"
Workflow = dict[Any, Any]
WORKFLOW: Workflow = yaml.safe_load(FILE.read_text("utf-8"))
JOBS = WORKFLOW["jobs"]
STEPS = {
    f"{job}: {step.get('name') or step.get('uses')}": (job, step)
    for job, about in JOBS.items()
    for step in about["steps"]
}
COMMANDS = {name: step["run"] for name, (_, step) in STEPS.items() if "run" in step}


def complaints(file: Path) -> str:
    """Return the errors of a workflow file, by GitHub's schema in the package."""
    pytest.importorskip("check_jsonschema")
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema"]
    done = subprocess.run(
        [*command, "vendor.github-workflows", str(file)], capture_output=True, check=False
    )
    return (done.stdout + done.stderr).decode() if done.returncode else ""


def test_the_file_is_a_workflow_by_githubs_schema() -> None:
    assert complaints(FILE) == ""


def _misspelt(workflow: Workflow) -> None:
    workflow["jobs"]["tests"]["run-on"] = workflow["jobs"]["tests"].pop("runs-on")


def _no_such_event(workflow: Workflow) -> None:
    workflow[True]["pushed"] = {}


def _text_for_steps(workflow: Workflow) -> None:
    workflow["jobs"]["database"]["steps"] = "make materialize"


def _step_with_nothing_to_do(workflow: Workflow) -> None:
    workflow["jobs"]["database"]["steps"].append({"name": "Rest"})


@pytest.mark.parametrize(
    "damage", [_misspelt, _no_such_event, _text_for_steps, _step_with_nothing_to_do]
)
def test_a_broken_workflow_is_found(damage: Any, tmp_path: Path) -> None:
    workflow = copy.deepcopy(WORKFLOW)
    damage(workflow)
    broken = tmp_path / "broken.yml"
    # PyYAML reads the key `on` as a boolean.
    broken.write_text(yaml.safe_dump({{True: "on"}.get(k, k): v for k, v in workflow.items()}))
    assert complaints(broken)


def test_every_action_has_a_major_version() -> None:
    used = [step["uses"] for _, step in STEPS.values() if "uses" in step]
    assert {action.partition("@")[0] for action in used} == {
        "actions/cache",
        "actions/checkout",
        "actions/setup-python",
        "actions/upload-artifact",
    }
    assert all(re.fullmatch(r"actions/[a-z-]+@v\d+", action) for action in used)
    versions = {action.partition("@")[0]: action for action in used}
    assert set(used) == set(versions.values())


def test_pip_is_cached_by_the_lock_file_and_python_is_one_that_we_run_on() -> None:
    for job in JOBS.values():
        [setup] = [step["with"] for step in job["steps"] if "setup-python" in step.get("uses", "")]
        assert setup["cache"] == "pip"
        assert (PROJECT / setup["cache-dependency-path"]).is_file()
        assert setup["python-version"] in {"3.10", "3.11", "3.12", "3.13", "3.14"}


def test_it_runs_on_a_push_and_by_the_clock_and_may_write_nothing() -> None:
    events = WORKFLOW[True]
    assert {"push", "pull_request", "schedule", "workflow_dispatch"} == events.keys()
    assert events["schedule"] == [{"cron": Settings.from_environment({}).refresh_cron}]
    assert WORKFLOW["permissions"] == {"contents": "read"}


def test_what_it_keeps_is_what_a_run_has_made(checkout: Checkout) -> None:
    assert checkout.first_run
    [kept] = [step["with"] for _, step in STEPS.values() if "upload" in step.get("uses", "")]
    [cached] = [
        step["with"] for _, step in STEPS.values() if "actions/cache" in step.get("uses", "")
    ]
    for path in (*kept["path"].split(), cached["path"]):
        assert (checkout.folder / path).exists(), path


def test_without_variables_of_the_repository_the_samples_are_loaded() -> None:
    roots = Settings.from_environment({}).roots
    for name, value in JOBS["database"]["env"].items():
        written = re.fullmatch(r"\$\{\{ vars\.(\w+) \|\| '(.+)' \}\}", value)
        assert written is not None
        assert written[1] == name
        assert written[2] == roots[name.removesuffix("_ROOT").lower()]


@pytest.mark.parametrize("name", COMMANDS)
def test_a_step_runs_in_a_clean_copy(name: str, checkout: Checkout, tmp_path: Path) -> None:
    job, step = STEPS[name]
    assert checkout.first_run
    command = step["run"]
    if command == "make test test-slow":
        modules = "anomaly_assets_tests/test_settings.py anomaly_assets_tests/test_command_line.py"
        command += f' ARGS="--collect-only -q {modules}"'
    if "make stores" in command and not _servers_are_there():
        command = command.replace("make stores", "make -n stores")
    sudo = tmp_path / "sudo"
    sudo.write_text('#!/bin/sh\nexec "$@"\n')
    sudo.chmod(0o755)
    summary = tmp_path / "summary.md"
    variables = {
        variable: value.partition("'")[2].partition("'")[0]
        for variable, value in JOBS[job].get("env", {}).items()
    }
    path = f"{tmp_path}{os.pathsep}{os.environ['PATH']}"
    if command == "make materialize":
        # With these variables, which are the defaults, the step is the first command of the README.
        printed = checkout.first_run
    else:
        printed = checkout.run(command, **variables, PATH=path, GITHUB_STEP_SUMMARY=str(summary))
    expected = {
        "make .venv/.installed": "",
        "make materialize": "holds 62 samples of dagm_2007 and mvtec_ad",
        "make test test-slow": " tests collected",
    }
    assert expected.get(step["run"], "") in printed
    if "GITHUB_STEP_SUMMARY" in command:
        assert summary.read_text("utf-8") == printed
    if "validate" in command:
        assert "Validation successful for code location anomaly_assets." in printed


def _servers_are_there() -> bool:
    """Return whether `make stores` has nothing to install; otherwise it needs the network and root."""
    places = os.pathsep.join([os.environ["PATH"], "/usr/sbin"])
    found = subprocess.run(
        [
            "sh",
            "-c",
            "command -v nginx && command -v pgbouncer "
            "&& (command -v postgres || ls /usr/lib/postgresql/*/bin/postgres)",
        ],
        env={"PATH": places},
        capture_output=True,
        check=False,
    )
    return found.returncode == 0 and (Path(sys.prefix) / "stores/node_modules/azurite").exists()
