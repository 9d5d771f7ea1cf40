"""Test copying a file to the disk: every byte, on any system, and no error lost."""

from __future__ import annotations

import ctypes
import errno
import os
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from anomaly_assets import linux
from anomaly_assets.warehouse.file import copy_file as file_copy
from anomaly_assets.warehouse.file.copy_file import copied_bytes, copy_file


@pytest.fixture(params=[0, 1, 4096, 100_001])
def source(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    path = tmp_path / "source"
    path.write_bytes(os.urandom(request.param))
    return path


@pytest.mark.parametrize(
    "missing", ["nothing", "posix_fallocate", "copy_file_range", "sync_file_range"]
)
def test_a_file_is_copied_in_pieces(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, missing: str
) -> None:
    monkeypatch.setattr(file_copy, "_AT_ONCE", 4096)
    if missing == "sync_file_range":
        monkeypatch.setattr(linux, "_libc", lambda: None)
    elif missing != "nothing":
        monkeypatch.delattr(os, missing)
    copy = tmp_path / "copy"
    copy.write_bytes(b"longer" * 50_000)
    copy_file(source, copy)
    assert copy.read_bytes() == source.read_bytes()


def failing_with(code: int) -> object:
    def fails(*_arguments: object) -> None:
        raise OSError(code, os.strerror(code))

    return fails


@pytest.mark.parametrize("code", [errno.EXDEV, errno.EOPNOTSUPP])
def test_files_that_the_system_cannot_copy_itself_are_read_and_written(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    monkeypatch.setattr(os, "copy_file_range", failing_with(code))
    copy_file(source, tmp_path / "copy")
    assert (tmp_path / "copy").read_bytes() == source.read_bytes()


@pytest.mark.parametrize("call", ["posix_fallocate", "copy_file_range"])
def test_a_full_disk_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str) -> None:
    source = tmp_path / "source"
    source.write_bytes(b"content")
    monkeypatch.setattr(os, call, failing_with(errno.ENOSPC))
    with pytest.raises(OSError, match="No space left"):
        copy_file(source, tmp_path / "copy")


def test_every_piece_is_handed_to_the_disk_and_one_it_does_not_take_is_no_fault(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = tmp_path / "source"
    source.write_bytes(os.urandom(10_000))
    handed: list[tuple[int, int, int]] = []

    def refused(_descriptor: Any, *piece: Any) -> int:
        handed.append(tuple(number.value for number in piece))
        return -1

    monkeypatch.setattr(linux, "_libc", lambda: SimpleNamespace(sync_file_range=refused))
    monkeypatch.setattr(file_copy, "_AT_ONCE", 4096)
    copy_file(source, tmp_path / "copy")
    assert handed == [(0, 4096, 2), (4096, 4096, 2), (8192, 1808, 2)]
    assert (tmp_path / "copy").read_bytes() == source.read_bytes()


@pytest.mark.skipif(sys.platform != "linux", reason="a call of Linux")
def test_linux_takes_a_piece(tmp_path: Path) -> None:
    """Check the calls, because without them copying would be slower by half, without any message."""
    with open(tmp_path / "file", "wb") as file:
        file.write(b"content")
        file.flush()
        ctypes.set_errno(0)
        assert linux.begin_writing(file.fileno(), 0, 7)
    assert ctypes.get_errno() == 0


def test_a_file_that_becomes_shorter_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = tmp_path / "source"
    source.write_bytes(b"content")

    def cut_off(*_arguments: object) -> None:
        os.truncate(source, 3)

    monkeypatch.setattr(os, "posix_fallocate", cut_off)
    with pytest.raises(OSError, match=r"became shorter while it was copied: .*source"):
        copy_file(source, tmp_path / "copy")


def test_what_is_only_reserved_is_not_copied_yet(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, copy = tmp_path / "source", tmp_path / "copy"
    source.write_bytes(os.urandom(100 * 4096))
    assert copied_bytes(copy) == 0
    seen: list[int] = []
    copy_some = file_copy._copy_some

    def watched(*arguments: int) -> int:
        seen.append(copied_bytes(copy))
        return copy_some(*arguments)

    monkeypatch.setattr(file_copy, "_copy_some", watched)
    monkeypatch.setattr(file_copy, "_AT_ONCE", 40 * 4096)
    copy_file(source, copy)
    assert seen == [0, 40 * 4096, 80 * 4096]
    assert copied_bytes(copy) == 100 * 4096
