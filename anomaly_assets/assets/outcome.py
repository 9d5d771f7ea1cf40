"""Read from the events of a run which steps and checks failed, and which succeeded."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import dagster as dg

from anomaly_assets.assets.failures import (
    FailedCheck,
    cause_of,
    failed_check,
    is_failed_check,
    is_interrupt,
    is_ours,
)
from anomaly_assets.roots.open import shown_root
from anomaly_assets.settings import Settings
from anomaly_assets.tables.history import StepEvent


@dataclass(frozen=True)
class FailedStep:
    """Step of a run that failed.

    Attributes:
        name: Name of the step.
        cause: Why it failed, without a stack trace.
        is_refused: Whether this package raised the error; its message explains what to do.
        is_check: Whether a blocking check failed in it.
        is_interrupt: Whether Ctrl-C, SIGTERM or Terminate ended it.
    """

    name: str
    cause: str
    is_refused: bool
    is_check: bool
    is_interrupt: bool


@dataclass(frozen=True)
class Outcome:
    """Results of the steps and checks of a run so far.

    Attributes:
        failed: Steps that failed.
        succeeded: Names of the steps that succeeded.
        failed_checks: Checks that failed, each with its step.
        passed_checks: Asset and name of the checks that passed.
    """

    failed: tuple[FailedStep, ...] = ()
    succeeded: frozenset[str] = frozenset()
    failed_checks: tuple[tuple[str, FailedCheck], ...] = ()
    passed_checks: frozenset[tuple[str, str]] = frozenset()

    @property
    def was_stopped(self) -> bool:
        """Return whether Ctrl-C, SIGTERM or Terminate ended a step."""
        return any(step.is_interrupt for step in self.failed)


def outcome_of(instance: dg.DagsterInstance, run_id: str, *, complete: bool) -> Outcome:
    """Return the outcome of a run.

    Events of checks hold pictures, so they are read only if they are needed.

    Args:
        instance: Dagster's record of runs.
        run_id: Id of the run.
        complete: Read the events of checks and successful steps even if no step failed.
    """
    kinds = {dg.DagsterEventType.STEP_FAILURE}
    failed = tuple(
        FailedStep(
            str(event.step_key),
            cause_of(error),
            is_ours(error),
            is_failed_check(error),
            is_interrupt(error),
        )
        for event in _events(instance, run_id, kinds)
        if (error := event.step_failure_data.error) is not None
    )
    if not failed and not complete:
        return Outcome()
    kinds = {dg.DagsterEventType.STEP_SUCCESS, dg.DagsterEventType.ASSET_CHECK_EVALUATION}
    events = [*_events(instance, run_id, kinds)]
    checks = [
        (str(event.step_key), event.asset_check_evaluation_data)
        for event in events
        if event.event_type == dg.DagsterEventType.ASSET_CHECK_EVALUATION
    ]
    return Outcome(
        failed,
        frozenset(str(event.step_key) for event in events if event.is_step_success),
        tuple((step, failed_check(check)) for step, check in checks if not check.passed),
        frozenset(
            (check.asset_key.to_user_string(), check.check_name)
            for _, check in checks
            if check.passed
        ),
    )


def _events(
    instance: dg.DagsterInstance, run_id: str, kinds: set[dg.DagsterEventType]
) -> Iterator[dg.DagsterEvent]:
    for entry in instance.all_logs(run_id, of_type=kinds):
        if entry.dagster_event is not None:
            yield entry.dagster_event


def step_events(outcome: Outcome, settings: Settings) -> Iterator[StepEvent]:
    """Yield the rows of `run_events` for the steps of a run that failed; none if it was stopped."""
    roots: Mapping[str, str | None] = settings.roots
    for step in () if outcome.was_stopped else outcome.failed:
        root = roots.get(step.name)
        yield StepEvent(
            step.name,
            "refused" if step.is_refused or step.is_check else "failed",
            _sentences_of(step, outcome) if step.is_check else step.cause,
            step.name if step.name in roots else None,
            shown_root(root) if root else None,
        )


def _sentences_of(step: FailedStep, outcome: Outcome) -> str:
    """Return the blocking checks that failed in a step, each with its sentence."""
    blocking = [
        check for name, check in outcome.failed_checks if name == step.name and check.blocking
    ]
    sentences = " ".join(f"{check.name} of {check.asset}: {check.sentence}" for check in blocking)
    return f"Nothing was published, because of a failed check. {sentences}"
