"""Test listing and reading of all kinds of roots."""

import os
from datetime import datetime, timezone
from pathlib import Path

import fsspec
import pytest

from anomaly_assets.datasets import SOURCE_DATASETS
from anomaly_assets.roots import retries as requests
from anomaly_assets.roots.base import FileEntry, FileUnreadableError, RootError
from anomaly_assets.roots.open import open_root, refuse_bad_root
from anomaly_assets_tests.catalogue.trees import write, zip_of


def test_a_folder_lists_every_file_with_size_time_and_version(tmp_path: Path) -> None:
    write(tmp_path, "a/b/1.png", content=b"four")
    os.utime(tmp_path / "a/b/1.png", ns=(0, 1_700_000_000_123_456_789))
    assert list(open_root(str(tmp_path)).files()) == [
        FileEntry(
            "a/b/1.png",
            4,
            datetime(2023, 11, 14, 22, 13, 20, 123456, timezone.utc),
            "4-1700000000123456789",
        )
    ]


def test_a_file_url_opens_the_same_folder(tmp_path: Path) -> None:
    folder = write(tmp_path / "my data 100%", "1.png")
    root = open_root(folder.as_uri())
    assert root.uri == open_root(str(folder)).uri == folder.as_uri()
    assert root.read("1.png") == b"1.png"


def test_a_zip_lists_its_members_with_their_checksums(tmp_path: Path) -> None:
    archive = zip_of(write(tmp_path / "files", "a/1.png", content=b"four"), tmp_path / "x.ZIP")
    root = open_root(str(archive))
    (entry,) = root.files()
    assert (entry.path, entry.size_bytes, entry.version) == ("a/1.png", 4, "crc32-90c1667d-4")
    assert root.read("a/1.png") == b"four"
    assert root.uri_of("a/1.png") == f"zip+{archive.as_uri()}!/a/1.png"


def test_an_encrypted_member_says_so(tmp_path: Path) -> None:
    archive = zip_of(write(tmp_path / "files", "1.png"), tmp_path / "x.zip")
    content = bytearray(archive.read_bytes())
    content[content.index(b"PK\x01\x02") + 8] |= 1  # the flag in the archive's directory
    archive.write_bytes(content)
    assert [entry.problem for entry in open_root(str(archive)).files()] == ["encrypted_in_archive"]


def test_a_url_is_listed_and_read_through_fsspec(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(requests, "EXTRAS", {"memory": ("none", "fsspec")})
    location = f"memory://{tmp_path.name}"
    fsspec.filesystem("memory").pipe(f"/{tmp_path.name}/a/1 %.png", b"four")
    root = open_root(location)
    (entry,) = root.files()
    assert (entry.path, entry.size_bytes) == ("a/1 %.png", 4)
    assert root.read("a/1 %.png") == b"four"
    assert root.uri_of("a/1 %.png") == f"{location}/a/1%20%25.png"


def test_the_address_of_a_file_elsewhere_has_no_path_below_the_root(tmp_path: Path) -> None:
    root = open_root(str(tmp_path))
    assert root.path_of(root.uri_of("a/1.png")) == "a/1.png"
    assert root.path_of(f"{root.uri}-other/a/1.png") is None


def test_a_file_that_is_gone_is_unreadable_and_named(tmp_path: Path) -> None:
    with pytest.raises(FileUnreadableError, match=r"^a/1\.png: No such file or directory$"):
        open_root(str(tmp_path)).read("a/1.png")


def test_a_member_that_is_damaged_is_unreadable_and_named(tmp_path: Path) -> None:
    archive = zip_of(write(tmp_path / "files", "1.png", content=b"four"), tmp_path / "x.zip")
    archive.write_bytes(archive.read_bytes().replace(b"four", b"five", 1))
    with pytest.raises(FileUnreadableError, match=r"^1\.png: damaged in its archive"):
        open_root(str(archive)).read("1.png")


@pytest.mark.parametrize(
    "name", ["x.tar", "x.TAR.GZ", "x.tgz", "x.tar.xz", "x.tar.bz2", "x.7z", "x.rar"]
)
def test_an_archive_that_cannot_be_read_in_place_says_what_to_do(tmp_path: Path, name: str) -> None:
    write(tmp_path, name)
    with pytest.raises(RootError, match=r"unpack it and give the folder, or repack it as \.zip"):
        open_root(str(tmp_path / name))


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("missing", "missing does not exist."),
        ("notes.txt", "notes.txt is neither a folder nor a .zip archive."),
        ("broken.zip", "broken.zip cannot be read as a zip archive: File is not a zip file"),
    ],
)
def test_a_root_that_cannot_be_opened_says_why(tmp_path: Path, name: str, message: str) -> None:
    write(tmp_path, "notes.txt", "broken.zip")
    with pytest.raises(RootError) as caught:
        open_root(str(tmp_path / name))
    assert str(caught.value).endswith(f"{tmp_path}/{message}")


@pytest.mark.parametrize("quotes", ['""', "''", "\u201c\u201d"])
@pytest.mark.parametrize("location", ["/data/x", "s3:/bucket"])
def test_a_root_in_quotes_is_told_that_they_belong_to_the_value(quotes: str, location: str) -> None:
    with pytest.raises(
        RootError, match=r"The quotes around it are part of the value: remove them\."
    ):
        open_root(f"{quotes[0]}{location}{quotes[1]}")


def test_missing_samples_are_answered_with_the_variable_of_the_own_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(RootError) as caught:
        refuse_bad_root(SOURCE_DATASETS["mvtec_ad"], "data/samples/mvtec_ad")
    assert str(caught.value) == (
        f"MVTec AD (MVTEC_AD_ROOT): {tmp_path}/data/samples/mvtec_ad does not exist. Nothing was changed. "
        "This is the default, the samples of a checkout: set MVTEC_AD_ROOT to the folder of your images. "
        "To leave this dataset out, set MVTEC_AD_ROOT to the empty string."
    )


@pytest.mark.parametrize(
    ("location", "shown"),
    [
        ("https:/me:hidden@host/images", "https:/…"),
        ("https:me:hidden@host/images.tar.gz", "https:…"),
        ("//me:hidden@host/images", "…"),
        ("me:hidden@host/images", "…"),
        ("s3:/bucket/hidden", "s3:/…"),
        ("s3:hidden", "s3:…"),
        ("postgres:host=db password=hidden", "postgres:…"),
        ("ducklake:postgres:password=hidden", "ducklake:postgres:…"),
        ("me:hidden@postgres://x", "…"),
        ("file:/hidden", "file:/…"),
    ],
)
def test_a_slip_in_an_address_is_no_path_and_no_message_repeats_it(
    location: str, shown: str
) -> None:
    with pytest.raises(RootError) as caught:
        open_root(location)
    assert str(caught.value) == (
        f"{shown}: this is neither a path that exists nor a URL. A URL has two slashes, such as "
        "s3://bucket/prefix or https://host/folder/."
    )


@pytest.mark.parametrize("name", ["run:1", "s3:", "a:b@c", "host=x password=y", "odd://x", "x.tar"])
def test_a_folder_that_exists_is_a_root_whatever_its_name_resembles(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    write(tmp_path / name, "1.png")
    monkeypatch.chdir(tmp_path)
    for location in (str(tmp_path / name), f"./{name}"):
        root = open_root(location)
        assert [entry.path for entry in root.files()] == ["1.png"]


@pytest.mark.parametrize(
    "name", ["pre#fix", "pre?fix", "100%", "%41", "a?b#c %2F", "back\\slash", "é"]
)
def test_a_folder_and_an_archive_may_have_any_character_in_their_paths(
    tmp_path: Path, name: str
) -> None:
    folder = write(tmp_path / name, f"{name}/1.png", content=b"1")
    archive = zip_of(folder, tmp_path / f"{name}.zip")
    for root in (
        open_root(str(folder)),
        open_root(folder.as_uri()),
        open_root(folder.as_uri().replace("file://", "FILE://localhost")),
        open_root(str(archive)),
        open_root(archive.as_uri()),
    ):
        (entry,) = root.files()
        assert entry.path == f"{name}/1.png"
        assert root.path_of(root.uri_of(entry.path)) == entry.path
        assert root.read(entry.path) == b"1"


def test_the_url_of_a_folder_whose_name_is_not_utf_8_opens_it(tmp_path: Path) -> None:
    folder = Path(os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9"))
    try:
        write(folder, "1.png")
    except OSError as error:
        pytest.skip(f"this file system has no such names: {error}")
    assert open_root(folder.as_uri()).read("1.png") == b"1.png"


@pytest.mark.parametrize(
    "scheme", ["nosuch", "ftp"]
)  # fsspec has an ftp, which complains at its end
def test_a_url_of_an_unknown_kind_says_which_there_are(scheme: str) -> None:
    with pytest.raises(RootError) as caught:
        open_root(f"{scheme}://somewhere")
    assert str(caught.value) == (
        f"{scheme}:// is not a supported kind of root: give a folder, a .zip file, or a URL that "
        "begins with s3://, az://, abfs://, abfss://, gs://, gcs://, http://, https://."
    )
