"""Test that exports are atomic: the folder is complete or absent, whatever happens."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
from collections import Counter
from contextlib import ExitStack
from pathlib import Path

import pytest

from anomaly_assets.export.destination import MARKER, described, mark, replaced
from anomaly_assets.export.errors import ExportError
from anomaly_assets_tests.disk import record_calls

LEFT = f".export.{'0' * 32}.unfinished"
"""A temporary folder whose writer is dead."""


def make(out: Path, content: str, *, overwrite: bool = False) -> None:
    with replaced(out, overwrite=overwrite) as folder:
        (folder / "content").write_text(content)
        mark(folder, {"format": "parquet", "samples": 3, "snapshot_id": "abc"})


def names(folder: Path) -> list[str]:
    return sorted(os.listdir(folder))


def test_nothing_has_the_final_name_before_the_end(tmp_path: Path) -> None:
    out = tmp_path / "deep" / "export"
    with replaced(out) as folder:
        assert folder.parent.parent == out.parent
        assert names(out.parent) == [folder.parent.name, ".export.lock"]
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
    with pytest.raises(ExportError, match=r"is not an export of this project.*Name a new folder"):
        make(out, "new", overwrite=overwrite)
    assert (out / "thesis.tex").read_text() == "mine"
    assert names(tmp_path) == ["export"]


@pytest.mark.parametrize("out", ["/", "//", "/tmp/.."])
def test_the_root_of_the_file_system_is_refused_and_left_alone(out: str) -> None:
    before = names(Path("/"))
    with pytest.raises(
        ExportError, match="/ is the root of the file system.*Name a new folder in it"
    ):
        make(Path(out), "new", overwrite=True)
    assert names(Path("/")) == before


def test_no_name_at_all_is_refused_and_not_taken_for_the_current_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    with (
        pytest.raises(ExportError, match=r"name of the folder is empty\. Name a new folder"),
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
        ExportError, match=r"is inside the export .*/export\. .* Name a folder beside it"
    ):
        make(outer / inner, "second", overwrite=True)
    assert names(outer) == [MARKER, "content", "data"]
    assert names(outer / "data") == []


def test_a_file_is_never_replaced(tmp_path: Path) -> None:
    (tmp_path / "export").write_text("mine")
    with pytest.raises(ExportError, match="is not an export"):
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


def test_an_export_is_on_the_disk_before_it_has_its_name_and_its_name_is_before_success(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = record_calls(monkeypatch)
    make(tmp_path / "export", "old")
    renamed = ("rename", "content", "export")
    assert calls == [("syncfs", "content"), renamed, ("fsync", tmp_path.name)]
    calls.clear()
    make(tmp_path / "export", "new", overwrite=True)
    exchanged = ("exchange", "content", "export")
    assert calls == [("syncfs", "content"), renamed, exchanged, ("fsync", tmp_path.name)]


@pytest.mark.parametrize("left", [".export.superseded", f"{LEFT}/superseded"])
def test_an_export_killed_between_two_renames_is_there_again(tmp_path: Path, left: str) -> None:
    out = tmp_path / "export"
    make(out, "old")
    (tmp_path / left).parent.mkdir(exist_ok=True)
    out.rename(tmp_path / left)
    with pytest.raises(ExportError, match="already contains an export"):
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


@pytest.mark.parametrize("left", [".export.unfinished", LEFT])
def test_what_a_killed_export_left_is_removed_by_the_next_one(tmp_path: Path, left: str) -> None:
    leftover = tmp_path / left
    (tmp_path / ".export.lock").touch()
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
    for left in (".export.unfinished", LEFT):
        (tmp_path / left).symlink_to(outside)
    make(tmp_path / "export", "new")
    assert names(outside) == ["kept"]
    assert names(tmp_path / "export") == [MARKER, "content"]


def test_two_exports_into_one_place_do_not_meet(tmp_path: Path) -> None:
    out = tmp_path / "export"
    with replaced(out) as folder:
        (folder / "content").write_text("first")
        with pytest.raises(ExportError, match="Another export is writing"):
            make(out, "second")
    assert (out / "content").read_text() == "first"
    assert names(tmp_path) == ["export"]


def test_an_export_that_comes_while_another_one_is_being_completed_takes_nothing_from_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Start the second export after the first has swapped its folder in and while it syncs the name."""
    out, fsync = tmp_path / "export", os.fsync
    make(out, "old")
    second, told = ExitStack(), list[str]()

    def come_now(descriptor: int) -> None:
        fsync(descriptor)
        if os.path.samestat(os.fstat(descriptor), tmp_path.stat()) and not told:
            told.append("it came")
            try:
                folder = second.enter_context(replaced(out, overwrite=True))
                (folder / "half").write_text("second")
            except ExportError as error:
                told.append(str(error))

    monkeypatch.setattr(os, "fsync", come_now)
    make(out, "first", overwrite=True)
    assert told == [
        "it came",
        f"Another export is writing {out}. Wait for it, or name another folder.",
    ]
    assert names(tmp_path) == ["export"]
    assert names(out) == [MARKER, "content"]
    make(out, "second", overwrite=True)
    assert (out / "content").read_text() == "second"


EXPORTS_AGAIN_AND_AGAIN = """
import json, os, sys, time
from pathlib import Path
from anomaly_assets.export import destination
out, files, rounds, fsync = Path(sys.argv[1]), 40, 30, os.fsync
def slowly(descriptor):
    fsync(descriptor)
    time.sleep(0.02)
os.fsync = slowly
def names():
    # Of one folder, though another export replaces it meanwhile.
    while True:
        opened = os.open(out, os.O_RDONLY)
        try:
            found = os.listdir(opened)
            if os.path.samestat(os.fstat(opened), os.stat(out)):
                return len(found)
        finally:
            os.close(opened)
outcomes = []
for _ in range(rounds):
    try:
        with destination.replaced(out, overwrite=True) as folder:
            for number in range(files):
                (folder / str(number)).touch()
            destination.mark(folder, {})
        outcomes.append("complete" if names() == files + 1 else "incomplete")
    except destination.ExportError as error:
        outcomes.append("refused" if "Another export is writing" in str(error) else str(error))
print(json.dumps(outcomes))
"""


@pytest.mark.slow
def test_of_several_processes_that_export_into_one_place_every_success_is_complete(
    tmp_path: Path,
) -> None:
    command = [sys.executable, "-c", EXPORTS_AGAIN_AND_AGAIN, str(tmp_path / "export")]
    exporters = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(4)]
    outcomes: Counter[str] = Counter()
    for exporter in exporters:
        outcomes.update(json.loads(exporter.communicate()[0]))
    assert {*outcomes} <= {"complete", "refused"}
    assert sum(outcomes.values()) == 4 * 30
    assert outcomes["complete"] >= 1
    assert names(tmp_path) == ["export"]


def test_an_export_through_a_link_to_a_disk_that_is_not_mounted_is_refused(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("disk")
    with pytest.raises(ExportError) as caught:
        make(tmp_path / "link" / "export", "new")
    assert str(caught.value) == (
        f"{tmp_path}/link is a symbolic link to {tmp_path}/disk, which cannot be reached: mount or make "
        f"the folder {tmp_path}/disk, or correct the link, then try again."
    )
    assert names(tmp_path) == ["link"]


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
    mark(tmp_path, {"format": "anomalib"})
    assert described(tmp_path) == {"made_by": "anomaly_assets.export", "format": "anomalib"}
