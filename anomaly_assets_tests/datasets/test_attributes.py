"""Test the values of attributes."""

import pytest

from anomaly_assets.datasets.attributes import typed_value


@pytest.mark.parametrize(
    "text", ["0001-01-01T00:00:00+01:00", "9999-12-31T23:59:59-14:00", "yesterday"]
)
def test_a_time_outside_of_the_calendar_is_no_value(text: str) -> None:
    with pytest.raises(ValueError, match=text[:4]):
        typed_value("time", text)
