"""Test what the benchmark of split assignments counts, with fewer images."""

from __future__ import annotations

import pytest

from benchmarks.splitting import PLANS, measured


@pytest.mark.slow
@pytest.mark.parametrize("name", PLANS)
def test_nothing_moves_and_nothing_is_parted_without_a_report(name: str) -> None:
    result = measured(PLANS[name], 2000)
    assert result["images"] == 2000
    counted = ("moved", "near duplicates parted", "groups parted")
    assert [result[each] for each in counted] == [0, 0, 0]
