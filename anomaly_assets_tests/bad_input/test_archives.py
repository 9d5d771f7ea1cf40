"""Test zip archives with any directory: each member is loaded, a stray, or rejected."""

from __future__ import annotations

import stat
import struct
import tracemalloc
import warnings
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from anomaly_assets.catalogue.refusals import ShrunkRootError
from anomaly_assets.roots.base import FileUnreadableError
from anomaly_assets.roots.open import open_root
from anomaly_assets_tests.bad_input.loading import load_all, offenders
from anomaly_assets_tests.decoding.pictures import png
from anomaly_assets_tests.warehouse.project import Project, noise

GOOD = "bottle/train/good/000.png"
ODD = "bottle/train/good/001.png"
DIRECTORY_ENTRY = b"PK\x01\x02"
BOMB_BYTES = 20_000_000


def archive_of(folder: Path, *members: tuple[str | zipfile.ZipInfo, bytes]) -> Path:
    """Write a zip with one good image before the members."""
    archive = folder / "mvtec.zip"
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as target, warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Duplicate name")
        for name, content in ((GOOD, png(noise(1))), *members):
            target.writestr(name, content, zipfile.ZIP_DEFLATED)
    return archive


def falsify(archive: Path, offset: int, fields: bytes) -> Path:
    """Overwrite bytes of the last entry in the archive's directory."""
    content = bytearray(archive.read_bytes())
    start = content.rindex(DIRECTORY_ENTRY) + offset
    content[start : start + len(fields)] = fields
    archive.write_bytes(content)
    return archive


def test_of_a_name_that_is_there_twice_the_last_one_counts_and_the_first_is_named(
    tmp_path: Path,
) -> None:
    archive = archive_of(tmp_path, (ODD, png(noise(2))), (ODD, png(noise(3))))
    project = Project.at(tmp_path)
    outcome = load_all(project, location=str(archive))
    assert outcome.samples == {GOOD: None, ODD: None}
    assert outcome.strays == {ODD: "superseded_in_archive"}
    expected = noise(3).resize((6, 8), Image.Resampling.LANCZOS)
    assert np.array_equal(project.tensor(f"mvtec_ad/{ODD}"), np.asarray(expected))


def test_an_encrypted_member_is_a_stray_and_the_others_load(tmp_path: Path) -> None:
    archive = falsify(archive_of(tmp_path, (ODD, png(noise(2)))), 8, b"\1")
    project = Project.at(tmp_path)
    outcome = load_all(project, location=str(archive))
    assert outcome.samples == {GOOD: None}
    assert outcome.strays == {ODD: "encrypted_in_archive"}
    assert offenders(project, "files_are_recognised") == outcome.strays


def test_a_wholly_encrypted_archive_fails_and_says_why(tmp_path: Path) -> None:
    archive = falsify(archive_of(tmp_path), 8, b"\1")
    with pytest.raises(ShrunkRootError, match="1 encrypted_in_archive"):
        load_all(Project.at(tmp_path), location=str(archive))


def test_a_member_that_unpacks_to_a_thousand_times_its_size_is_rejected(tmp_path: Path) -> None:
    archive = archive_of(tmp_path, (ODD, bytes(BOMB_BYTES)))
    assert archive.stat().st_size < BOMB_BYTES / 500
    outcome = load_all(Project.at(tmp_path), location=str(archive))
    assert outcome.samples == {GOOD: None}
    assert outcome.rejected == {ODD: "only_zero_bytes"}


def test_a_member_that_claims_four_gigabytes_is_not_loaded_and_named(tmp_path: Path) -> None:
    claimed = struct.pack("<I", 2**32 - 2)
    archive = falsify(archive_of(tmp_path, (ODD, bytes(BOMB_BYTES))), 24, claimed)
    outcome = load_all(Project.at(tmp_path), location=str(archive))
    assert outcome.samples == {GOOD: None}
    assert outcome.strays.keys() | outcome.rejected.keys() == {ODD}


def test_a_member_that_unpacks_to_more_than_it_says_is_unreadable_and_not_unpacked(
    tmp_path: Path,
) -> None:
    archive = archive_of(tmp_path, (ODD, bytes(BOMB_BYTES)))
    falsify(archive, 24, struct.pack("<I", 1000))
    outcome = load_all(Project.at(tmp_path), location=str(archive))
    assert outcome.samples == {GOOD: None}
    assert outcome.rejected == {ODD: "unreadable"}

    root = open_root(str(archive))
    tracemalloc.start()
    try:
        with pytest.raises(FileUnreadableError):
            root.read(ODD)
        assert tracemalloc.get_traced_memory()[1] < 5_000_000
    finally:
        tracemalloc.stop()


def test_members_that_share_their_bytes_do_not_multiply(tmp_path: Path) -> None:
    archive = archive_of(tmp_path, (ODD, bytes(BOMB_BYTES)))
    content = archive.read_bytes()
    start, end = content.rindex(DIRECTORY_ENTRY), content.rindex(b"PK\x05\x06")
    entry = content[start:end]
    names = [f"bottle/train/good/{number:03}.png" for number in range(100, 105)]
    copies = b"".join(entry.replace(ODD.encode(), name.encode()) for name in names)
    fields = list(struct.unpack("<4s4H2IH", content[end : end + 22]))
    fields[3], fields[4], fields[5] = 7, 7, fields[5] + len(copies)
    archive.write_bytes(content[:end] + copies + struct.pack("<4s4H2IH", *fields))
    outcome = load_all(Project.at(tmp_path), location=str(archive))
    assert outcome.samples == {GOOD: None}
    assert outcome.strays.keys() | outcome.rejected.keys() == {ODD, *names}


def test_a_link_in_an_archive_is_a_file_with_a_path_in_it_and_is_not_followed(
    tmp_path: Path,
) -> None:
    link = zipfile.ZipInfo(ODD)
    link.create_system, link.external_attr = 3, (stat.S_IFLNK | 0o777) << 16
    archive = archive_of(tmp_path, (link, b"/etc/passwd"))
    outcome = load_all(Project.at(tmp_path), location=str(archive))
    assert outcome.samples == {GOOD: None}
    assert outcome.rejected == {ODD: "text_file"}


def test_a_member_of_an_unknown_compression_is_a_stray(tmp_path: Path) -> None:
    archive = falsify(archive_of(tmp_path, (ODD, png(noise(2)))), 10, struct.pack("<H", 99))
    outcome = load_all(Project.at(tmp_path), location=str(archive))
    assert outcome.samples == {GOOD: None}
    assert outcome.strays == {ODD: "unsupported_compression"}
