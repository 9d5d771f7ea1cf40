"""Evaluate a sensor like the daemon does, with its own clock."""

import time

import dagster as dg
import pytest
from dagster._core.remote_origin import (
    RegisteredCodeLocationOrigin,
    RemoteJobOrigin,
    RemoteRepositoryOrigin,
)

from anomaly_assets.assets import automation
from anomaly_assets.definitions import defs
from anomaly_assets_tests.assets.runs import Run, run_job

NO_CHANGE = "No file was added, changed or removed."
UNSETTLED = (
    "Files changed since the last check, and may still be copied. A run is requested once two checks "
    "agree, or after 10 minutes."
)
INTERVAL = 60.0
"""Seconds between two looks."""


class Watch:
    """A sensor, its cursor, and the time of its evaluations."""

    def __init__(
        self, source_dataset: str, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        self.sensor = defs.resolve_sensor_def(f"{source_dataset}_files_changed")
        self.instance = instance
        self.cursor: str | None = None
        self.clock = time.time()  # runs are stamped with the real time
        monkeypatch.setattr(automation, "_now", lambda: self.clock)

    def tick(self, after: float = INTERVAL) -> dg.RunRequest | str:
        """Evaluate once, some seconds later; return the request, or the reason why there is none."""
        self.clock += after
        context = dg.build_sensor_context(instance=self.instance, cursor=self.cursor)
        evaluated = self.sensor.evaluate_tick(context)
        self.cursor = evaluated.cursor
        requests = evaluated.run_requests or []
        if not requests:
            assert evaluated.skip_message is not None
            return evaluated.skip_message
        [request] = requests
        return request

    def asks(self, after: float = INTERVAL) -> dg.RunRequest:
        """Evaluate once; it must return a request with a key that no run has yet."""
        request = self.tick(after)
        assert isinstance(request, dg.RunRequest), request
        assert request.run_key
        assert not self.instance.get_runs(dg.RunsFilter(tags={"dagster/run_key": request.run_key}))
        return request

    def asks_when_two_looks_agree(self) -> dg.RunRequest:
        """Evaluate twice after a change."""
        assert self.tick() == UNSETTLED
        return self.asks()

    def carry_out(self, request: dg.RunRequest) -> Run:
        """Run the job to its end, with the tags that the daemon gives it."""
        return run_job(
            str(self.sensor.job_name),
            instance=self.instance,
            run_config=request.run_config,
            tags=self._tags(request),
        )

    def fails(self, request: dg.RunRequest) -> str:
        """Run the job, which must fail; return the part of the run's id that people see."""
        run = self.carry_out(request)
        assert not run.success
        return run.result.run_id[:8]

    def add_run(
        self, request: dg.RunRequest, status: dg.DagsterRunStatus = dg.DagsterRunStatus.STARTED
    ) -> dg.DagsterRun:
        """Add the run that the daemon adds for a request, in a state in which another process has it."""
        job = defs.resolve_job_def(str(self.sensor.job_name))
        location = RegisteredCodeLocationOrigin("anomaly_assets")
        origin = RemoteJobOrigin(RemoteRepositoryOrigin(location, "__repository__"), job.name)
        return self.instance.create_run_for_job(
            job, tags=self._tags(request), status=status, remote_job_origin=origin
        )

    def dies(self, request: dg.RunRequest) -> str:
        """Add the run, and report its failure like the daemon for a killed process."""
        run = self.add_run(request)
        self.instance.report_run_failed(run)
        return run.run_id[:8]

    @staticmethod
    def _tags(request: dg.RunRequest) -> dict[str, str]:
        assert request.run_key
        return {**request.tags, "dagster/run_key": request.run_key}
