"""Test how files of corrections get new lines."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from anomaly_assets.curation.correction_files import read_corrections
from anomaly_assets.export.annotation.corrections_file import Line, edits
from anomaly_assets.export.errors import ExportError

SHA256, OTHER = "ab" * 32, "cd" * 32
HEADER = "image_id,content_sha256,field,value,reason,by,at\n"
NEW = Line("a/1.png", SHA256, "label", "good", "second look", "ana", "2026-01-02")
OF_NEW = f"a/1.png,{SHA256},label,good,second look,ana,2026-01-02\n"


def written(path: Path, *lines: Line) -> str:
    for edit in edits(path, lines):
        edit.write()
    return path.read_text("utf-8")


def test_a_new_file_has_a_header(tmp_path: Path) -> None:
    assert written(tmp_path / "new" / "corrections.csv", NEW) == HEADER + OF_NEW


def test_lines_are_added_in_the_columns_separator_and_line_ends_of_the_file(tmp_path: Path) -> None:
    path = tmp_path / "corrections.csv"
    path.write_bytes(b"\xef\xbb\xbfvalue;field;content_sha256;image_id\r\nx;split;;b/1.png")
    for edit in edits(path, [NEW]):
        edit.write()
    assert path.read_bytes() == (
        b"\xef\xbb\xbfvalue;field;content_sha256;image_id\r\nx;split;;b/1.png\r\n"
        b"good;label;" + SHA256.encode() + b";a/1.png\r\n"
    )


def test_a_line_that_is_there_is_not_added_again(tmp_path: Path) -> None:
    path = tmp_path / "corrections.csv"
    written(path, NEW)
    assert edits(path, [NEW]) == []


@pytest.mark.parametrize(
    "old", [f"a/1.png,{SHA256},label,anomalous", "a/1.png,,label,anomalous", "a/1.png,,label,good"]
)
def test_a_line_that_contradicts_is_replaced(tmp_path: Path, old: str) -> None:
    path = tmp_path / "corrections.csv"
    path.write_text(f'{HEADER}{old},"a reason\nin two lines",,\n')
    assert written(path, NEW) == HEADER + OF_NEW


@pytest.mark.parametrize(
    "old",
    [
        f"a/1.png,{OTHER},label,anomalous",
        f"a/2.png,{SHA256},label,anomalous",
        f"a/1.png,{SHA256},split,test",
        "a/2.png,,label,anomalous",
    ],
)
def test_a_line_about_something_else_stays(tmp_path: Path, old: str) -> None:
    path = tmp_path / "corrections.csv"
    path.write_text(f"{HEADER}{old},,,\n")
    assert written(path, NEW) == f"{HEADER}{old},,,\n{OF_NEW}"


def test_a_line_of_another_file_is_removed_there(tmp_path: Path) -> None:
    path, other = tmp_path / "new.csv", tmp_path / "old.csv"
    other.write_text(f"{HEADER}a/1.png,,label,anomalous,,,\nb/1.png,,label,good,,,\n")
    changed = edits(path, [NEW], [other])
    assert [edit.path for edit in changed] == [path, other]
    assert changed[1].after == f"{HEADER}b/1.png,,label,good,,,\n"


def test_a_file_that_is_spelled_in_two_ways_is_one_file(tmp_path: Path) -> None:
    path, alias = tmp_path / "new.csv", tmp_path / "alias.csv"
    path.write_text(f"{HEADER}a/1.png,,label,anomalous,,,\n")
    alias.symlink_to(path)
    [edit] = edits(path, [NEW], [tmp_path / "x" / ".." / "new.csv", alias])
    assert edit.after == f"{HEADER}{OF_NEW}"


def test_the_diff_can_be_reviewed_and_applied(tmp_path: Path) -> None:
    path = tmp_path / "corrections.csv"
    path.write_text(f"{HEADER}a/1.png,,label,anomalous,,,\n")
    [edit] = edits(path, [NEW])
    assert edit.diff() == (
        f"--- {path.as_posix()}\n+++ {path.as_posix()}\n@@ -1,2 +1,2 @@\n {HEADER}"
        f"-a/1.png,,label,anomalous,,,\n+{OF_NEW}"
    )


def test_line_breaks_in_a_reason_become_spaces(tmp_path: Path) -> None:
    line = Line("a/1.png", SHA256, "label", "good", "first\nsecond")
    assert "first second" in written(tmp_path / "corrections.csv", line)


def test_a_file_of_other_columns_is_an_error_that_names_them(tmp_path: Path) -> None:
    path = tmp_path / "other.csv"
    path.write_text("image,label\na,good\n")
    with pytest.raises(
        ExportError, match="other.csv cannot be used: unknown column image, label. The columns are"
    ):
        edits(path, [NEW])
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ExportError, match="Save it as UTF-8"):
        edits(path, [NEW])


def test_a_file_without_a_column_for_the_content_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "short.csv"
    path.write_text("image_id,field,value\n")
    with pytest.raises(ExportError, match="has no column content_sha256. Add it to the header"):
        edits(path, [NEW])


def test_a_line_for_all_images_of_a_content_is_replaced_by_one_for_all(tmp_path: Path) -> None:
    path = tmp_path / "corrections.csv"
    path.write_text(
        f"{HEADER},{SHA256},label,anomalous,,,\n,{SHA256},split,test,,,\n"
        f"b/copy.png,{SHA256},label,anomalous,,,\n"
    )
    assert written(path, NEW) == (
        f"{HEADER},{SHA256},split,test,,,\n,{SHA256},label,good,second look,ana,2026-01-02\n"
    )
    assert edits(path, [NEW]) == []
    assert edits(path, [NEW, replace(NEW, image_id="b/copy.png")]) == []


def test_copies_with_two_answers_do_not_replace_a_line_for_all(tmp_path: Path) -> None:
    path = tmp_path / "corrections.csv"
    path.write_text(f"{HEADER},{SHA256},label,unknown,,,\n")
    other = replace(NEW, image_id="b/copy.png", value="anomalous")
    with pytest.raises(ExportError, match="b/copy.png and another image .* answers good and anom"):
        edits(path, [NEW, other])
    path.write_text(HEADER)
    assert written(path, NEW, other).count(SHA256) == 2


@pytest.mark.parametrize("end", ["\n", "\r", "\r\n"])
@pytest.mark.parametrize(
    "text",
    [
        "image_id,content_sha256,field,value,reason\n{old}",
        "\n\nimage_id,content_sha256,field,value,reason\n{old}",
        "sep=,\nimage_id,content_sha256,field,value,reason\n{old}",
        " Image_ID ,content_sha256,FIELD,Value, Reason\n{old}",
        "image_id,content_sha256,field,value,reason\n{old}\n\n",
        "image_id,content_sha256,field,value,reason\nx,y\n{old}a,b,c,d,e,f,g\n",
    ],
)
def test_the_import_reads_the_files_that_a_run_reads(tmp_path: Path, text: str, end: str) -> None:
    old = f'a/1.png,{SHA256},label,anomalous,"two\u2028 \u2029lines\nof text"\n'
    path = tmp_path / "corrections.csv"
    before = text.format(old=old).replace("\n", end)
    path.write_bytes(before.encode())
    assert any(line.used_value == "anomalous" for line in read_corrections(path))
    [edit] = edits(path, [NEW])
    without = text.format(old="").replace("\n", end)
    without += "" if without.endswith(end) else end
    assert edit.after == f"{without}a/1.png,{SHA256},label,good,second look{end}"
    assert "\u2028" in edit.diff()
    edit.write()
    [line] = [line for line in read_corrections(path) if line.used_value == "good"]
    assert (line.image_id, line.reason) == ("a/1.png", "second look")


def test_spaces_in_an_id_are_kept(tmp_path: Path) -> None:
    path = tmp_path / "corrections.csv"
    line = replace(NEW, image_id="a/two  spaces.png", reason="first\u2028 second\n third")
    assert f"a/two  spaces.png,{SHA256},label,good,first second third" in written(path, line)
