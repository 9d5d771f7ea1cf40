"""The folder of an export is there as a whole or not at all, whatever happens on the way."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from anomaly_assets.export import destination
from anomaly_assets.export.destination import MARKER, describe, described, replaced
from anomaly_assets.export.errors import ExportError


def make(out: Path, content: str, *, overwrite: bool = False) -> None:
    with replaced(out, overwrite=overwrite) as folder:
        (folder / "content").write_text(content)
        describe(folder, {"format": "parquet", "samples": 3, "snapshot_id": "abc"})


def names(folder: Path) -> list[str]:
    return sorted(os.listdir(folder))


def test_nothing_has_the_final_name_before_the_end(tmp_path: Path) -> None:
    out = tmp_path / "deep" / "export"
    with replaced(out) as folder:
        assert folder.parent == out.parent
        assert folder.name.startswith(".")
        assert not out.exists()
        (folder / "content").write_text("new")
    assert names(out.parent) == ["export"]
    assert (out / "content").read_text() == "new"


def test_an_empty_folder_is_taken(tmp_path: Path) -> None:
    (tmp_path / "export").mkdir()
    make(tmp_path / "export", "new")
    assert names(tmp_path / "export") == [MARKER, "content"]


@pytest.mark.parametrize("overwrite", [False, True])
@pytest.mark.parametrize("marker", [None, "{}", "not json", '{"made_by": "somebody"}', "[]"])
def test_what_is_no_export_is_never_replaced(
    tmp_path: Path, overwrite: bool, marker: str | None
) -> None:
    out = tmp_path / "export"
    out.mkdir()
    (out / "thesis.tex").write_text("mine")
    if marker is not None:
        (out / MARKER).write_text(marker)
    with pytest.raises(ExportError, match=r"is no export of this project.*name a new folder"):
        make(out, "new", overwrite=overwrite)
    assert (out / "thesis.tex").read_text() == "mine"
    assert names(tmp_path) == ["export"]


@pytest.mark.parametrize("out", ["/", "//", "/tmp/.."])
def test_the_root_of_the_file_system_is_refused_and_left_alone(out: str) -> None:
    before = names(Path("/"))
    with pytest.raises(
        ExportError, match="/ is the root of the file system.*name a new folder in it"
    ):
        make(Path(out), "new", overwrite=True)
    assert names(Path("/")) == before


def test_no_name_at_all_is_refused_and_not_taken_for_the_current_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    with (
        pytest.raises(ExportError, match="name of the folder is empty: name a new folder"),
        replaced(""),
    ):
        pass
    assert names(tmp_path) == ["here"]


@pytest.mark.parametrize("inner", ["again", "data/again", "new/folder/again"])
def test_an_export_inside_another_one_is_refused_and_the_other_is_as_it_was(
    tmp_path: Path, inner: str
) -> None:
    outer = tmp_path / "export"
    make(outer, "first")
    (outer / "data").mkdir()
    with pytest.raises(
        ExportError, match=r"lies inside the export .*/export, .* name a folder beside it"
    ):
        make(outer / inner, "second", overwrite=True)
    assert names(outer) == [MARKER, "content", "data"]
    assert names(outer / "data") == []


def test_a_file_is_never_replaced(tmp_path: Path) -> None:
    (tmp_path / "export").write_text("mine")
    with pytest.raises(ExportError, match="is no export"):
        make(tmp_path / "export", "new", overwrite=True)
    assert (tmp_path / "export").read_text() == "mine"


def test_an_export_is_replaced_when_that_is_asked_for(tmp_path: Path) -> None:
    out = tmp_path / "export"
    make(out, "old")
    with pytest.raises(ExportError, match=r"parquet, 3 samples, snapshot abc.*--overwrite"):
        make(out, "new")
    assert (out / "content").read_text() == "old"
    make(out, "new", overwrite=True)
    assert (out / "content").read_text() == "new"
    assert names(tmp_path) == ["export"]


@pytest.mark.parametrize("answer", [None, errno.EINVAL, errno.ENOSYS])
def test_an_export_is_replaced_where_names_cannot_be_exchanged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, answer: int | None
) -> None:
    class Libc:
        """One without the calls of Linux, or one whose file system has no such step."""

    def refuse(*arguments: object) -> int:
        destination.ctypes.set_errno(answer or 0)
        return -1

    if answer is not None:
        Libc.renameat2 = staticmethod(refuse)  # type: ignore[attr-defined]
    make(tmp_path / "export", "old")
    monkeypatch.setattr(destination, "_libc", Libc)
    make(tmp_path / "export", "new", overwrite=True)
    assert (tmp_path / "export" / "content").read_text() == "new"
    assert names(tmp_path) == ["export"]


def test_an_export_killed_between_two_renames_is_there_again(tmp_path: Path) -> None:
    out = tmp_path / "export"
    make(out, "old")
    out.rename(tmp_path / ".export.superseded")
    with pytest.raises(ExportError, match="holds an export already"):
        make(out, "new")
    assert (out / "content").read_text() == "old"
    assert names(tmp_path) == ["export"]


@pytest.mark.parametrize("trouble", [RuntimeError, KeyboardInterrupt, SystemExit])
def test_nothing_is_left_of_an_export_that_fails(
    tmp_path: Path, trouble: type[BaseException]
) -> None:
    make(tmp_path / "export", "old")

    def fail() -> None:
        with replaced(tmp_path / "export", overwrite=True) as folder:
            (folder / "content").write_text("half")
            raise trouble

    with pytest.raises(trouble):
        fail()
    assert names(tmp_path) == ["export"]
    assert (tmp_path / "export" / "content").read_text() == "old"


def test_what_a_killed_export_left_is_emptied_by_the_next_one(tmp_path: Path) -> None:
    leftover = tmp_path / ".export.unfinished"
    (leftover / "images" / "deep").mkdir(parents=True)
    (leftover / "images" / "deep" / "000.png").write_text("half")
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "kept").write_text("kept")
    (leftover / "link").symlink_to(outside)
    make(tmp_path / "export", "new")
    assert names(tmp_path) == ["export", "outside"]
    assert names(tmp_path / "export") == [MARKER, "content"]
    assert (outside / "kept").read_text() == "kept"


def test_a_link_in_the_place_of_the_hidden_folder_is_not_followed(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "kept").write_text("kept")
    (tmp_path / ".export.unfinished").symlink_to(outside)
    with pytest.raises(ExportError, match="was not written"):
        make(tmp_path / "export", "new")
    assert names(outside) == ["kept"]


def test_two_exports_into_one_place_do_not_meet(tmp_path: Path) -> None:
    out = tmp_path / "export"
    with replaced(out) as folder:
        (folder / "content").write_text("first")
        with pytest.raises(ExportError, match="Another export is writing"):
            make(out, "second")
    assert (out / "content").read_text() == "first"
    assert names(tmp_path) == ["export"]


def test_a_link_to_a_folder_stays_a_link(tmp_path: Path) -> None:
    (tmp_path / "disk").mkdir()
    (tmp_path / "export").symlink_to(tmp_path / "disk" / "export")
    make(tmp_path / "export", "new")
    assert (tmp_path / "export").is_symlink()
    assert (tmp_path / "disk" / "export" / "content").read_text() == "new"


def test_a_name_of_255_bytes_is_possible(tmp_path: Path) -> None:
    out = tmp_path / ("e" * 255)
    make(out, "old")
    make(out, "new", overwrite=True)
    assert (out / "content").read_text() == "new"
    assert names(tmp_path) == [out.name]


@pytest.mark.parametrize(
    ("number", "advice"),
    [
        (errno.ENOSPC, r"No space left on device\. Free some space"),
        (errno.EACCES, r"Permission denied\. Name a folder that you may write to"),
        (errno.EIO, r"Input/output error\.$"),
    ],
)
def test_trouble_with_the_disk_says_what_to_do(tmp_path: Path, number: int, advice: str) -> None:
    with pytest.raises(ExportError, match=advice), replaced(tmp_path / "export"):
        raise OSError(number, os.strerror(number))
    assert names(tmp_path) == []


def test_only_a_folder_with_our_marker_is_an_export(tmp_path: Path) -> None:
    assert described(tmp_path) is None
    describe(tmp_path, {"format": "anomalib"})
    assert described(tmp_path) == {"made_by": "anomaly_assets.export", "format": "anomalib"}
