"""Run the asset graph in this process, for `anomaly-assets materialize`.

The run is stored like one of `dagster asset materialize`: in the same Dagster home, with the code location
of `workspace.yaml`. So the UI shows the run and can run it again. Only the output differs: `Screen`
replaces Dagster's console log, and a failure ends with its cause.
"""

import os
import sys
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, TextIO
from unittest import mock

import dagster as dg
from dagster._cli.utils import get_possibly_temporary_instance_for_cli
from dagster._cli.workspace.cli_target import get_repository_python_origin_from_cli_opts
from dagster._core.definitions.reconstruct import ReconstructableJob
from dagster._core.execution import context_creation_job
from dagster._core.execution.api import execute_run
from dagster._core.instance.ref import InstanceRef
from dagster._core.origin import JobPythonOrigin
from dagster._core.remote_origin import (
    ManagedGrpcPythonEnvCodeLocationOrigin,
    RemoteJobOrigin,
    RemoteRepositoryOrigin,
)
from dagster._core.types.loadable_target_origin import LoadableTargetOrigin
from dagster._loggers import colored_console_logger
from dagster._utils.hosted_user_process import recon_job_from_origin, recon_repository_from_origin
from dagster._utils.interrupts import capture_interrupts, check_captured_interrupt
from dagster_shared.cli import PythonPointerOpts
from dagster_shared.yaml_utils import load_yaml_from_globs

from anomaly_assets.assets.failures import CHECK_FAILED
from anomaly_assets.assets.home import HomeError
from anomaly_assets.assets.screen import Screen
from anomaly_assets.assets.selection import (
    RunConfigError,
    refuse_unknown_steps,
    selected_keys,
)
from anomaly_assets.errors import AnomalyAssetsError
from anomaly_assets.full_disk import out_of_space
from anomaly_assets.garbage import uncollected
from anomaly_assets.locations import is_file
from anomaly_assets.settings import Settings
from anomaly_assets.streams import forgiving

MODULE = "anomaly_assets.definitions"
DEFAULT_HOME = Path("data", "dagster_home")

_LOCATION = "anomaly_assets"  # as workspace.yaml names it
_STOPPED = "The run was stopped. Committed rows are kept, and the next run continues from there."
_HINT = " The run in the UI has the stack trace, and so has --verbose."
_REPOSITORY = "__repository__"  # as Dagster names the one of a `Definitions`


class RunFailedError(AnomalyAssetsError, RuntimeError):
    """The run failed; the message is the cause, in one paragraph."""


class RunStoppedError(AnomalyAssetsError, RuntimeError):
    """The run was stopped by Ctrl-C or SIGTERM; committed rows are kept."""


def materialize(
    select: str,
    run_config: Mapping[str, Any],
    *,
    config_files: Sequence[str] = (),
    verbose: bool = False,
) -> bool:
    """Materialize assets in this process and print what happens.

    Args:
        select: Assets in Dagster's selection syntax, separated by commas.
        run_config: Run config of the run.
        config_files: YAML files with run config, used if `run_config` is empty.
        verbose: Whether to print Dagster's own log as well.

    Returns:
        True if the published database was part of the run: it was written, or found to be up to date.

    Raises:
        RunFailedError: A step or a blocking check failed.
        RunStoppedError: Ctrl-C or SIGTERM stopped the run.
        RunConfigError: Nothing ran, because `select` or the run config cannot be used.
        HomeError: The Dagster home cannot be written to.
    """
    _quiet_warnings()
    with _explained_disk(), capture_interrupts(), _instance() as instance, _own_stdout() as stream:
        config = run_config or _read_yaml(config_files)
        _refuse_to_go_on()
        with uncollected():
            job, run = _planned(instance, select, config)
        screen = Screen(stream, "" if verbose else _HINT)
        instance.add_event_listener(run.run_id, screen)
        with _console(verbose):
            try:
                succeeded = execute_run(job, run, instance).success
            except (KeyboardInterrupt, dg.DagsterExecutionInterruptedError):
                succeeded = False
        screen.finish()
        _raise_failure(instance, run, screen, succeeded)
        return screen.published


def _refuse_to_go_on() -> None:
    """Raise if a signal arrived while Dagster captures them; it would be reported when a step begins.

    Raises:
        RunStoppedError: Ctrl-C or SIGTERM was received, and no run was created.
    """
    if check_captured_interrupt():
        raise RunStoppedError(_STOPPED)


def _planned(
    instance: dg.DagsterInstance, select: str, run_config: Mapping[str, Any]
) -> tuple[ReconstructableJob, dg.DagsterRun]:
    """Create the run of a selection in the Dagster home."""
    origin = get_repository_python_origin_from_cli_opts(PythonPointerOpts(module_name=MODULE))
    repository = recon_repository_from_origin(origin).get_definition()
    try:
        graph = repository.asset_graph
        keys = selected_keys(select, graph)
        job_def = repository.get_implicit_job_def_for_assets(keys)
        assert job_def is not None, "one executor, so one job has every asset"
        refuse_unknown_steps(run_config, graph, {node.name for node in job_def.nodes})
        job = recon_job_from_origin(JobPythonOrigin(job_def.name, repository_origin=origin))
        run = instance.create_run_for_job(
            job_def=job.get_definition(),
            run_config=run_config,
            asset_selection=frozenset(keys),
            job_code_origin=job.get_python_origin(),
            remote_job_origin=_remote_origin(job_def.name),
        )
    except dg.DagsterError as error:
        raise RunConfigError(" ".join(str(error).split())) from error
    return job, run


def _remote_origin(job_name: str) -> RemoteJobOrigin:
    """Return where the UI finds the job: in the code location that workspace.yaml names."""
    target = LoadableTargetOrigin(
        executable_path=sys.executable, module_name=MODULE, working_directory=os.getcwd()
    )
    location = ManagedGrpcPythonEnvCodeLocationOrigin(target, _LOCATION)
    return RemoteJobOrigin(RemoteRepositoryOrigin(location, _REPOSITORY), job_name)


def _raise_failure(
    instance: dg.DagsterInstance,
    run: dg.DagsterRun,
    screen: Screen,
    succeeded: bool,
) -> None:
    """Raise why the run did not succeed; do nothing if it did."""
    if succeeded:
        return
    stored = instance.get_run_by_id(run.run_id)
    canceled = stored is not None and stored.status == dg.DagsterRunStatus.CANCELED
    if screen.stopped or canceled:
        raise RunStoppedError(_STOPPED)
    cause = _cause(screen)
    raise RunFailedError(out_of_space(cause, _written()) or cause)


def _cause(screen: Screen) -> str:
    """Return why the run failed: each cause once, though several steps may have it."""
    blocking = [f"{each.name}: {each.sentence}" for each in screen.checks if each.blocking]
    causes = [
        cause
        for cause in dict.fromkeys(screen.causes.values())
        if not (blocking and cause.startswith(CHECK_FAILED))
    ]
    if blocking and not screen.published:
        causes.insert(0, "Nothing was published, because of a failed check.")
    unknown = "The run failed before its first step."
    return " ".join([*causes, *blocking]) or screen.run_cause or unknown


def _read_yaml(files: Sequence[str]) -> Mapping[str, Any]:
    """Read run config from YAML files and merge it."""
    if not files:
        return {}
    try:
        return {str(key): value for key, value in (load_yaml_from_globs(*files) or {}).items()}
    except Exception as error:  # the parser, the file system or Dagster's check
        raise RunConfigError(f"{', '.join(files)}: {error}") from error


@contextmanager
def _explained_disk() -> Iterator[None]:
    """Replace any error that a full disk caused, also one that a step reported.

    On a full disk Dagster cannot store that a step failed, and raises errors of its own database.

    Raises:
        RunFailedError: A disk is full; the message names the disk.
    """
    try:
        yield
    except (RunStoppedError, RunConfigError):
        raise
    except Exception as error:
        if sentence := out_of_space(error, _written()):
            raise RunFailedError(sentence) from error
        raise


def _written() -> Iterator[Path]:
    """Yield where a run writes: the Dagster home, the warehouse and the published database."""
    yield _home()
    with suppress(AnomalyAssetsError):
        settings = Settings.from_environment()
        yield from (
            (Path(settings.warehouse), settings.database) if is_file(settings.warehouse) else ()
        )


def _home() -> Path:
    return Path(os.environ.get("DAGSTER_HOME") or DEFAULT_HOME).absolute()


@contextmanager
def _instance() -> Iterator[dg.DagsterInstance]:
    """Open the Dagster home: DAGSTER_HOME, or the folder that `make` uses."""
    home = _home()
    try:
        _configure(home)
    except OSError as error:
        raise HomeError(
            f"{home} cannot be written to, and Dagster keeps its runs there ({error.strerror}). Set "
            "DAGSTER_HOME to another folder."
        ) from error
    with get_possibly_temporary_instance_for_cli(
        instance_ref=InstanceRef.from_dir(str(home))
    ) as instance:
        yield instance


_CONFIGURATION = "dagster.yaml"
_DEFAULTS = """instance_class:
  module: anomaly_assets.assets.home
  class: DagsterHome
telemetry:
  enabled: false
python_logs:
  python_log_level: INFO
"""
"""Content of the `dagster.yaml` of a new home if the working folder has none."""


def _configure(home: Path) -> None:
    """Create a Dagster home; one that has a `dagster.yaml` stays as it is."""
    home.mkdir(parents=True, exist_ok=True)
    if not (home / _CONFIGURATION).exists():
        ours = Path(_CONFIGURATION)
        text = ours.read_text("utf-8") if ours.exists() else _DEFAULTS
        (home / _CONFIGURATION).write_text(text, "utf-8")


@contextmanager
def _own_stdout() -> Iterator[TextIO]:
    """Yield a stream to the standard output of this moment.

    Dagster redirects the descriptor of standard output into a file while steps run, whose content it shows
    in the UI.
    """
    try:
        sys.stdout.flush()
        descriptor = os.dup(sys.stdout.fileno())
    except (AttributeError, OSError, ValueError):  # replaced by an object, as in a notebook
        yield sys.stdout
        return
    stream = forgiving(descriptor, sys.stdout)
    try:
        yield stream
    finally:
        stream.flush()
        os.close(descriptor)


@contextmanager
def _console(verbose: bool) -> Iterator[None]:
    """Replace Dagster's console log: by nothing, or by all of it for `--verbose`.

    Run config could do the same, but would be stored with the run and used when the UI runs it again.
    """
    loggers = [(colored_console_logger, {"name": "dagster", "log_level": "DEBUG"})]
    chosen = loggers if verbose else []
    with mock.patch.object(context_creation_job, "default_system_loggers", return_value=chosen):
        yield


def _quiet_warnings() -> None:
    """Hide warnings of Dagster and dlt about their own code, which no user of this command can act on."""
    for message in (".*in beta.*", ".*is superseded.*", ".*is deprecated.*"):
        warnings.filterwarnings("ignore", message=message, module=r"(dagster|dlt|dagster_dlt)\b.*")
