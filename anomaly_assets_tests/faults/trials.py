"""Run trials, a few at once, and collect their results."""

from __future__ import annotations

import threading
import time
import traceback
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

from anomaly_assets_tests.faults.command import Fault, Skip, end_all

Facts = dict[str, Any]


@dataclass(frozen=True)
class Trial:
    """One trial.

    Attributes:
        group: Kind of fault.
        name: Action and expected result.
        run: Function that runs it; returns facts for the report, raises `Fault` or `Skip`.
        alone: Whether no other trial may run at the same time.
    """

    group: str
    name: str
    run: Callable[[], Facts]
    alone: bool = False


@dataclass(frozen=True)
class Result:
    """Result of a trial."""

    group: str
    name: str
    verdict: str
    seconds: float
    facts: Facts = field(default_factory=dict)
    why: str = ""
    output: str = ""


class Trials:
    """Trials and the results so far."""

    def __init__(self, trials: Sequence[Trial], lanes: int) -> None:
        self.trials = trials
        self.lanes = lanes
        self.results: list[Result] = []
        self._stopped = threading.Event()

    @property
    def complete(self) -> bool:
        """Return whether every trial was run."""
        return len(self.results) == len(self.trials)

    def run(self) -> None:
        """Run those that must be alone one by one, then the others in parallel."""
        pool = ThreadPoolExecutor(self.lanes)
        try:
            for trial in self.trials:
                if trial.alone:
                    self._try(trial)
            waiting = [pool.submit(self._try, trial) for trial in self.trials if not trial.alone]
            for future in waiting:
                future.result()
        finally:
            # The results of unfinished trials are discarded.
            self._stopped.set()
            end_all()
            pool.shutdown(cancel_futures=True)

    def _try(self, trial: Trial) -> None:
        result = _tried(trial)
        if self._stopped.is_set():
            return
        self.results.append(result)
        told = f": {result.why[:1500]}" if result.why else ""
        name = f"{trial.group}: {trial.name}"
        print(f"{result.verdict:8} {result.seconds:6.1f} s  {name}{told}", flush=True)


def _tried(trial: Trial) -> Result:
    started = time.monotonic()
    facts: Facts = {}
    why = output = ""
    try:
        facts = trial.run()
        verdict = "passed"
    except Skip as reason:
        verdict, why = "skipped", str(reason)
    except Fault as fault:
        verdict, why, output = "failed", str(fault), fault.output
    except Exception as error:
        verdict, why, output = "failed", repr(error), traceback.format_exc()
    seconds = round(time.monotonic() - started, 1)
    return Result(trial.group, trial.name, verdict, seconds, facts, why, output)
