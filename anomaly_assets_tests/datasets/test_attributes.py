"""Test the values of attributes, and tables whose attributes cannot be read."""

from __future__ import annotations

from typing import Any

import pytest

from anomaly_assets.datasets.attributes import typed_value
from anomaly_assets.datasets.table_rows import TableContent
from anomaly_assets_tests.datasets.tables import json_table, table

KEYS: dict[str, Any] = {
    "columns": {"image": "image", "label": "label"},
    "attributes": {"camera": "cam", "serial": {"column": "sn", "type": "integer"}},
}


@pytest.mark.parametrize(
    "text",
    [
        *("0001-01-01T00:00:00+01:00", "9999-12-31T23:59:59-14:00", "yesterday", "2026-02-30"),
        *("20260102", "2026-W01-1", "2026-01-02T10", "٢٠٢٦-01-02"),
    ],
)
def test_a_time_outside_of_the_calendar_or_in_another_form_is_no_value(text: str) -> None:
    with pytest.raises(ValueError, match=r"\d|yesterday|day"):
        typed_value("time", text)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("2026-01-02", "2026-01-02 00:00:00"),
        ("2026-01-02t10:00z", "2026-01-02 10:00:00"),
        ("2026-01-02 10:00:01.1234567+0200", "2026-01-02 08:00:01.123456"),
    ],
)
def test_a_time_is_the_same_on_every_version_of_python(text: str, value: str) -> None:
    assert typed_value("time", text) == value


@pytest.mark.parametrize("kind", ["integer", "number"])
@pytest.mark.parametrize(
    "text", ["12_3", "١٢", "\uff11\uff12", "1,5", "0x10", "nan", "inf", "", "1 2", "--1"]
)
def test_what_only_python_takes_for_a_number_is_no_value(kind: Any, text: str) -> None:
    with pytest.raises(ValueError, match="^"):
        typed_value(kind, text)


@pytest.mark.parametrize(
    ("kind", "text", "value"),
    [
        *(("integer", "-012", -12), ("integer", "+9223372036854775807", 2**63 - 1)),
        *(("number", "1.", 1.0), ("number", "-.5e-3", -0.0005), ("number", "+12", 12.0)),
    ],
)
def test_numbers_are_read_as_written(kind: Any, text: str, value: float) -> None:
    assert typed_value(kind, text) == value


def labels(found: TableContent) -> list[tuple[str | None, str | None, bool]]:
    return [(row.label, row.attributes, row.is_unclear) for row in found.rows]


def test_a_missing_attribute_leaves_the_labels() -> None:
    found = table("image,label,sn\na,good,1\n", **KEYS)
    assert found.fault is None
    assert labels(found) == [("good", '{"serial": 1}', False)]
    found = json_table([{"image": "a", "label": "good", "sn": 1}], **KEYS)
    assert labels(found) == [("good", '{"serial": 1}', False)]
    assert found.missing == (
        'No image has camera. No column "cam". The columns are "image", "label", "sn". Correct '
        "`attributes`, or remove the key.",
    )


def test_two_columns_of_one_attribute_leave_the_labels() -> None:
    found = table("image,label,sn,cam,CAM\na,good,1,A,B\n", **KEYS)
    assert labels(found) == [("good", '{"camera": "A", "serial": 1}', False)]
    found = table("image,label,sn,cam,cam\na,good,1,A,B\n", **KEYS)
    assert labels(found) == [("good", '{"serial": 1}', False)]
    assert found.missing == (
        'No image has camera. 2 columns have the name "cam". Rename all but one.',
    )


def test_a_missing_label_is_still_a_fault_of_the_table() -> None:
    assert 'No column "label"' in str(table("image,sn,cam\na,1,A\n", **KEYS).fault)
    assert 'No column "label"' in str(json_table([{"image": "a"}], **KEYS).fault)


def test_an_attribute_that_is_no_text_changes_nothing_else_in_its_row() -> None:
    found = table('image,label,sn,cam\na,good,1,"A\nB"\n', **KEYS)
    assert labels(found) == [("good", '{"serial": 1}', False)]
    assert found.malformed_count == 1
    found = json_table([{"image": "a", "label": "good", "sn": 1, "cam": ["A"]}], **KEYS)
    assert labels(found) == [("good", '{"serial": 1}', False)]
    assert found.malformed_count == 1
