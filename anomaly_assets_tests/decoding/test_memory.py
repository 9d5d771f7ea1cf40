"""Test that freed memory is kept with glibc; on other systems nothing happens."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from anomaly_assets import linux

keep = linux.keep_freed_memory.__wrapped__


def test_both_thresholds_are_set(monkeypatch: pytest.MonkeyPatch) -> None:
    """Check that both thresholds are set, because one alone made a first load slower."""
    told: list[tuple[int, int]] = []
    library = SimpleNamespace(mallopt=lambda *option: told.append(option))
    monkeypatch.setattr(linux, "_libc", lambda: library)
    assert keep()
    assert told == [(-1, 96 << 20), (-3, 32 << 20)]


@pytest.mark.parametrize("library", [None, object()])
def test_without_glibc_nothing_happens(monkeypatch: pytest.MonkeyPatch, library: object) -> None:
    monkeypatch.setattr(linux, "_libc", lambda: library)
    assert not keep()
