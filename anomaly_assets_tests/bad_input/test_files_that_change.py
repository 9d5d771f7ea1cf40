"""Test files that change between listing and reading: named, and loaded correctly later."""

from __future__ import annotations

import os
import threading
import zipfile
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from anomaly_assets.decoding.build import TooManyUnreadableError
from anomaly_assets.roots import folder as folders
from anomaly_assets.roots.base import (
    MAX_FILE_BYTES,
    FileChangedError,
    FileEntry,
    FileUnreadableError,
    Root,
)
from anomaly_assets.roots.open import open_root
from anomaly_assets_tests.bad_input.loading import (
    BOTH,
    DEFECT,
    DEFECTS_MASK,
    GOOD,
    Outcome,
    decode_all,
    load_all,
    outcome_of,
)
from anomaly_assets_tests.decoding.pictures import png
from anomaly_assets_tests.warehouse.project import Project, mask, noise

Read = Callable[[str], bytes]


class Watched(Root):
    """A root with a hook before or after each read."""

    def __init__(self, root: Root, read: Callable[[Read, str], bytes]) -> None:
        self.uri = root.uri
        self._root = root
        self._read = read

    def files(self) -> Iterator[FileEntry]:
        return self._root.files()

    def read(
        self, path: str, version: str | None = None, most_bytes: int = MAX_FILE_BYTES
    ) -> bytes:
        return self._read(partial(self._root.read, version=version, most_bytes=most_bytes), path)


def decode_watched(project: Project, read: Callable[[Read, str], bytes]) -> Outcome:
    """Decode the listed files through a root whose files change meanwhile."""
    root = Watched(open_root(str(project.folder / "mvtec_ad")), read)
    return decode_all(project, roots={"mvtec_ad": root})


@pytest.mark.parametrize("path", [GOOD, DEFECTS_MASK])
def test_a_file_that_vanishes_between_listing_and_reading_is_named_and_the_others_load(
    good_and_defect: Project, path: str
) -> None:
    def vanish_first(read: Read, asked: str) -> bytes:
        good_and_defect.path(f"mvtec_ad/{path}").unlink(missing_ok=True)
        return read(asked)

    outcome = decode_watched(good_and_defect, vanish_first)
    assert outcome.rejected == {path: "unreadable"}
    assert outcome.samples.keys() == {GOOD, DEFECT} - {path}


def test_a_file_that_is_half_written_while_it_is_read_is_rejected_until_the_next_listing(
    good_and_defect: Project,
) -> None:
    whole = good_and_defect.path(f"mvtec_ad/{GOOD}").read_bytes()
    good_and_defect.path(f"mvtec_ad/{GOOD}").write_bytes(whole[: len(whole) // 2])

    def torn(read: Read, asked: str) -> bytes:
        content = read(asked)
        if asked == GOOD:
            good_and_defect.path(f"mvtec_ad/{GOOD}").write_bytes(whole)
        return content

    outcome = decode_watched(good_and_defect, torn)
    assert outcome.rejected == {GOOD: "truncated_image"}
    assert outcome.samples == {DEFECT: BOTH[DEFECT]}
    assert decode_all(good_and_defect) == Outcome(BOTH, {}, {})


CHANGED = {GOOD: "changed_while_reading"}


def pixels(seed: int) -> list[list[list[int]]]:
    """Return the tensor of `noise(seed)`."""
    made: list[list[list[int]]] = np.asarray(
        noise(seed).resize((6, 8), Image.Resampling.LANCZOS)
    ).tolist()
    return made


def stored(project: Project) -> list[list[list[int]]]:
    """Return the tensor of the good image."""
    made: list[list[list[int]]] = project.tensor(f"mvtec_ad/{GOOD}").tolist()
    return made


def put(project: Project, path: str, seed: int, like: os.stat_result | None = None) -> None:
    """Write another picture to a path, optionally with the times of the old file."""
    place = project.path(f"mvtec_ad/{path}")
    place.write_bytes(png(noise(seed) if path == GOOD else mask((0, 0, seed, seed))))
    if like:
        os.utime(place, ns=(like.st_atime_ns, like.st_mtime_ns))
    else:
        os.utime(place, ns=(0, seed))


def test_a_file_that_changes_after_the_listing_is_decoded_after_the_next_one_and_not_before(
    good_and_defect: Project,
) -> None:
    def change_first(read: Read, asked: str) -> bytes:
        if asked == GOOD:
            put(good_and_defect, GOOD, 7)
        return read(asked)

    assert decode_watched(good_and_defect, change_first) == Outcome(
        {DEFECT: BOTH[DEFECT]}, CHANGED, {}
    )
    assert decode_all(good_and_defect) == Outcome(BOTH, {}, {})
    assert stored(good_and_defect) == pixels(7)


def test_a_file_that_is_overwritten_and_put_back_never_has_the_tensor_of_what_was_there_meanwhile(
    good_and_defect: Project,
) -> None:
    place = good_and_defect.path(f"mvtec_ad/{GOOD}")
    content, listed = place.read_bytes(), place.stat()

    def overwritten(read: Read, asked: str) -> bytes:
        if asked != GOOD:
            return read(asked)
        put(good_and_defect, GOOD, 7)
        try:
            return read(asked)
        finally:
            place.write_bytes(content)
            os.utime(place, ns=(listed.st_atime_ns, listed.st_mtime_ns))

    assert decode_watched(good_and_defect, overwritten).rejected == CHANGED
    assert decode_all(good_and_defect) == Outcome(BOTH, {}, {})
    assert stored(good_and_defect) == pixels(1)


@pytest.mark.parametrize("path", [GOOD, DEFECTS_MASK])
def test_the_good_tensor_of_a_file_that_changes_while_it_is_read_stays_until_it_can_be_read(
    good_and_defect: Project, path: str
) -> None:
    assert decode_all(good_and_defect) == Outcome(BOTH, {}, {})
    put(good_and_defect, path, 3)

    def change_first(read: Read, asked: str) -> bytes:
        if asked == path:
            put(good_and_defect, path, 4)
        return read(asked)

    assert decode_watched(good_and_defect, change_first) == Outcome(
        BOTH, {path: "changed_while_reading"}, {}
    )
    assert stored(good_and_defect) == pixels(1)

    outcome = decode_all(good_and_defect)
    assert outcome.rejected == {}
    if path == GOOD:
        assert stored(good_and_defect) == pixels(4)
    else:
        assert outcome.samples[DEFECT] != BOTH[DEFECT]


def test_what_is_reported_of_a_file_that_changes_while_it_is_read_is_that_nothing_became_of_it(
    good_and_defect: Project,
) -> None:
    decode_all(good_and_defect)
    for path in (GOOD, DEFECTS_MASK):
        put(good_and_defect, path, 3)
    good_and_defect.list_files()
    for path in (GOOD, DEFECTS_MASK):
        put(good_and_defect, path, 4)
    report = good_and_defect.build()
    assert (report.decoded, report.changed, report.removed, report.unchanged) == (0, 0, 0, 2)
    assert report.rejections == {"changed_while_reading": 2}


def test_a_tensor_with_another_transform_does_not_stay(good_and_defect: Project) -> None:
    decode_all(good_and_defect)
    with good_and_defect.warehouse.connect() as connection:
        connection.execute("UPDATE image_tensors SET transform = 'another'")
    put(good_and_defect, GOOD, 3)
    good_and_defect.list_files()
    put(good_and_defect, GOOD, 4)
    good_and_defect.build(allow_shrink=True)  # one of two is lost
    assert outcome_of(good_and_defect) == Outcome({DEFECT: BOTH[DEFECT]}, CHANGED, {})


def test_a_mask_does_not_stay_with_an_image_that_has_none_any_more(
    good_and_defect: Project,
) -> None:
    decode_all(good_and_defect)
    good_and_defect.path(f"mvtec_ad/{DEFECTS_MASK}").unlink()
    good_and_defect.list_files()
    good_and_defect.path(f"mvtec_ad/{DEFECT}").write_bytes(png(noise(9)))
    good_and_defect.build(allow_shrink=True)  # one of two is lost
    assert outcome_of(good_and_defect) == Outcome(
        {GOOD: None}, {DEFECT: "changed_while_reading"}, {}
    )


def test_a_file_that_was_changed_and_is_again_the_one_of_its_tensor_is_no_longer_rejected(
    good_and_defect: Project,
) -> None:
    decode_all(good_and_defect)
    place = good_and_defect.path(f"mvtec_ad/{GOOD}")
    content, first = place.read_bytes(), place.stat()
    put(good_and_defect, GOOD, 3)
    good_and_defect.list_files()
    place.write_bytes(content)
    os.utime(place, ns=(first.st_atime_ns, first.st_mtime_ns))
    good_and_defect.build()
    assert outcome_of(good_and_defect).rejected == CHANGED
    assert decode_all(good_and_defect) == Outcome(BOTH, {}, {})


def test_bytes_that_were_written_while_the_file_was_read_are_not_stored(
    good_and_defect: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = good_and_defect.path(f"mvtec_ad/{GOOD}")
    looked: list[int] = []

    def written_meanwhile(descriptor: int) -> os.stat_result:
        looked.append(descriptor)
        if len(looked) == 2:  # the bytes were read
            put(good_and_defect, GOOD, 7)
        return os.fstat(descriptor)

    class Os:
        def __getattr__(self, name: str) -> Any:
            return written_meanwhile if name == "fstat" else getattr(os, name)

    root = open_root(str(good_and_defect.folder / "mvtec_ad"))
    [version] = [entry.version for entry in root.files() if entry.path == GOOD]
    monkeypatch.setattr(folders, "os", Os())
    with pytest.raises(FileChangedError) as raised:
        root.read(GOOD, version)
    assert str(raised.value) == (
        f"{GOOD}: not the file that was listed, because it was changed or replaced since"
    )
    assert len(looked) == 2
    assert place.stat().st_mtime_ns == 7


def test_a_member_of_an_archive_that_was_packed_again_after_the_listing_waits_for_the_next_one(
    good_and_defect: Project,
) -> None:
    archive = good_and_defect.folder / "mvtec.zip"

    def pack(seed: int) -> str:
        with zipfile.ZipFile(archive, "w") as target:
            target.writestr(GOOD, png(noise(seed)))
            target.writestr(DEFECT, png(noise(2)))
        return str(archive)

    load_all(good_and_defect, location=pack(1))
    before = open_root(pack(2))
    [version] = [entry.version for entry in before.files() if entry.path == GOOD]
    after = open_root(pack(3))
    with pytest.raises(FileChangedError):
        after.read(GOOD, version)
    assert after.read(GOOD) == png(noise(3))


def test_more_than_a_fifth_of_files_that_are_not_those_that_were_listed_end_the_build(
    tmp_path: Path,
) -> None:
    project = Project.at(tmp_path)
    paths = [f"bottle/train/good/{number:03}.png" for number in range(6)]
    project.save({f"mvtec_ad/{path}": noise(number) for number, path in enumerate(paths)})
    project.list_files()
    for path in paths[:5]:
        os.utime(project.path(f"mvtec_ad/{path}"), (1, 1))
    with pytest.raises(TooManyUnreadableError) as raised:
        project.build()
    assert str(raised.value) == (
        "5 of 6 files to decode cannot be read as they were listed. The last one: "
        f"{paths[4]}: not the file that was listed, because it was changed or replaced since. Nothing is "
        "lost: decoded tensors are kept, and the next run continues from there. Check the root and its "
        "permissions, and that every machine sees the same root and nothing writes to it."
    )
    assert project.column("SELECT count(*) FROM rejected_images") == [0]


def test_a_file_that_grows_while_it_is_read_is_read_to_an_end(good_and_defect: Project) -> None:
    place = good_and_defect.path(f"mvtec_ad/{GOOD}")
    stop = threading.Event()

    def grow() -> None:
        with place.open("ab") as file:
            while not stop.is_set() and file.tell() < 300_000_000:
                file.write(bytes(1_000_000))

    writer = threading.Thread(target=grow)
    writer.start()
    try:
        content = open_root(str(good_and_defect.folder / "mvtec_ad")).read(GOOD)
    except FileUnreadableError:
        content = b""
    finally:
        stop.set()
        writer.join()
    assert len(content) < 300_000_000


def test_a_pipe_that_takes_the_place_of_a_listed_file_is_unreadable_and_nobody_waits_for_it(
    good_and_defect: Project,
) -> None:
    root, place = (
        open_root(str(good_and_defect.folder / "mvtec_ad")),
        good_and_defect.path(f"mvtec_ad/{GOOD}"),
    )
    assert len(list(root.files())) == 3
    place.unlink()
    os.mkfifo(place)
    raised: list[Exception] = []

    def read() -> None:
        try:
            root.read(GOOD)
        except FileUnreadableError as error:
            raised.append(error)

    reader = threading.Thread(target=read, daemon=True)
    reader.start()
    reader.join(timeout=1)
    hangs = reader.is_alive()
    if hangs:  # let it go
        os.close(os.open(place, os.O_RDWR | os.O_NONBLOCK))
        reader.join(timeout=2)
    assert not hangs
    assert len(raised) == 1


def test_a_link_that_takes_the_place_of_a_listed_file_does_not_lead_out_of_the_root(
    good_and_defect: Project, tmp_path: Path
) -> None:
    root, place = (
        open_root(str(good_and_defect.folder / "mvtec_ad")),
        good_and_defect.path(f"mvtec_ad/{GOOD}"),
    )
    assert len(list(root.files())) == 3
    (tmp_path / "secret.png").write_bytes(png(noise(9)))
    place.unlink()
    place.symlink_to(tmp_path / "secret.png")
    with pytest.raises(FileUnreadableError):
        root.read(GOOD)
