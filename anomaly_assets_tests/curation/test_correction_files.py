"""Test how correction files are read: columns, encodings, values, and faults of single lines."""

from __future__ import annotations

from datetime import datetime, timezone
from pathlib import Path

import pytest

from anomaly_assets.curation.correction_files import (
    CorrectionLine,
    CorrectionsError,
    as_table,
    read_corrections,
)

SHA256 = "ab" * 32


def read(folder: Path, text: str, encoding: str = "utf-8") -> list[CorrectionLine]:
    (folder / "corrections.csv").write_bytes(text.encode(encoding))
    return read_corrections(folder / "corrections.csv")


def test_columns_are_found_by_name_in_any_order_and_case(tmp_path: Path) -> None:
    text = "At;Value;FIELD;by;image_id\n2026-11-29T10:00Z;NG;Label;ada;line/a.png\n"
    (line,) = read(tmp_path, text)
    assert line == CorrectionLine(
        "corrections.csv",
        2,
        image_id="line/a.png",
        field="label",
        value="NG",
        corrected_by="ada",
        corrected_at=datetime(2026, 11, 29, 10, tzinfo=timezone.utc),
        used_value="anomalous",
    )
    assert as_table([line]).num_rows == 1


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-32-be"])
def test_any_unicode_encoding_is_read(tmp_path: Path, encoding: str) -> None:
    text = "image_id,field,value,reason\nline/a.png,label,good,Kratzer größer\n"
    (line,) = read(tmp_path, text, encoding)
    assert (line.used_value, line.reason) == ("good", "Kratzer größer")


@pytest.mark.parametrize(
    ("field", "value", "used"),
    [
        ("label", "OK", "good"),
        ("label", "unknown", "unknown"),
        ("defect_type", "scratch", "scratch"),
        ("defect_type", "NG", "unspecified"),
        ("split", "val", "validation"),
        ("split", "unassigned", "unassigned"),
        ("exclude", "yes", "true"),
        ("exclude", "0", "false"),
    ],
)
def test_values_are_read_in_the_words_of_the_project(
    tmp_path: Path, field: str, value: str, used: str
) -> None:
    (line,) = read(tmp_path, f"image_id,field,value\na,{field},{value}\n")
    assert (line.used_value, line.fault) == (used, None)


@pytest.mark.parametrize(
    ("cells", "fault"),
    [
        ("a,,label,bent,", "bent is no label: use good, anomalous or unknown"),
        ("a,,defect_type,good,", "good is no defect type: correct the label instead"),
        ("a,,split,later,", "later is no split: use test, train, unassigned, validation"),
        ("a,,exclude,maybe,", "maybe is neither true nor false"),
        ("a,,colour,red,", "the field is one of label, defect_type, split, exclude"),
        ("a,,label,,", "the line has no value"),
        (",,label,good,", "the line has neither image_id nor content_sha256"),
        ("a,abc,label,good,", "content_sha256 is not a SHA-256"),
        ("a,,label,good,yesterday", "at is not a time in ISO 8601"),
        ("a,,defect_type,\u202escratch,", "value has \\u202e"),
        ("a,,label,good,,,,x", "8 cells, and the header has 5"),
    ],
)
def test_a_line_that_cannot_be_used_has_its_fault(tmp_path: Path, cells: str, fault: str) -> None:
    text = f"image_id,content_sha256,field,value,at\n{cells}\nb,{SHA256},label,good,\n"
    lines = {line.line: line for line in read(tmp_path, text)}
    assert fault in str(lines[2].fault)
    assert lines[2].used_value is None
    assert lines[3].used_value == "good"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("image_id,field,value,colour\n", "unknown column colour. The columns are image_id"),
        ("image_id,value\n", "the header has no column field"),
        ("field,value\n", "no column image_id or content_sha256"),
        ("image_id,field,field,value\n", "2 columns have the name field"),
        ("", "The file has no text"),
        ('image_id,field,value\na,label,"good\nb,label,bad\nc,label,bad\n', "not closed"),
    ],
)
def test_a_file_that_cannot_be_used_is_an_error(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(CorrectionsError, match="corrections.csv cannot be used") as raised:
        read(tmp_path, text)
    assert message in str(raised.value)


def test_files_of_a_folder_are_read_in_the_order_of_their_names(tmp_path: Path) -> None:
    for name in ("b", "a"):
        (tmp_path / f"{name}.csv").write_text(f"image_id,field,value\n{name},label,good\n")
    (tmp_path / "notes.txt").write_text("not read")
    assert [(line.file, line.image_id) for line in read_corrections(tmp_path)] == [
        ("a.csv", "a"),
        ("b.csv", "b"),
    ]


def test_a_folder_without_a_file_and_a_missing_file_are_errors(tmp_path: Path) -> None:
    with pytest.raises(CorrectionsError, match="has no CSV file"):
        read_corrections(tmp_path)
    with pytest.raises(CorrectionsError, match="No such file"):
        read_corrections(tmp_path / "missing.csv")


def test_a_time_without_a_zone_is_in_utc_and_a_date_is_its_first_moment(tmp_path: Path) -> None:
    times = ("2026-11-29T10:00:00", "2026-11-29", "2026-11-29T10:00:00+02:00")
    text = "image_id,field,value,at\n" + "".join(f"a,label,good,{at}\n" for at in times)
    hours = [10, 0, 8]
    assert [line.corrected_at for line in read(tmp_path, text)] == [
        datetime(2026, 11, 29, hour, tzinfo=timezone.utc) for hour in hours
    ]
