"""Test repeated requests of a sensor: after failed runs, during changes, and by its cursor."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from anomaly_assets.definitions import defs
from anomaly_assets_tests.assets.environment import Environment
from anomaly_assets_tests.assets.runs import catalogue, run_job, run_selection
from anomaly_assets_tests.assets.trees import write_image
from anomaly_assets_tests.watch import NO_CHANGE, UNSETTLED, Watch

PAUSES = [*((60.0 * 2**doubled) for doubled in range(9)), 21_600.0, 21_600.0]
"""Seconds: 1, 2, 4, ... 256 minutes, then six hours."""

PAUSES_AS_TEXT = [
    *("1 min 00 s", "2 min 00 s", "4 min 00 s", "8 min 00 s", "16 min 00 s", "32 min 00 s"),
    *("1 h 04 min", "2 h 08 min", "4 h 16 min", "6 h 00 min", "6 h 00 min"),
]


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.ephemeral() as instance:
        yield instance


@pytest.fixture
def watch(
    tiny: Environment, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> Watch:
    """Return the sensor of MVTec AD."""
    return Watch("mvtec_ad", instance, monkeypatch)


@pytest.fixture
def broken(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make runs fail after they have loaded the catalogue."""

    def build_tensors(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("anomaly_assets.decoding.build.build_tensors", build_tensors)


def waiting(run: str, attempt: int, pause: str, why: str = "did not load these files") -> str:
    return f"Run {run} {why} (attempt {attempt}): the next one is requested in {pause}."


def test_a_failed_run_is_asked_for_again_with_pauses_that_double_up_to_six_hours(
    watch: Watch, broken: None
) -> None:
    request = watch.asks_when_two_looks_agree()
    run_keys = [request.run_key]
    for attempt, (pause, text) in enumerate(zip(PAUSES, PAUSES_AS_TEXT, strict=True), 1):
        run = watch.fails(request) if attempt < 3 else watch.dies(request)
        assert watch.tick() == waiting(run, attempt, text)
        assert watch.tick(pause - 1) == waiting(run, attempt, "1.0 s")
        request = watch.asks(1)
        run_keys.append(request.run_key)
    assert len(set(run_keys)) == 12


def test_a_run_that_fails_before_it_loads_anything_is_asked_for_again_until_one_succeeds(
    watch: Watch, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as full_disk:

        def reconcile(*_: object, **__: object) -> None:
            raise OSError(28, "No space left on device")

        full_disk.setattr("anomaly_assets.catalogue.reconcile.reconcile", reconcile)
        run = watch.fails(watch.asks_when_two_looks_agree())
    assert watch.tick() == waiting(run, 1, "1 min 00 s")
    assert watch.carry_out(watch.asks()).success
    assert watch.tick() == NO_CHANGE
    assert json.loads(str(watch.cursor))["attempts"] == 0


def test_a_failed_run_that_nobody_asked_a_sensor_for_is_asked_for_as_a_change(
    watch: Watch, broken: None
) -> None:
    assert not run_job("refresh_all", instance=watch.instance).success
    watch.asks_when_two_looks_agree()


@pytest.mark.usefixtures("broken")
def test_a_failed_run_is_not_asked_for_again_once_a_run_by_hand_has_loaded_the_files(
    watch: Watch,
) -> None:
    watch.fails(watch.asks_when_two_looks_agree())
    assert run_selection(catalogue("mvtec_ad"), instance=watch.instance).success
    assert watch.tick() == NO_CHANGE


def test_a_root_that_changes_again_after_a_failed_run_starts_the_pauses_over(
    tiny: Environment, watch: Watch, broken: None
) -> None:
    request = watch.asks_when_two_looks_agree()
    for attempt in (1, 2):
        run = watch.fails(request)
        assert watch.tick() == waiting(run, attempt, PAUSES_AS_TEXT[attempt - 1])
        request = watch.asks(120)
    watch.dies(request)
    write_image(tiny.mvtec_ad, "bolt/train/good/003.png")
    run = watch.fails(watch.asks_when_two_looks_agree())
    assert watch.tick() == waiting(run, 1, "1 min 00 s")


@pytest.mark.parametrize(
    "status",
    [
        dg.DagsterRunStatus.QUEUED,
        dg.DagsterRunStatus.NOT_STARTED,
        dg.DagsterRunStatus.STARTING,
        dg.DagsterRunStatus.STARTED,
        dg.DagsterRunStatus.CANCELING,
    ],
)
def test_nothing_is_asked_for_while_a_run_waits_or_runs_whatever_changes_meanwhile(
    tiny: Environment, watch: Watch, status: dg.DagsterRunStatus
) -> None:
    run = watch.add_run(watch.asks_when_two_looks_agree(), status)
    not_ended = (
        f"Run {run.run_id[:8]} of refresh_mvtec_ad has not ended. The root is compared after it."
    )
    for number in range(3, 6):
        write_image(tiny.mvtec_ad, f"bolt/train/good/00{number}.png")
        assert watch.tick() == not_ended
    assert watch.tick() == not_ended
    watch.instance.report_run_failed(run)
    # The files differ from those for which this run was requested, and two listings agree.
    watch.asks()


@pytest.mark.parametrize("by_hand", ["refresh_all", "one asset"])
def test_nothing_is_asked_for_while_a_run_that_somebody_else_started_is_under_way(
    watch: Watch, by_hand: str
) -> None:
    name = "refresh_all" if by_hand == "refresh_all" else "__ASSET_JOB"
    run = _started_by_hand(watch, name)
    not_ended = f"Run {run.run_id[:8]} of {name} has not ended. The root is compared after it."
    assert [watch.tick() for _ in range(3)] == [not_ended] * 3
    watch.instance.report_run_failed(run)
    watch.asks()


def _started_by_hand(watch: Watch, job: str) -> dg.DagsterRun:
    started, key = dg.DagsterRunStatus.STARTED, dg.AssetKey(["mvtec_ad", "images"])
    if job == "refresh_all":
        return watch.instance.create_run_for_job(defs.resolve_job_def(job), status=started)
    return watch.instance.create_run_for_job(
        defs.resolve_implicit_global_asset_job_def(),
        status=started,
        asset_selection=frozenset([key]),
    )


def test_a_run_of_the_other_source_dataset_is_no_reason_to_wait(
    tiny: Environment, watch: Watch, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = Watch("dagm_2007", watch.instance, monkeypatch)
    other.add_run(other.asks_when_two_looks_agree())
    Watch("mvtec_ad", watch.instance, monkeypatch).asks_when_two_looks_agree()


def test_a_run_whose_end_nobody_recorded_is_waited_for_for_a_day(watch: Watch) -> None:
    run = watch.add_run(watch.asks_when_two_looks_agree())
    text = f"Run {run.run_id[:8]} of refresh_mvtec_ad has not ended. The root is compared after it."
    assert watch.tick(86_000) == text
    assert watch.tick(400) == waiting(run.run_id[:8], 1, "1 min 00 s")
    watch.asks()


def test_a_listing_that_changes_back_while_a_run_loads_the_change_is_asked_for_after_it(
    tiny: Environment, watch: Watch
) -> None:
    assert run_selection(catalogue("mvtec_ad"), instance=watch.instance).success
    assert watch.tick() == NO_CHANGE
    path = tiny.mvtec_ad / "bolt/train/good/000.png"
    elsewhere = tiny.mvtec_ad.parent / "kept.png"
    path.rename(elsewhere)
    watch.asks_when_two_looks_agree()
    assert run_selection(catalogue("mvtec_ad"), instance=watch.instance).success
    elsewhere.rename(path)
    watch.asks_when_two_looks_agree()


def test_files_that_are_being_copied_are_asked_for_when_two_looks_agree(
    tiny: Environment, watch: Watch
) -> None:
    for number in range(3, 9):
        write_image(tiny.mvtec_ad, f"bolt/train/good/00{number}.png")
        assert watch.tick() == UNSETTLED
    run = watch.carry_out(watch.asks())
    assert run.success
    assert watch.tick() == NO_CHANGE


def test_a_root_that_never_rests_is_asked_for_every_ten_minutes(
    tiny: Environment, watch: Watch
) -> None:
    asked_at = []
    for number in range(32):
        write_image(tiny.mvtec_ad, f"bolt/train/good/1{number:02}.png")
        answer = watch.tick()
        if isinstance(answer, dg.RunRequest):
            asked_at.append(number)
        else:
            assert answer == UNSETTLED
    assert asked_at == [10, 21]


def test_a_run_that_a_person_cancelled_is_asked_for_again_after_the_longest_pause(
    watch: Watch,
) -> None:
    run = watch.add_run(watch.asks_when_two_looks_agree())
    watch.instance.report_run_canceling(run)
    watch.instance.report_run_canceled(run)
    cancelled = (run.run_id[:8], 1, "6 h 00 min", "was cancelled")
    assert watch.tick() == waiting(*cancelled)
    assert watch.tick(21_599) == waiting(*cancelled[:2], "1.0 s", "was cancelled")
    watch.asks(1)


def test_a_run_that_was_deleted_from_the_history_counts_as_failed(watch: Watch) -> None:
    request = watch.asks_when_two_looks_agree()
    watch.instance.delete_run(watch.add_run(request).run_id)
    assert watch.tick() == (
        "The requested run is not in the history (attempt 1): the next one is requested in "
        "1 min 00 s."
    )
    watch.asks()


def test_deleting_old_runs_does_not_make_what_they_loaded_a_change(watch: Watch) -> None:
    run = watch.carry_out(watch.asks_when_two_looks_agree())
    assert watch.tick() == NO_CHANGE
    watch.instance.delete_run(run.result.run_id)
    assert watch.tick() == NO_CHANGE
    watch.instance.wipe_assets([dg.AssetKey(["mvtec_ad", "images"])])
    assert watch.tick() == NO_CHANGE


def test_a_clock_that_is_set_back_ends_a_pause_and_keeps_their_number(
    watch: Watch, broken: None
) -> None:
    run = watch.fails(watch.asks_when_two_looks_agree())
    assert watch.tick() == waiting(run, 1, "1 min 00 s")
    run = watch.fails(watch.asks(-86_400))
    assert watch.tick() == waiting(run, 2, "2 min 00 s")


def test_a_clock_that_is_set_back_does_not_make_a_change_wait_longer(
    tiny: Environment, watch: Watch
) -> None:
    assert watch.tick() == UNSETTLED
    write_image(tiny.mvtec_ad, "bolt/train/good/003.png")
    assert watch.tick(-86_400) == UNSETTLED
    write_image(tiny.mvtec_ad, "bolt/train/good/004.png")
    assert watch.tick(599) == UNSETTLED
    write_image(tiny.mvtec_ad, "bolt/train/good/005.png")
    watch.asks(1)


def test_a_cursor_that_a_person_resets_gives_keys_that_no_run_has(
    watch: Watch, broken: None
) -> None:
    watch.fails(watch.asks_when_two_looks_agree())
    for text in (None, "", "no JSON", "[]", '{"unknown": 1}', '{"digest": "abc"}'):
        watch.cursor = text
        watch.dies(watch.asks_when_two_looks_agree())


def first_release(digest: str, changes: int) -> str:
    return json.dumps({"digest": digest, "changes": changes, "asked_at": 1_700_000_000.5})


@pytest.mark.parametrize("outcome", ["success", "failure", "loaded by hand", "started"])
def test_a_cursor_of_the_first_release_is_read(
    watch: Watch, outcome: str, request: pytest.FixtureRequest
) -> None:
    asked = watch.asks_when_two_looks_agree()
    digest = json.loads(str(watch.cursor))["asked"]
    asked = dg.RunRequest(run_key=f"{digest}-7", tags=asked.tags)
    watch.cursor = first_release(digest, 7)
    if outcome == "success":
        assert watch.carry_out(asked).success
        assert watch.tick() == NO_CHANGE
    elif outcome == "loaded by hand":
        assert run_selection(catalogue("mvtec_ad"), instance=watch.instance).success
        assert watch.tick() == NO_CHANGE
    elif outcome == "failure":
        request.getfixturevalue("broken")
        run = watch.fails(asked)
        assert watch.tick() == waiting(run, 1, "1 min 00 s")
        watch.asks()
    else:
        run = watch.add_run(asked).run_id[:8]
        assert str(watch.tick()).startswith(f"Run {run} of refresh_mvtec_ad has not ended")


def test_a_sensor_goes_on_where_it_was_after_the_daemon_was_restarted(
    tiny: Environment, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, broken: None
) -> None:
    home = tmp_path / "dagster_home"
    home.mkdir()
    kept: dict[str, Any] = {}
    answers: list[str] = []
    for step in range(5):
        with dg.DagsterInstance.local_temp(str(home)) as instance:
            watch = Watch("mvtec_ad", instance, monkeypatch)
            watch.cursor, watch.clock = kept.get("cursor"), kept.get("clock", watch.clock)
            answer = watch.tick()
            if isinstance(answer, dg.RunRequest):
                answers.append(f"run {watch.fails(answer)}")
            else:
                answers.append(answer)
            kept = {"cursor": watch.cursor, "clock": watch.clock}
        assert len(answers) == step + 1
    runs = [answer.removeprefix("run ") for answer in answers if answer.startswith("run ")]
    assert answers == [
        UNSETTLED,
        f"run {runs[0]}",
        waiting(runs[0], 1, "1 min 00 s"),
        f"run {runs[1]}",
        waiting(runs[1], 2, "2 min 00 s"),
    ]
