"""Test the file of an assignment: what is written is read, and a wrong line is named."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from anomaly_assets.splitting.assign import assign
from anomaly_assets.splitting.assignment_file import (
    AssignmentError,
    names_in,
    parsed,
    path_of,
    read,
    text_of,
    write,
)
from anomaly_assets.splitting.contents import Line
from anomaly_assets.splitting.plan import Plan
from anomaly_assets_tests.splitting.test_assign import content_of, image

PLAN = Plan(seed=3, val=0.2, group="serial no", by=("category",), taken=("train", "test"))
TEXTS = st.text(st.characters(codec="utf-8", exclude_characters="\0"))


def line(number: int = 1, fold: str = "val", **values: str) -> Line:
    content = content_of(number)
    given = {"unit": content, "decided_by": "balance", "group": "", "image_id": "a/b.png"}
    return Line(content, fold, **{**given, **values})


@given(TEXTS, TEXTS)
def test_what_is_written_is_read(group: str, image_id: str) -> None:
    lines = [line(group=group, image_id=image_id), line(2, unit=content_of(1), group="x")]
    assert parsed(text_of(PLAN, lines)) == (PLAN, {each.content: each for each in lines})


def test_line_ends_and_marks_of_windows_are_read(tmp_path: Path) -> None:
    path = tmp_path / "v1.csv"
    text = text_of(PLAN, [line()]).replace("\n", "\r\n")
    path.write_bytes(text.encode("utf-8-sig"))
    assert read(path) == (PLAN, {line().content: line()})


def test_newcomers_add_lines_and_change_none() -> None:
    plan = Plan(val=0.2)
    lines = assign(plan, map(image, range(100))).lines
    later = {**lines, **assign(plan, map(image, range(120)), lines).lines}
    before, after = (text_of(plan, of.values()).splitlines() for of in (lines, later))
    assert [each for each in after if each in {*before}] == before
    assert len(after) == len(before) + 20


def test_the_same_text_is_written_in_every_order() -> None:
    lines = [line(number) for number in range(5)]
    assert text_of(PLAN, lines) == text_of(PLAN, lines[::-1])


def test_files_are_found_by_their_name(tmp_path: Path) -> None:
    assert names_in(tmp_path / "splits") == []
    write(path_of(tmp_path / "splits", "v1"), PLAN, [line()])
    text = path_of(tmp_path / "splits", "v1").read_text("utf-8")
    path_of(tmp_path / "splits", "v2").write_text(text, "utf-8-sig")
    (tmp_path / "splits/1cls.csv").write_text("object,split,label,image\n")
    (tmp_path / "splits/folder.csv").mkdir()
    assert names_in(tmp_path / "splits") == ["v1", "v2"]


HEAD = text_of(PLAN, [])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "line 1: it does not begin with '# anomaly-assets split'."),
        (
            '# anomaly-assets split {"val": 2}\n',
            "line 1: its options cannot be used: --val 2.0: use ",
        ),
        (
            '# anomaly-assets split {"until": 3}\n',
            "line 1: its options cannot be used: there is no",
        ),
        ("# anomaly-assets split [1]\n", "line 1: its options cannot be used: "),
        (HEAD.replace("fold,", ""), "line 2: the columns are not content_sha256,fold,"),
        (HEAD + "<<<<<<< HEAD\n", "line 3: <<<<<<< HEAD is not a line of 6 values"),
        (
            HEAD + f"{content_of(1)},7,,hash,,a\n",
            "line 3: the options have no fold 7, but val, train, and left_out for ",
        ),
        (
            HEAD + f"{content_of(1)},val,,hash,,a\n{content_of(1)},train,,hash,,a\n",
            f"line 4: {content_of(1)} is in the fold train, and in line 3 in val.",
        ),
    ],
)
def test_a_wrong_line_is_named(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "v1.csv"
    path.write_text(text, "utf-8")
    with pytest.raises(AssignmentError) as caught:
        read(path)
    assert str(caught.value).startswith(f"{path}, {message}")


def test_a_repeated_equal_line_is_read_once() -> None:
    text = text_of(PLAN, [line()])
    assert parsed(text + text.splitlines()[-1] + "\n") == (PLAN, {line().content: line()})
