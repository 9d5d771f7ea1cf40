"""Freed memory is kept with glibc; on other systems nothing happens."""

from __future__ import annotations

import ctypes
from types import SimpleNamespace

import pytest

from anomaly_assets.decoding.memory import keep_freed_memory

keep = keep_freed_memory.__wrapped__


def test_both_thresholds_are_set(monkeypatch: pytest.MonkeyPatch) -> None:
    """Either alone made a first load slower."""
    told: list[tuple[int, int]] = []
    library = SimpleNamespace(mallopt=lambda *option: told.append(option))
    monkeypatch.setattr(ctypes, "CDLL", lambda _: library)
    keep()
    assert told == [(-1, 96 << 20), (-3, 32 << 20)]


@pytest.mark.parametrize("error", [None, OSError, TypeError])
def test_without_glibc_nothing_happens(
    monkeypatch: pytest.MonkeyPatch, error: type[Exception] | None
) -> None:
    def library(_: None) -> object:
        if error:
            raise error
        return object()

    monkeypatch.setattr(ctypes, "CDLL", library)
    keep()
