"""Test that answers are limited to the announced size and to the limit of a file."""

from __future__ import annotations

import base64
import gzip
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from anomaly_assets.roots import store as stores
from anomaly_assets.roots.base import (
    MAX_FILE_BYTES,
    FileChangedError,
    FileTooLargeError,
    FileUnreadableError,
    RootError,
)
from anomaly_assets.roots.open import open_root
from anomaly_assets.roots.retries import Store
from anomaly_assets.roots.store import StoredArchive, _links
from anomaly_assets_tests.stores.endless import Endless, endless

MEGABYTE = 1024 * 1024
IN_FLIGHT = 12 * MEGABYTE
"""Bytes that a server can send into buffers before it notices that the client does not read."""

KEY = base64.b64encode(b"the account key of the store tests").decode()


@pytest.fixture
def server() -> Iterator[Endless]:
    with endless() as running:
        yield running


def location(scheme: str, server: Endless, patch: pytest.MonkeyPatch) -> str:
    """Return a URL of this scheme that the server answers."""
    if scheme == "http":
        return f"{server.address}/data"
    for name, value in {
        "AWS_ACCESS_KEY_ID": "anomaly-tests",
        "AWS_SECRET_ACCESS_KEY": "secret",
        "AWS_REGION": "us-east-1",
        "AWS_ENDPOINT_URL": server.address,
        "STORAGE_EMULATOR_HOST": server.address,
        "AZURE_STORAGE_CONNECTION_STRING": (
            f"DefaultEndpointsProtocol=http;AccountName=a;AccountKey={KEY};"
            f"BlobEndpoint={server.address}/a;"
        ),
    }.items():
        patch.setenv(name, value)
    if scheme == "az":
        server.status = 206
        server.headers = {"Content-Range": "bytes 0-999/1000", "Last-Modified": "x"}
        server.headers["Last-Modified"] = "Mon, 01 Jan 2024 00:00:00 GMT"
    return f"{scheme}://data/images"


@pytest.mark.slow
def test_a_file_without_an_announced_length_is_read_up_to_the_bound_and_no_further(
    server: Endless,
) -> None:
    with pytest.raises(FileUnreadableError, match=f"larger than {MAX_FILE_BYTES} bytes$"):
        open_root(f"{server.address}/data").read("1.png")


@pytest.mark.slow
@pytest.mark.parametrize("scheme", ["http", "s3", "gs", "az"])
def test_bytes_are_counted_as_they_come_from_every_kind_of_store(
    server: Endless, scheme: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = open_root(location(scheme, server, monkeypatch))
    with pytest.raises(FileTooLargeError) as raised:
        root.read("1.png", most_bytes=MEGABYTE)
    assert str(raised.value) == f"1.png: larger than {MEGABYTE} bytes"
    assert server.ended.wait(10)
    assert 0 < server.sent < IN_FLIGHT


@pytest.mark.parametrize("scheme", ["http", "s3", "gs", "az"])
def test_of_an_archive_no_more_is_taken_than_the_part_that_was_asked_for(
    server: Endless, scheme: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    address = location(scheme, server, monkeypatch)
    server.status = 206
    with pytest.raises(FileTooLargeError):
        StoredArchive(Store(address)).read(10, 1000)
    assert server.ended.wait(10)
    assert server.sent < IN_FLIGHT  # 0 if the client left within the first piece


def test_the_directory_of_an_archive_is_not_taken_from_a_server_that_sends_more_than_it_announces(
    server: Endless,
) -> None:
    server.headers = {"Content-Length": "1000", "Accept-Ranges": "bytes"}
    archive = StoredArchive(Store(f"{server.address}/x.zip"))
    with archive.open() as file:
        server.headers, server.status = {}, 206
        with pytest.raises(RootError) as raised:
            zipfile.ZipFile(file)
    assert str(raised.value) == (
        f"The directory of an archive cannot be read: {server.address}/x.zip: larger than 22 bytes"
    )
    assert server.sent < IN_FLIGHT


def test_a_page_that_lists_files_has_a_bound(
    server: Endless, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stores, "MAX_PAGE_BYTES", MEGABYTE, raising=False)
    server.piece, server.headers = b"<a href=1.png>" * 1000, {"Content-Type": "text/html"}
    with pytest.raises(
        RootError, match=f"larger than {MEGABYTE} bytes, so it is not a list of files"
    ):
        list(open_root(f"{server.address}/data").files())
    assert server.sent < IN_FLIGHT


@pytest.mark.slow
@pytest.mark.timeout(20)
@pytest.mark.parametrize(
    "page",
    [
        "<a" + " " * 3_000_000,
        "<a " * 1_000_000,
        "<a href=" * 500_000,
        "<a href='" + "x" * 3_000_000,
        "<" * 3_000_000,
        "<a " + "href " * 600_000,
        "<!--" * 700_000,
        "<script>" + "</scrip" * 400_000,
        "<a href='" + "&" * 3_000_000 + "'>",
    ],
    ids=[
        "blanks",
        "tags",
        "targets",
        "one target",
        "brackets",
        "attributes",
        "comments",
        "scripts",
        "entities",
    ],
)
def test_a_page_is_searched_for_links_in_time_proportional_to_its_length(page: str) -> None:
    assert len(list(_links(page))) <= 1


def test_links_of_a_page_are_found_as_servers_write_them() -> None:
    page = """<html><A HREF="a.png">a</A> <a class='x' href='b/'>b</a><a\nhref="/c.png" >c</a>
        <abbr href="no"> <b href="no"> <a name="no"> https://host/no <a href="e.png?C=N"> <a href=f.png>
        <a data-href="no" href = 'h&amp;&quot;.png'> <a href=""> <a href>"""
    expected = ["a.png", "b/", "/c.png", "e.png?C=N", "f.png", 'h&".png']
    assert _links(page) == expected


def test_an_entity_that_is_no_letter_is_no_reason_to_refuse_a_page() -> None:
    assert _links(f"<a href='&#{'9' * 5000};'> <a href='a.png'>") == ["a.png"]


def test_a_file_that_is_packed_for_the_way_may_have_more_bytes_than_were_listed(
    server: Endless, tmp_path: Path
) -> None:
    server.piece = gzip.compress(bytes(5000))
    server.most_bytes = len(server.piece)
    server.headers = {"Content-Encoding": "gzip"}
    assert open_root(f"{server.address}/data").read("1.png", most_bytes=1000) == bytes(5000)


SIZED = {"Content-Length": "4", "Last-Modified": "Mon, 01 Jan 2024 00:00:00 GMT"}


@pytest.mark.parametrize(
    ("listed", "headers", "content", "is_same"),
    [
        ('etag-1"2', {"ETag": '"1"2"'}, b"four", True),
        ("etag-1", {"ETag": 'W/"1"'}, b"four", True),
        ('etag-W/"1', {"ETag": '"1"'}, b"four", True),
        ("etag-1", {"ETag": '"2"'}, b"four", False),
        ("etag-1", {}, b"four", True),
        ("4-2024-01-01 00:00:00+00:00", SIZED, b"four", True),
        ("4-2024-01-01 00:00:00+00:00", {}, b"four", True),
        ("4-2024-01-01 00:00:00+00:00", {}, b"three", False),
        ("4-2024-01-01 00:00:01+00:00", SIZED, b"four", False),
        ("5-2024-01-01 00:00:00+00:00", SIZED, b"four", False),
        ("0-None", SIZED, b"four", True),
    ],
)
def test_what_a_web_server_says_with_the_bytes_is_compared_with_what_it_said_before(
    server: Endless, listed: str, headers: dict[str, str], content: bytes, is_same: bool
) -> None:
    server.piece, server.most_bytes, server.headers = content, len(content), headers
    root = open_root(f"{server.address}/data")
    if is_same:
        assert root.read("1.png", listed) == content
    else:
        with pytest.raises(FileChangedError):
            root.read("1.png", listed)
