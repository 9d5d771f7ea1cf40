"""Test lock files of other users, and in folders that are not writable."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from anomaly_assets.lock_file import lock_file, unlock_file


@pytest.fixture
def _not_writable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Make a folder read-only for this user, with a file `lock` in it."""
    (tmp_path / "lock").touch()
    call = os.open

    def refuse(path: Path, flags: int, *arguments: int) -> int:
        if flags & (os.O_CREAT | os.O_RDWR):
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return call(path, flags, *arguments)

    monkeypatch.setattr(os, "open", refuse)


@pytest.mark.usefixtures("_not_writable")
def test_the_file_of_another_user_can_be_locked(tmp_path: Path) -> None:
    descriptor = lock_file(tmp_path / "lock")
    assert descriptor is not None
    assert lock_file(tmp_path / "lock") is None
    unlock_file(descriptor, tmp_path / "lock")
    assert os.listdir(tmp_path) == []


@pytest.mark.usefixtures("_not_writable")
def test_a_folder_in_which_no_file_may_be_made_is_told_as_that(tmp_path: Path) -> None:
    with pytest.raises(PermissionError):
        lock_file(tmp_path / "another lock")


def test_a_folder_that_is_not_there_is_told_as_that(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        lock_file(tmp_path / "missing" / "lock")
