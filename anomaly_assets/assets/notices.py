"""Send notices of failed runs and checks at the end of a run: once per fault, and once when it is fixed.

This is done where the warehouse is released, and not in a sensor: a sensor of failed runs does not run
without the daemon, and Dagster calls none for a failed check that does not block
(docs/decisions/0025). What was sent is remembered in the Dagster home.
"""

import hashlib
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import dagster as dg

from anomaly_assets.assets.failures import FailedCheck
from anomaly_assets.assets.outcome import Outcome, outcome_of
from anomaly_assets.datasets.names import shown
from anomaly_assets.errors import AnomalyAssetsError
from anomaly_assets.notify import refuse_unusable, send
from anomaly_assets.settings import notify_addresses

_RUN = "run"
_KEY = "anomaly_assets/notices"
_VARYING = re.compile(r"\b[0-9a-f]{8,}\b|[0-9]+")
"""Ids and numbers, which differ each time that the same step fails for the same reason."""


@dataclass(frozen=True)
class Fault:
    """A step, a check or a whole run that failed.

    Attributes:
        subject: What failed; the same fault has the same subject in each run.
        name: Its name for people.
        lines: What is wrong and what to do, with the first affected files.
        reason: The text by which faults of one subject are distinguished; empty for a check.
        files: The first affected files.
        count: Number of affected files.
    """

    subject: str
    name: str
    lines: tuple[str, ...]
    reason: str = ""
    files: tuple[str, ...] = ()
    count: int = 0

    @property
    def state(self) -> dict[str, Any]:
        """Return what is remembered of the fault, as JSON has it."""
        return {
            "name": self.name,
            "reason": self.reason,
            "files": list(self.files),
            "count": self.count,
        }

    def is_new(self, told: Mapping[str, Any] | None) -> bool:
        """Return whether a notice is needed: for another reason, or for files of which none was sent.

        Only the first files are remembered. If there were more, only their number is compared.
        """
        if told is None or told["reason"] != self.reason:
            return True
        if told["count"] > len(told["files"]):
            return self.count > int(told["count"])
        return not set(told["files"]).issuperset(self.files)


@dataclass
class Notices:
    """Notices of one run.

    Attributes:
        context: The run.
        addresses: Recipients, as URLs of Apprise.
        place: Name of the warehouse, whose faults are its own; empty until it is known.
    """

    context: dg.InitResourceContext
    addresses: Sequence[str] = field(default=(), repr=False)
    place: str = ""

    def tell(self, error: Exception | None = None) -> None:
        """Send what is new since the last notices, and remember it if at least one address took it.

        An error is logged by the name of its class alone, because its text may hold an address.

        Args:
            error: Why the run ended before its first step, if it did.
        """
        try:
            if error is None:
                self._tell_of_steps()
            else:
                self._tell([_fault_of_run(error)], [])
        except Exception as problem:
            self._warn(f"No notice was sent: {type(problem).__name__}.")

    def _tell_of_steps(self) -> None:
        assert self.context.instance is not None
        outcome = outcome_of(self.context.instance, self._run_id, complete=True)
        if not outcome.was_stopped:
            self._tell([*_faults(outcome)], [*_succeeded(outcome), _RUN])

    def _tell(self, faults: Sequence[Fault], succeeded: Sequence[str]) -> None:
        assert self.context.instance is not None
        memory = self.context.instance.daemon_cursor_storage
        keys = {each: self._key(each) for each in (*(f.subject for f in faults), *succeeded)}
        stored = memory.get_cursor_values({*keys.values()})
        told = {each: json.loads(stored.get(key) or "null") for each, key in keys.items()}
        new = [fault for fault in faults if fault.is_new(told[fault.subject])]
        fixed = {each: told[each]["name"] for each in succeeded if told[each]}
        if (new or fixed) and not self._sent(new, sorted(fixed.values())):
            return  # the next run tries again
        states = {keys[fault.subject]: json.dumps(fault.state) for fault in faults}
        states |= {keys[each]: "" for each in fixed}
        if changed := {key: state for key, state in states.items() if stored.get(key) != state}:
            memory.set_cursor_values(changed)

    def _sent(self, new: Sequence[Fault], fixed: Sequence[str]) -> bool:
        """Send one message; returns whether at least one address took it."""
        place = f" of the warehouse {self.place}" if self.place else ""
        parts = ["\n".join(fault.lines) for fault in new] + [f"Fixed: {name}" for name in fixed]
        text = "\n\n".join([*parts, f"Run {self._run_id[:8]}{place}."])
        failed = send(self.addresses, _title(new, fixed), text)
        if failed:
            self._warn(f"A notice could not be sent. ANOMALY_NOTIFY, {'; '.join(failed)}.")
        return len(failed) < len(self.addresses)

    @property
    def _run_id(self) -> str:
        assert self.context.run is not None
        return self.context.run.run_id

    def _key(self, subject: str) -> str:
        """Return the key of a subject in the Dagster home; a run may fail before its warehouse is known."""
        place = "" if subject == _RUN else hashlib.sha256(self.place.encode()).hexdigest()[:16]
        return f"{_KEY}/{place}/{subject}"

    def _warn(self, message: str) -> None:
        if self.context.log is not None:
            self.context.log.warning(message)


@contextmanager
def notices(context: dg.InitResourceContext) -> Iterator[Notices]:
    """Send notices after the block, which is the whole run; none if a person stopped it.

    Raises:
        SettingsError: ANOMALY_NOTIFY has something that is not an address.
        NotifyError: Apprise is not installed, or cannot use an address.
    """
    found = Notices(context, notify_addresses())
    if not found.addresses or context.run is None or context.instance is None:
        yield found
        return
    refuse_unusable(found.addresses)
    try:
        yield found
    except Exception as error:
        found.tell(error)
        raise
    found.tell()


def _faults(outcome: Outcome) -> Iterator[Fault]:
    """Yield the failed steps and checks; a step that failed because of a check is left out."""
    for step in outcome.failed:
        if not step.is_check:
            yield _fault(f"step/{step.name}", step.name, step.cause)
    for _, check in outcome.failed_checks:
        yield _fault_of_check(check)


def _succeeded(outcome: Outcome) -> Iterator[str]:
    """Yield the subjects that did not fail in this run."""
    yield from (f"step/{name}" for name in outcome.succeeded)
    yield from (f"check/{asset}/{name}" for asset, name in outcome.passed_checks)


def _fault_of_run(error: Exception) -> Fault:
    ours = isinstance(error, AnomalyAssetsError)
    return _fault(_RUN, "The run", str(error) if ours else f"{type(error).__name__}: {error}")


def _fault(subject: str, name: str, cause: str) -> Fault:
    return Fault(subject, name, (f"{name} failed: {shown(cause)}",), _VARYING.sub("#", cause))


def _fault_of_check(check: FailedCheck) -> Fault:
    lines = [line.removeprefix("  ") for line in check.lines()]
    if check.picture:
        lines.append(f"  picture: {check.picture}")
    return Fault(
        f"check/{check.asset}/{check.name}",
        f"{check.name} of {check.asset}",
        tuple(lines),
        files=tuple(name for name, _ in check.files),
        count=check.count,
    )


def _title(new: Sequence[Fault], fixed: Sequence[str]) -> str:
    """Return what failed and what was fixed in numbers, such as `2 checks failed, 1 fixed`."""
    checks = sum(fault.subject.startswith("check/") for fault in new)
    counts = (
        (len(new) - checks, "step failed", "steps failed"),
        (checks, "check failed", "checks failed"),
        (len(fixed), "fixed", "fixed"),
    )
    words = [f"{n} {one if n == 1 else many}" for n, one, many in counts if n]
    if any(fault.subject == _RUN for fault in new):
        words[0] = "the run failed"
    return f"anomaly_assets: {', '.join(words)}"
