"""Test atomic writes: complete or absent, durable, and without leftovers."""

from __future__ import annotations

import ctypes
import errno
import fcntl
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from anomaly_assets import atomic, linux, lock_file
from anomaly_assets.atomic import (
    TargetBusyError,
    TargetError,
    newest_unfinished,
    only_writer,
    put_new_file,
    remove_leftovers,
    replaced_file,
    replaced_folder,
    resolved,
    sync,
    sync_tree,
    write_file,
)
from anomaly_assets.full_disk import out_of_space
from anomaly_assets_tests.disk import Call, record_calls

DEAD = f"{'0' * 32}.unfinished"
"""End of the name of a temporary folder whose writer is dead."""


def names(folder: Path) -> list[str]:
    return sorted(os.listdir(folder))


def leave(folder: Path, *files: str) -> Path:
    """Create a temporary folder like that of a killed writer."""
    folder.mkdir()
    for name in files:
        (folder / name).write_text("half")
    return folder


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[Call]:
    """Record syncs and renames, in order."""
    return record_calls(monkeypatch)


class TestFiles:
    def test_nothing_has_the_final_name_before_the_end(self, tmp_path: Path) -> None:
        with replaced_file(tmp_path / "file") as unfinished:
            unfinished.write_text("new")
            assert unfinished.parent.parent == tmp_path
            assert names(tmp_path) == [unfinished.parent.name]
        assert names(tmp_path) == ["file"]
        assert (tmp_path / "file").read_text() == "new"

    def test_a_file_is_on_the_disk_before_it_is_renamed_and_its_name_is_before_success(
        self, tmp_path: Path, calls: list[Call]
    ) -> None:
        log = tmp_path / "file.wal"
        log.write_text("of the old file")
        with replaced_file(tmp_path / "file", stale=[log]) as unfinished:
            unfinished.write_text("new")
        assert calls == [
            ("fsync", "content"),
            ("replace", "content", "file"),
            ("fsync", tmp_path.name),
        ]
        assert names(tmp_path) == ["file"]

    @pytest.mark.parametrize("failing", ["fsync", "replace"])
    def test_a_disk_that_refuses_leaves_the_old_file_with_what_belongs_to_it(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failing: str
    ) -> None:
        write_file(tmp_path / "file", b"old")
        (tmp_path / "file.wal").write_text("of the old file")

        def full(*_: object) -> None:
            raise OSError(errno.ENOSPC, "No space left on device")

        def replace() -> None:
            with replaced_file(tmp_path / "file", stale=[tmp_path / "file.wal"]) as unfinished:
                unfinished.write_text("new")

        monkeypatch.setattr(os, failing, full)
        with pytest.raises(OSError, match="No space left"):
            replace()
        assert (tmp_path / "file").read_text() == "old"
        left = ["file", "file.wal"] if failing == "fsync" else ["file"]
        assert names(tmp_path) == left

    @pytest.mark.parametrize("trouble", [RuntimeError, KeyboardInterrupt, SystemExit])
    def test_nothing_is_left_of_a_writer_that_fails(
        self, tmp_path: Path, trouble: type[BaseException]
    ) -> None:
        write_file(tmp_path / "file", b"old")

        def fail() -> None:
            with replaced_file(tmp_path / "file") as unfinished:
                unfinished.write_text("half")
                unfinished.with_name("content.wal").write_text("half")
                raise trouble

        with pytest.raises(trouble):
            fail()
        assert names(tmp_path) == ["file"]
        assert (tmp_path / "file").read_text() == "old"

    def test_a_name_of_255_bytes_is_possible(self, tmp_path: Path) -> None:
        target = tmp_path / ("ö" * 127 + "x")
        left = tmp_path / f"{atomic._prefix(target)}{DEAD}"
        leave(left, "lock", "content")
        for content in (b"old", b"new"):
            write_file(target, content)
        assert target.read_bytes() == b"new"
        assert names(tmp_path) == [target.name]

    def test_two_writers_at_once_each_replace_the_file_as_a_whole(self, tmp_path: Path) -> None:
        target = tmp_path / "file"
        with replaced_file(target) as first:
            first.write_text("first")
            with replaced_file(target) as second:
                second.write_text("second")
                assert newest_unfinished(target) in (first, second)
            assert target.read_text() == "second"
            assert first.read_text() == "first"
        assert target.read_text() == "first"
        assert names(tmp_path) == ["file"]
        assert newest_unfinished(target) is None

    def test_the_latest_writer_is_the_one_that_is_watched(self, tmp_path: Path) -> None:
        with replaced_file(tmp_path / "file") as unfinished:
            unfinished.write_text("new")
            other = leave(tmp_path / f".file.{DEAD}")
            for seconds, watched in ((1, unfinished.parent), (10**10, other)):
                os.utime(other, (seconds, seconds))
                assert newest_unfinished(tmp_path / "file") == watched / "content"


class TestFilesThatCanBeMadeAgain:
    def test_they_are_there_as_a_whole_and_not_brought_to_the_disk_one_by_one(
        self, tmp_path: Path, calls: list[Call]
    ) -> None:
        write_file(tmp_path / "file", b"new")
        assert (tmp_path / "file").read_bytes() == b"new"
        assert names(tmp_path) == ["file"]
        assert calls == [("replace", "content", "file")]


def make(target: Path, content: str, **options: Any) -> None:
    """Replace a folder, and sync the whole file system only on request."""
    with replaced_folder(target, **{"make_durable": sync, **options}) as folder:
        (folder / "deep").mkdir()
        (folder / "deep" / "file").write_text(content)


def content_of(target: Path) -> str:
    assert names(target) == ["deep"]
    return (target / "deep" / "file").read_text()


def without_exchange(monkeypatch: pytest.MonkeyPatch, answer: int | None = None) -> None:
    """Remove the Linux calls from the C library, or simulate a file system without exchange of names."""

    class Libc:
        pass

    def refuse(*_: object) -> int:
        ctypes.set_errno(answer or 0)
        return -1

    if answer is not None:
        Libc.renameat2 = staticmethod(refuse)  # type: ignore[attr-defined]
    monkeypatch.setattr(linux, "_libc", lambda: Libc)


class TestFolders:
    def test_one_is_on_the_disk_before_it_is_renamed_and_its_name_is_before_success(
        self, tmp_path: Path, calls: list[Call]
    ) -> None:
        make(tmp_path / "folder", "old", make_durable=sync_tree)
        renamed = ("rename", "content", "folder")
        assert calls == [("syncfs", "content"), renamed, ("fsync", tmp_path.name)]
        calls.clear()
        make(tmp_path / "folder", "new", make_durable=sync_tree)
        exchanged = ("exchange", "content", "folder")
        assert calls == [("syncfs", "content"), renamed, exchanged, ("fsync", tmp_path.name)]
        assert content_of(tmp_path / "folder") == "new"
        assert names(tmp_path) == ["folder"]

    def test_one_whose_files_are_on_the_disk_needs_its_names_alone_to_be_brought_there(
        self, tmp_path: Path, calls: list[Call]
    ) -> None:
        make(tmp_path / "folder", "new", make_durable=sync)
        renamed = ("rename", "content", "folder")
        assert calls == [("fsync", "content"), renamed, ("fsync", tmp_path.name)]

    def test_every_file_and_folder_is_brought_to_the_disk_where_no_call_does_it_at_once(
        self, tmp_path: Path, calls: list[Call], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        without_exchange(monkeypatch)
        make(tmp_path / "folder", "new", make_durable=sync_tree)
        renamed = ("rename", "content", "folder")
        synced = [("fsync", name) for name in ("content", "deep", "file")]
        assert calls == [*synced, renamed, ("fsync", tmp_path.name)]

    def test_a_disk_that_refuses_leaves_the_old_one(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        make(tmp_path / "folder", "old")

        class Libc:
            @staticmethod
            def syncfs(_: int) -> int:
                ctypes.set_errno(errno.EIO)
                return -1

        monkeypatch.setattr(linux, "_libc", lambda: Libc)
        with pytest.raises(OSError, match="Input/output error"):
            make(tmp_path / "folder", "new", make_durable=sync_tree)
        assert content_of(tmp_path / "folder") == "old"
        assert names(tmp_path) == ["folder"]

    @pytest.mark.parametrize("answer", [None, errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP])
    def test_one_is_replaced_where_names_cannot_be_exchanged(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, answer: int | None
    ) -> None:
        without_exchange(monkeypatch, answer)
        for content in ("old", "new"):
            make(tmp_path / "folder", content)
        assert content_of(tmp_path / "folder") == "new"
        assert names(tmp_path) == ["folder"]

    def test_an_exchange_that_fails_for_another_reason_leaves_the_old_one(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        make(tmp_path / "folder", "old")
        without_exchange(monkeypatch, errno.EACCES)
        with pytest.raises(OSError, match="Permission denied"):
            make(tmp_path / "folder", "new")
        assert content_of(tmp_path / "folder") == "old"
        assert names(tmp_path) == ["folder"]

    @pytest.mark.parametrize("trouble", [OSError, KeyboardInterrupt])
    def test_the_old_one_is_there_again_when_the_second_rename_fails(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, trouble: type[BaseException]
    ) -> None:
        make(tmp_path / "folder", "old")
        without_exchange(monkeypatch)
        rename = os.rename

        def fails_without_the_old_one(one: Path, other: Path) -> None:
            if one.name == "content" and not (tmp_path / "folder").exists():
                raise trouble
            rename(one, other)

        monkeypatch.setattr(os, "rename", fails_without_the_old_one)
        with pytest.raises(trouble):
            make(tmp_path / "folder", "new")
        assert content_of(tmp_path / "folder") == "old"
        assert names(tmp_path) == ["folder"]

    @pytest.mark.parametrize("exchanges", [True, False])
    def test_one_that_goes_away_just_before_it_is_replaced_is_no_trouble(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, exchanges: bool
    ) -> None:
        make(tmp_path / "folder", "old")
        if not exchanges:
            without_exchange(monkeypatch)
        exchanged = linux.exchange_names

        def too_late(one: Path, other: Path) -> bool:
            if other.exists():
                shutil.rmtree(other)
            return exchanged(one, other)

        monkeypatch.setattr(atomic, "exchange_names", too_late)
        make(tmp_path / "folder", "new")
        assert content_of(tmp_path / "folder") == "new"
        assert names(tmp_path) == ["folder"]

    def test_the_first_of_two_writers_of_the_same_content_is_kept(self, tmp_path: Path) -> None:
        target = tmp_path / "folder"
        with replaced_folder(target, keep_existing=True) as second:
            (second / "half").write_text("second")
            make(target, "first", keep_existing=True)
        assert content_of(target) == "first"
        assert names(tmp_path) == ["folder"]

    def test_what_another_writer_writes_is_not_touched(self, tmp_path: Path) -> None:
        """Simulate a system without locks, on which nothing keeps a second writer out."""
        target = tmp_path / "folder"
        make(target, "old")
        with replaced_folder(target) as folder:
            (folder / "deep").mkdir()
            (folder / "deep" / "file").write_text("first")
            make(target, "second")
            assert content_of(target) == "second"
        assert content_of(target) == "first"
        assert names(tmp_path) == ["folder"]


class TestLinks:
    def test_a_link_stays_and_what_it_points_to_is_replaced(self, tmp_path: Path) -> None:
        (tmp_path / "share").mkdir()
        write_file(tmp_path / "share" / "file", b"old")
        (tmp_path / "link").symlink_to("share/file")
        (tmp_path / "link2").symlink_to("link")
        write_file(tmp_path / "link2", b"new")
        assert (tmp_path / "share" / "file").read_text() == "new"
        assert os.readlink(tmp_path / "link2") == "link"
        assert os.readlink(tmp_path / "link") == "share/file"
        assert names(tmp_path) == ["link", "link2", "share"]

    def test_a_link_in_the_path_of_the_folder_stays(self, tmp_path: Path) -> None:
        (tmp_path / "share").mkdir()
        (tmp_path / "link").symlink_to("share")
        write_file(tmp_path / "link" / "file", b"new")
        assert (tmp_path / "link").is_symlink()
        assert names(tmp_path / "share") == ["file"]
        assert resolved(tmp_path / "link" / "new" / "file") == tmp_path / "share" / "new" / "file"

    def test_a_link_to_a_file_that_is_not_there_yet_is_followed(self, tmp_path: Path) -> None:
        (tmp_path / "share").mkdir()
        (tmp_path / "link").symlink_to(tmp_path / "share" / "file")
        write_file(tmp_path / "link", b"new")
        assert (tmp_path / "link").is_symlink()
        assert names(tmp_path / "share") == ["file"]

    @pytest.mark.parametrize("target", ["link", "folder/file", "folder/new/file", "folder/../file"])
    def test_a_link_into_a_share_that_is_not_mounted_is_refused(
        self, tmp_path: Path, target: str
    ) -> None:
        share = tmp_path / "share"
        (tmp_path / "link").symlink_to(share / "file")
        (tmp_path / "folder").symlink_to(share)
        with pytest.raises(TargetError) as caught:
            write_file(tmp_path / target, b"new")
        link, to = ("link", share / "file") if target == "link" else ("folder", share)
        assert str(caught.value) == (
            f"{tmp_path / link} is a symbolic link to {to}, which cannot be reached: mount or make the "
            f"folder {share}, or correct the link, then try again."
        )
        assert names(tmp_path) == ["folder", "link"]

    def test_a_link_to_itself_is_refused(self, tmp_path: Path) -> None:
        (tmp_path / "link").symlink_to("link")
        with pytest.raises(TargetError, match="cannot be reached"):
            write_file(tmp_path / "link", b"new")
        assert names(tmp_path) == ["link"]


WRITES = """
import sys
from pathlib import Path
from anomaly_assets.atomic import replaced_file
with replaced_file(Path(sys.argv[1])) as unfinished:
    unfinished.write_text("theirs")
    unfinished.with_name("content.wal").write_text("theirs")
    print("ready", flush=True)
    sys.stdin.readline()
"""


@contextmanager
def other_writer(target: Path) -> Iterator[subprocess.Popen[str]]:
    """Run a process that has written a file, and renames it when it gets a line."""
    command = [sys.executable, "-c", WRITES, str(target)]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        yield process
        if process.poll() is None:
            process.communicate("\n")


class TestLeftovers:
    def test_those_of_a_killed_writer_are_removed_by_the_next_one_and_those_of_a_living_one_stay(
        self, tmp_path: Path
    ) -> None:
        target = tmp_path / "file"
        with other_writer(target) as killed, other_writer(target) as living:
            killed.kill()
            killed.wait()
            left = [tmp_path / name for name in names(tmp_path)]
            assert [names(folder) for folder in left] == [["content", "content.wal", "lock"]] * 2
            write_file(target, b"ours")
            assert len(names(tmp_path)) == 2
            living.communicate("\n")
            assert living.returncode == 0
        assert target.read_text() == "theirs"
        assert names(tmp_path) == ["file"]

    @pytest.mark.parametrize(
        "files", [(), ("lock",), ("content", "content.wal"), ("lock", "content")]
    )
    def test_they_are_removed_wherever_the_writer_was_killed(
        self, tmp_path: Path, files: tuple[str, ...]
    ) -> None:
        leave(tmp_path / f".file.{DEAD}", *files)
        remove_leftovers(tmp_path / "file")
        assert names(tmp_path) == []

    def test_nothing_else_is_removed(self, tmp_path: Path) -> None:
        (tmp_path / "outside").mkdir()
        (tmp_path / f".file.{DEAD}").symlink_to("outside")
        (tmp_path / f".file.{'1' * 32}.unfinished").write_text("a file of another program")
        (tmp_path / ".file.unfinished").symlink_to("outside")
        for name in (f".files.{DEAD}", f".file.x{DEAD}", ".file.mine.unfinished"):
            (tmp_path / name).mkdir()
        before = names(tmp_path)
        remove_leftovers(tmp_path / "file")
        assert names(tmp_path) == before

    def test_links_in_them_are_not_followed(self, tmp_path: Path) -> None:
        outside = leave(tmp_path / "outside", "kept")
        left = leave(tmp_path / f".file.{DEAD}", "lock")
        (left / "content").symlink_to(outside)
        remove_leftovers(tmp_path / "file")
        assert names(tmp_path) == ["outside"]
        assert names(outside) == ["kept"]

    def test_a_target_whose_writer_cannot_come_again_is_cleaned_with_another_one(
        self, tmp_path: Path
    ) -> None:
        with replaced_file(tmp_path / "file.1", named_after=tmp_path / "file") as unfinished:
            unfinished.write_text("kept")
            assert unfinished.parent.name.startswith(".file.")
            assert len(unfinished.parent.name) == len(f".file.{DEAD}")
        assert names(tmp_path) == ["file.1"]

    def test_a_folder_that_another_writer_takes_for_a_leftover_at_once_is_made_again(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        target, mkdir, between = tmp_path / "file", Path.mkdir, [remove_leftovers]

        def mkdir_and_be_interrupted(folder: Path, *arguments: object) -> None:
            mkdir(folder)
            if between:
                between.pop()(target)
                assert names(tmp_path) == []

        monkeypatch.setattr(Path, "mkdir", mkdir_and_be_interrupted)
        write_file(target, b"new")
        assert names(tmp_path) == ["file"]

    def test_a_folder_that_another_writer_is_removing_is_not_written_to(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Lock by another writer after ours is made, which removes the file before we lock it."""
        target, flock, between = tmp_path / "file", lock_file._flock, [True]

        def flock_late(descriptor: int) -> bool | None:
            if between and between.pop():
                remove_leftovers(target)
                assert names(tmp_path) == []
            return flock(descriptor)

        monkeypatch.setattr(lock_file, "_flock", flock_late)
        write_file(target, b"new")
        assert names(tmp_path) == ["file"]

    def test_a_folder_that_has_just_got_a_new_writer_is_not_removed(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Start a writer after the remover has released the lock and before it removes the folder."""
        left = leave(tmp_path / f".file.{DEAD}", "lock", "content")
        unlock, locks = lock_file.unlock_file, list[int | None]()

        def unlock_and_be_interrupted(descriptor: int, path: Path) -> None:
            unlock(descriptor, path)
            locks.append(lock_file.lock_file(path))

        monkeypatch.setattr(atomic, "unlock_file", unlock_and_be_interrupted)
        remove_leftovers(tmp_path / "file")
        assert names(left) == ["lock"]
        assert locks[0] is not None
        os.close(locks[0])

    def test_a_full_disk_leaves_no_empty_folder(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def full(*_: object) -> None:
            raise OSError(errno.ENOSPC, "No space left on device")

        monkeypatch.setattr(os, "open", full)
        with pytest.raises(OSError, match="No space left"):
            write_file(tmp_path / "file", b"new")
        assert names(tmp_path) == []

    def test_the_old_folder_of_a_writer_that_was_killed_between_two_renames_is_there_again(
        self, tmp_path: Path
    ) -> None:
        left = leave(tmp_path / f".folder.{DEAD}", "lock")
        make(left / "superseded", "old")
        (left / "content").mkdir()
        remove_leftovers(tmp_path / "folder")
        assert content_of(tmp_path / "folder") == "old"
        assert names(tmp_path) == ["folder"]

    def test_the_old_folder_of_a_writer_that_was_killed_after_two_renames_is_removed(
        self, tmp_path: Path
    ) -> None:
        make(leave(tmp_path / f".folder.{DEAD}", "lock") / "superseded", "old")
        make(tmp_path / "folder", "new")
        assert content_of(tmp_path / "folder") == "new"
        assert names(tmp_path) == ["folder"]

    def test_an_old_folder_that_cannot_get_its_name_back_is_not_removed(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        left = leave(tmp_path / f".folder.{DEAD}", "lock")
        make(left / "superseded", "old")

        def refuse(*_: object) -> None:
            raise PermissionError(errno.EACCES, "Permission denied")

        monkeypatch.setattr(os, "rename", refuse)
        remove_leftovers(tmp_path / "folder")
        assert content_of(left / "superseded") == "old"

    @pytest.mark.parametrize("there_is_a_new_one", [False, True])
    def test_folders_of_the_first_release_are_taken_up_when_their_writer_is_dead(
        self, tmp_path: Path, there_is_a_new_one: bool
    ) -> None:
        make(tmp_path / ".folder.superseded", "old")
        make(tmp_path / ".folder.unfinished", "half")
        if there_is_a_new_one:
            (tmp_path / ".folder.unfinished").rename(tmp_path / "folder")
            (tmp_path / ".folder.unfinished").mkdir()
        descriptor = os.open(tmp_path / ".folder.unfinished", os.O_RDONLY)
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        before = names(tmp_path)
        remove_leftovers(tmp_path / "folder")
        assert names(tmp_path) == before  # as long as its writer is alive
        os.close(descriptor)
        remove_leftovers(tmp_path / "folder")
        assert names(tmp_path) == ["folder"]
        assert content_of(tmp_path / "folder") == ("half" if there_is_a_new_one else "old")

    def test_the_names_of_the_first_release_are_removed_when_they_are_old(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Keep young files: the first release held no lock, so a colleague's run may write such a file."""
        left = [".file.unfinished", ".file.unfinished.wal"]
        for name in left:
            (tmp_path / name).write_text("half")
        write_file(tmp_path / "file", b"new")
        assert names(tmp_path) == [*left, "file"]
        now = time.time()
        monkeypatch.setattr(time, "time", lambda: now + 25 * 3600)
        write_file(tmp_path / "file", b"newer")
        assert names(tmp_path) == ["file"]


class TestNewFiles:
    @pytest.mark.parametrize("has_links", [True, False])
    def test_a_file_gets_its_name_where_nothing_has_it(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, has_links: bool
    ) -> None:
        content, target = tmp_path / "content", tmp_path / "file"
        content.write_text("new")
        (tmp_path / "file.wal").write_text("stale")
        if not has_links:
            monkeypatch.setattr(os, "link", refuse_links)
        put_new_file(content, target, [tmp_path / "file.wal"])
        assert names(tmp_path) == ["file"]
        assert target.read_text() == "new"

    @pytest.mark.parametrize("has_links", [True, False])
    def test_a_file_that_has_the_name_stays_with_its_log(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, has_links: bool
    ) -> None:
        for name in ("content", "file", "file.wal"):
            (tmp_path / name).write_text(name)
        if not has_links:
            monkeypatch.setattr(os, "link", refuse_links)
        with pytest.raises(FileExistsError):
            put_new_file(tmp_path / "content", tmp_path / "file", [tmp_path / "file.wal"])
        for name in ("content", "file", "file.wal"):
            assert (tmp_path / name).read_text() == name

    def test_a_file_that_comes_at_the_last_moment_stays(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        (tmp_path / "content").write_text("new")
        (tmp_path / "file").write_text("theirs")
        monkeypatch.setattr(os.path, "lexists", lambda _: False)  # it looked a moment ago
        with pytest.raises(FileExistsError):
            put_new_file(tmp_path / "content", tmp_path / "file")
        assert (tmp_path / "file").read_text() == "theirs"


def refuse_links(*_: object) -> None:
    """Fail like a file system without hard links."""
    raise OSError(errno.EPERM, "Operation not permitted")


@pytest.mark.parametrize("missing", ["fcntl", "flock"])
class TestWithoutLocks:
    @pytest.fixture(autouse=True)
    def _without_locks(self, monkeypatch: pytest.MonkeyPatch, missing: str) -> None:
        class Refusing:
            LOCK_EX = LOCK_NB = 0

            @staticmethod
            def flock(*_: object) -> None:
                raise OSError(errno.ENOSYS, "Function not implemented")

        monkeypatch.setattr(lock_file, "fcntl", None if missing == "fcntl" else Refusing)

    def test_a_file_is_written_and_what_is_left_is_removed_a_day_later(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        target = tmp_path / "file"
        with replaced_file(target) as living:
            living.write_text("first")
            write_file(target, b"second")
            assert living.exists()
            now = time.time()
            with monkeypatch.context() as patch:
                patch.setattr(time, "time", lambda: now + 25 * 3600)
                remove_leftovers(target)
            assert names(tmp_path) == ["file"]
            living.parent.mkdir()
            living.write_text("first")
        assert names(tmp_path) == ["file"]

    def test_no_writer_keeps_another_one_out(self, tmp_path: Path) -> None:
        with only_writer(tmp_path / "file"), only_writer(tmp_path / "file"):
            pass
        assert names(tmp_path) == []


class TestOnlyWriter:
    def test_the_second_is_refused_until_the_first_has_ended(self, tmp_path: Path) -> None:
        target = tmp_path / "file"
        with only_writer(target):
            with pytest.raises(TargetBusyError, match="file is being written by another"):
                only_writer(target).__enter__()
            with only_writer(tmp_path / "another file"):
                pass
        with only_writer(target):
            pass
        assert names(tmp_path) == []

    def test_the_second_waits_as_long_as_it_was_told_to(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        waited: list[float] = []
        first = only_writer(tmp_path / "file")
        first.__enter__()

        def end_the_first(seconds: float) -> None:
            waited.append(seconds)
            first.__exit__(None, None, None)

        monkeypatch.setattr(time, "sleep", end_the_first)
        with only_writer(tmp_path / "file", wait_seconds=60):
            assert waited == [atomic._RETRY_SECONDS]
        assert names(tmp_path) == []

    def test_a_lock_whose_file_is_removed_at_that_moment_is_not_taken(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """End the holder between the opening of the file and the lock, and start a third process."""
        target, flock = tmp_path / "file", lock_file._flock
        first, third = only_writer(target), only_writer(target)
        first.__enter__()
        between = [True]

        def flock_late(descriptor: int) -> bool | None:
            if between and between.pop():
                first.__exit__(None, None, None)
                third.__enter__()
            return flock(descriptor)

        monkeypatch.setattr(lock_file, "_flock", flock_late)
        with pytest.raises(TargetBusyError):
            only_writer(target).__enter__()
        third.__exit__(None, None, None)
        assert names(tmp_path) == []

    def test_a_killed_one_keeps_nobody_out(self, tmp_path: Path) -> None:
        (tmp_path / ".file.lock").write_text("")
        with only_writer(tmp_path / "file"):
            pass
        assert names(tmp_path) == []


def test_it_can_be_imported_where_the_calls_of_linux_are_missing() -> None:
    """Simulate Windows, which has no fcntl and no C library without a name."""
    program = (
        "import sys, ctypes; sys.modules['fcntl'] = None\n"
        "def none(name, **_): raise TypeError('LoadLibrary() argument 1 must be str, not None')\n"
        "ctypes.CDLL = none\n"
        "from anomaly_assets import atomic, linux, lock_file; print(lock_file.fcntl, linux._libc())\n"
        "print({'duckdb', 'dagster', 'dlt', 'fsspec', 'numpy'} & {*sys.modules})"
    )
    found = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert found.stdout == "None None\nset()\n", found.stderr


@pytest.mark.parametrize(
    ("message", "free_bytes", "said"),
    [
        ("[Errno 28] No space left on device", 0, "is full: 0.0 of 8.0 MB are free. Free some"),
        ("(sqlite3.OperationalError) database or disk is full", 0, "is full: 0.0 of 8.0 MB are"),
        ("(sqlite3.OperationalError) disk I/O error", 0, "is full: 0.0 of 8.0 MB are free."),
        ("(sqlite3.OperationalError) disk I/O error", 5_000_000, None),
        ("no such table: runs", 0, None),
        ("Disk quota exceeded", 5_000_000, "Your disk quota for "),
    ],
)
def test_a_full_disk_is_named_with_its_free_space(
    message: str, free_bytes: int, said: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = SimpleNamespace(free=free_bytes, total=8_000_000)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage)
    error = RuntimeError("a step failed")
    error.__cause__ = OSError(message)
    for given in (error, message):
        sentence = out_of_space(given, [tmp_path / "data" / "new.duckdb"])
        assert (sentence is None) == (said is None)
        if said is not None:
            assert sentence is not None
            assert said in sentence
            assert str(tmp_path) in sentence
