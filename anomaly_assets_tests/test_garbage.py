"""Test pausing the garbage collector."""

import gc

import pytest

from anomaly_assets.garbage import uncollected


@pytest.mark.parametrize("enabled", [True, False])
def test_the_collector_is_paused_and_is_then_as_it_was(enabled: bool) -> None:
    before = gc.isenabled()
    try:
        (gc.enable if enabled else gc.disable)()
        with uncollected():
            assert not gc.isenabled()
        assert gc.isenabled() is enabled
    finally:
        gc.unfreeze()
        (gc.enable if before else gc.disable)()


def test_objects_that_exist_afterwards_are_exempt_from_collections() -> None:
    try:
        with uncollected():
            kept: list[list[int]] = [[] for _ in range(1000)]
        assert gc.get_freeze_count() >= len(kept)
    finally:
        gc.unfreeze()
