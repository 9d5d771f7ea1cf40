"""Test that Ctrl-C and SIGTERM end the run even if a library swallows the signal."""

import importlib
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

import dagster as dg
import pytest

from anomaly_assets.assets.interrupts import Interrupts, hearing_interrupts
from anomaly_assets.assets.resources import WarehouseResource
from anomaly_assets.signals import import_what_duckdb_imports, interrupts_later
from anomaly_assets_tests.assets.environment import Environment

SIGNALS = [signal.SIGINT, signal.SIGTERM]


@contextmanager
def keeping_to_itself(number: signal.Signals) -> Iterator[None]:
    """Handle a signal like dlt during a load."""

    def forget(number: int, frame: FrameType | None) -> None:
        pass

    before = signal.signal(number, forget)
    try:
        yield
    finally:
        signal.signal(number, before)


@pytest.mark.parametrize("number", SIGNALS)
def test_a_signal_is_heard_of_that_somebody_else_handled(number: signal.Signals) -> None:
    with hearing_interrupts() as heard:
        heard.refuse_to_go_on()
        with keeping_to_itself(number):
            signal.raise_signal(number)
        for _ in range(2):
            with pytest.raises(dg.DagsterExecutionInterruptedError, match="asked to stop"):
                heard.refuse_to_go_on()


def test_other_signals_and_those_from_before_are_no_reason_to_stop() -> None:
    with keeping_to_itself(signal.SIGINT):
        signal.raise_signal(signal.SIGINT)
    with hearing_interrupts() as heard, keeping_to_itself(signal.SIGUSR1):
        signal.raise_signal(signal.SIGUSR1)
        heard.refuse_to_go_on()


def test_in_another_thread_nothing_is_heard_and_nothing_fails() -> None:
    listening: list[Interrupts] = []

    def hear() -> None:
        with hearing_interrupts() as heard:
            heard.refuse_to_go_on()
            listening.append(heard)

    thread = threading.Thread(target=hear)
    thread.start()
    thread.join()
    assert listening == [Interrupts()]


def test_whoever_listens_already_goes_on_listening() -> None:
    with hearing_interrupts() as outer, keeping_to_itself(signal.SIGINT):
        with hearing_interrupts() as inner:
            signal.raise_signal(signal.SIGINT)
            inner.refuse_to_go_on()
        with pytest.raises(dg.DagsterExecutionInterruptedError):
            outer.refuse_to_go_on()
    assert signal.set_wakeup_fd(-1) == -1


def test_a_signal_after_thousands_of_others_is_heard() -> None:
    with hearing_interrupts() as heard, keeping_to_itself(signal.SIGUSR1):
        for _ in range(20):
            for _ in range(200):
                signal.raise_signal(signal.SIGUSR1)
            heard.refuse_to_go_on()
        with keeping_to_itself(signal.SIGTERM):
            signal.raise_signal(signal.SIGTERM)
        with pytest.raises(dg.DagsterExecutionInterruptedError):
            heard.refuse_to_go_on()


def test_a_run_imports_first_what_duckdb_would_import(
    tiny: Environment, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("pandas", "pyarrow.dataset"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    imported: list[set[str]] = []

    @dg.asset
    def looks(warehouse: WarehouseResource) -> None:
        imported.append({"pandas", "pyarrow.dataset"} & {*sys.modules})

    monkeypatch.setattr(importlib, "import_module", lambda name: sys.modules.setdefault(name, sys))
    dg.materialize([looks], resources={"warehouse": WarehouseResource()})
    for name in ("pandas", "pyarrow.dataset"):
        del sys.modules[name]
    assert imported == [{"pandas", "pyarrow.dataset"}]


@pytest.mark.slow
@pytest.mark.parametrize("number", SIGNALS)
def test_the_step_after_one_that_lost_a_signal_ends_the_run(
    tiny: Environment, number: signal.Signals
) -> None:
    begun: list[str] = []

    @dg.asset
    def loses(warehouse: WarehouseResource) -> None:
        assert warehouse.warehouse
        with keeping_to_itself(number):
            signal.raise_signal(number)
        begun.append("loses")

    @dg.asset(deps=[loses])
    def hears(warehouse: WarehouseResource) -> None:
        assert warehouse.warehouse
        begun.append("hears")

    @dg.asset(deps=[hears])
    def never(warehouse: WarehouseResource) -> None:
        begun.append("never")

    with dg.instance_for_test() as instance:
        with pytest.raises(dg.DagsterExecutionInterruptedError):
            dg.materialize(
                [loses, hears, never],
                resources={"warehouse": WarehouseResource()},
                instance=instance,
            )
        [run] = instance.get_runs()
        assert run.status == dg.DagsterRunStatus.FAILURE
    assert begun == ["loses"]


@pytest.mark.parametrize("number", SIGNALS)
def test_a_signal_waits_until_an_import_is_whole_and_is_handled_then(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: signal.Signals
) -> None:
    (tmp_path / "pandas.py").write_text(
        f"import signal\nsignal.raise_signal({int(number)})\ncomplete = True\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "pandas", raising=False)
    handled: list[int] = []
    before = signal.signal(number, lambda number, _: handled.append(number))
    try:
        import_what_duckdb_imports()
    finally:
        signal.signal(number, before)
        imported = sys.modules.pop("pandas")
    assert imported.complete
    assert handled == [number]


@pytest.mark.parametrize("text", ["raise ImportError('damaged')", "raise RuntimeError", "1 / 0"])
def test_pandas_that_is_damaged_is_done_without(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str
) -> None:
    (tmp_path / "pandas.py").write_text(text)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "pandas", raising=False)
    before = {number: signal.getsignal(number) for number in SIGNALS}
    import_what_duckdb_imports()
    assert before == {number: signal.getsignal(number) for number in SIGNALS}


def test_another_thread_lets_nothing_wait() -> None:
    failures: list[BaseException] = []

    def wait() -> None:
        try:
            with interrupts_later():
                pass
        except BaseException as error:
            failures.append(error)

    thread = threading.Thread(target=wait)
    thread.start()
    thread.join()
    assert not failures
