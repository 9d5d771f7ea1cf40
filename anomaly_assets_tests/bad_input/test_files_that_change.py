"""Files that change between the listing and the end of their reading: named, and put right later."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from anomaly_assets.ingest.roots import FileEntry, FileUnreadableError, Root, open_root
from anomaly_assets_tests.bad_input.loading import (
    BOTH,
    DEFECT,
    DEFECTS_MASK,
    GOOD,
    Outcome,
    decode_all,
)
from anomaly_assets_tests.tensors.pictures import png
from anomaly_assets_tests.warehouse.project import Project, noise


class Watched(Root):
    """A root that lets something happen before or after each read."""

    def __init__(self, root: Root, read: Callable[[Root, str], bytes]) -> None:
        self.uri = root.uri
        self._root = root
        self._read = read

    def files(self) -> Iterator[FileEntry]:
        return self._root.files()

    def read(self, path: str) -> bytes:
        return self._read(self._root, path)


def decode_watched(project: Project, read: Callable[[Root, str], bytes]) -> Outcome:
    """Decode what is listed now, through a root whose files change meanwhile."""
    root = Watched(open_root(str(project.folder / "mvtec_ad")), read)
    return decode_all(project, roots={"mvtec_ad": root})


@pytest.mark.parametrize("path", [GOOD, DEFECTS_MASK])
def test_a_file_that_vanishes_between_listing_and_reading_is_named_and_the_others_load(
    good_and_defect: Project, path: str
) -> None:
    def vanish_first(root: Root, asked: str) -> bytes:
        good_and_defect.path(f"mvtec_ad/{path}").unlink(missing_ok=True)
        return root.read(asked)

    outcome = decode_watched(good_and_defect, vanish_first)
    assert outcome.rejected == {path: "unreadable"}
    assert outcome.samples.keys() == {GOOD, DEFECT} - {path}


def test_a_file_that_is_half_written_while_it_is_read_is_rejected_until_the_next_listing(
    good_and_defect: Project,
) -> None:
    whole = good_and_defect.path(f"mvtec_ad/{GOOD}").read_bytes()
    good_and_defect.path(f"mvtec_ad/{GOOD}").write_bytes(whole[: len(whole) // 2])

    def torn(root: Root, asked: str) -> bytes:
        content = root.read(asked)
        if asked == GOOD:
            good_and_defect.path(f"mvtec_ad/{GOOD}").write_bytes(whole)
        return content

    outcome = decode_watched(good_and_defect, torn)
    assert outcome.rejected == {GOOD: "damaged_image"}
    assert outcome.samples == {DEFECT: BOTH[DEFECT]}
    assert decode_all(good_and_defect) == Outcome(BOTH, {}, {})


def test_a_file_that_changes_after_the_listing_is_decoded_again_after_the_next_one(
    good_and_defect: Project,
) -> None:
    newer = png(noise(7))

    def change_first(root: Root, asked: str) -> bytes:
        if asked == GOOD:
            good_and_defect.path(f"mvtec_ad/{GOOD}").write_bytes(newer)
        return root.read(asked)

    expected = np.asarray(noise(7).resize((6, 8), Image.Resampling.LANCZOS))
    for outcome in (decode_watched(good_and_defect, change_first), decode_all(good_and_defect)):
        assert outcome == Outcome(BOTH, {}, {})
        assert np.array_equal(good_and_defect.tensor(f"mvtec_ad/{GOOD}"), expected)
    query = """
        SELECT tensors.file_version = images.file_version
        FROM image_tensors AS tensors JOIN images USING (image_id) WHERE image_id = ?
    """
    assert good_and_defect.column(query, [f"mvtec_ad/{GOOD}"]) == [True]


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
