"""Test pages of other web servers than nginx, redirects, and refused URLs."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import pytest

pytest.importorskip("aiohttp")
from yarl import URL

from anomaly_assets.roots.base import RootError
from anomaly_assets.roots.clients import is_same_server
from anomaly_assets.roots.open import open_root
from anomaly_assets.roots.retries import safe_address
from anomaly_assets_tests.stores.servers import HOST
from anomaly_assets_tests.stores.site import Site, served
from anomaly_assets_tests.stores.trees import zipped


@pytest.fixture
def site() -> Iterator[Site]:
    with served() as made:
        yield made


@pytest.fixture
def other() -> Iterator[Site]:
    with served() as made:
        made.pages["/data/"] = '<a href="1.png">1.png</a>'
        made.files["/data/1.png"] = b"of the other server"
        yield made


def listed(location: str) -> dict[str, bytes]:
    root = open_root(location)
    return {entry.path: root.read(entry.path) for entry in root.files() if not entry.problem}


def link(target: str) -> str:
    return f'<a href="{target}">anything</a>'


@pytest.mark.parametrize(
    "target",
    [
        "1%202.png",
        "./1%202.png",
        "/data/1%202.png",
        "http://127.0.0.1:{port}/data/1%202.png",
        "HTTPS://127.0.0.1:{port}/data/1%202.png",
        "//127.0.0.1:{port}/data/1%202.png",
        "1 2.png",
        "1%202.png?download=1#part",
    ],
)
def test_a_file_is_found_however_its_page_links_to_it(site: Site, target: str) -> None:
    site.pages["/data/"] = link(target.format(port=site.port))
    site.files["/data/1 2.png"] = b"content"
    assert listed(site.location("/data")) == {"1 2.png": b"content"}


def test_names_of_any_kind_are_found_as_apache_writes_them(site: Site) -> None:
    names = ["http and more.png", "https.png", "a&b.png", "a&amp;b.png", "größe.png", "x%41?#.png"]
    links = [link(quote(name, safe="&ß").replace("&", "&amp;")) for name in names]
    other_orders = [link("?C=N;O=D"), link("/data/?C=S;O=A"), link("/"), link("../"), link("#top")]
    site.pages["/data/"] = "<table>" + "".join([*other_orders, *links, link("sub%20dir/")])
    written = (
        "<A class=x\nHREF = 'ä.png'>ä</A><a href=plain.png>p</a><a>none</a><area href='z.png'>"
    )
    site.pages["/data/sub dir/"] = written + link("/data/")
    files = {name: name.encode() for name in [*names, "sub dir/ä.png", "sub dir/plain.png"]}
    site.files |= {f"/data/{name}": content for name, content in files.items()}
    assert listed(site.location("/data/")) == files


def test_a_list_of_addresses_is_taken_for_a_page_of_links(site: Site) -> None:
    site.pages["/data/"] = (
        f"all: {site.location('/data/1%202.png')} http://other.example/data/2.png"
    )
    site.files["/data/1 2.png"] = b"content"
    assert listed(site.location("/data")) == {"1 2.png": b"content"}


def test_a_page_of_broken_tags_is_read_in_time_proportional_to_its_length(site: Site) -> None:
    site.pages["/data/"] = "<a href='" * 200_000 + "<!--" * 200_000 + link("1.png")
    site.files["/data/1.png"] = b"1"
    started = time.process_time()
    assert listed(site.location("/data")) == {"1.png": b"1"}
    assert time.process_time() - started < 20


@pytest.mark.parametrize("folder", ["/größe (1)", "/gr%C3%B6%C3%9Fe%20%281%29"])
def test_a_folder_may_be_written_with_or_without_encoding(site: Site, folder: str) -> None:
    site.pages["/größe (1)/"] = link(quote("/größe (1)/1.png"))
    site.files["/größe (1)/1.png"] = b"content"
    location = site.location(folder)
    assert listed(location) == {"1.png": b"content"}
    root = open_root(location)
    assert root.path_of(root.uri_of("1.png")) == "1.png"


@pytest.mark.parametrize(
    "target",
    [
        "http://other.example/data/1.png",
        "/database/1.png",
        "/data/../1.png",
        "..%2F1.png",
        "http://[",
    ],
)
def test_links_to_other_places_are_not_followed(site: Site, target: str) -> None:
    site.pages["/data/"] = link(target) + link("2.png")
    site.files["/data/2.png"] = b"2"
    assert listed(site.location("/data")) == {"2.png": b"2"}
    assert set(site.asked) == {"/data/", "/data/2.png"}


@pytest.mark.parametrize("host", ["localhost", HOST])
def test_a_folder_that_sends_to_another_server_is_refused(
    site: Site, other: Site, host: str
) -> None:
    site.redirects["/data"] = other.location("/data/?signature=hidden-one", host)
    with pytest.raises(RootError) as caught:
        listed(site.location("/data"))
    assert str(caught.value) == (
        f"http://{HOST}:{site.port} redirects to http://{host}:{other.port}: nothing was read from there, "
        "because a root is on one server. If the files are there, name that one instead."
    )
    assert other.asked == []


@pytest.mark.parametrize("header", ["Location", "URI"])
def test_a_file_that_is_sent_to_another_server_is_refused_where_it_is_listed_and_read(
    site: Site, other: Site, header: str
) -> None:
    site.pages["/data/"] = link("1.png")
    site.redirects["/data/1.png"] = other.location("/data/1.png")
    site.redirects_by = header
    root = open_root(site.location("/data"))
    for ask in (lambda: list(root.files()), lambda: root.read("1.png")):
        with pytest.raises(RootError, match=f"redirects to http://127.0.0.1:{other.port}: nothing"):
            ask()
    assert other.asked == []


def test_an_archive_that_sends_to_another_server_is_refused(
    site: Site, other: Site, tmp_path: Path
) -> None:
    site.redirects["/x.zip"] = other.location("/x.zip")
    other.files["/x.zip"] = zipped(tmp_path / "x.zip", {"1.png": b"1"}).read_bytes()
    with pytest.raises(RootError, match=f"redirects to http://127.0.0.1:{other.port}: nothing"):
        open_root(site.location("/x.zip"))
    assert other.asked == []


def test_a_redirect_on_the_same_server_is_followed(site: Site, tmp_path: Path) -> None:
    site.redirects |= {
        "/data/1.png": "/v2/1.png",
        "/data/": site.location("/v2/"),
        "/x.zip": "v2/x.zip",
    }
    site.pages["/v2/"] = link("1.png")
    site.files["/v2/1.png"] = b"moved"
    site.files["/v2/x.zip"] = zipped(tmp_path / "x.zip", {"1.png": b"1"}).read_bytes()
    assert listed(site.location("/data")) == {"1.png": b"moved"}
    assert listed(site.location("/x.zip")) == {"1.png": b"1"}


@pytest.mark.parametrize(
    ("asked", "told", "expected"),
    [
        ("http://host/a", "http://host/b", True),
        ("http://host/a", "http://host:80/a", True),
        ("http://host/a", "https://host/a", True),
        ("http://host:8080/a", "https://host:8443/a", True),
        ("http://HOST/a", "http://host/a", True),
        ("https://host/a", "http://host/a", False),
        ("http://host/a", "http://host:8080/a", False),
        ("http://host/a", "https://host.example/a", False),
        ("http://host/a", "https://login@other/a", False),
    ],
)
def test_the_same_server_is_the_same_host_and_port_or_its_encrypted_side(
    asked: str, told: str, expected: bool
) -> None:
    assert is_same_server(URL(asked), URL(told)) is expected


@pytest.mark.parametrize(
    ("location", "message"),
    [
        ("http://host/pre#fix", "http://host/pre: the part after a # is not sent to a web server."),
        ("http://host/pre#", "http://host/pre: the part after a # is not sent to a web server."),
        ("http://me:hid#den@host/x", "http://…: write #, /, ?, @ and [ in a password as %23,"),
        ("http://me:hid?den@host/x", "http://…: write #, /, ?, @ and [ in a password as %23,"),
        ("http://me:12/hidden@host/x", "http://…: write #, /, ?, @ and [ in a password as %23,"),
        ("http://me:hid/den@host/x", "http://…: write #, /, ?, @ and [ in a password as %23,"),
        (
            "https://me:hid[den@host/x",
            "https://…: this is not a valid web URL; write #, /, ?, @ and [",
        ),
        (
            "http://host/pre?hidden",
            "http://host/pre: only the URL of a zip archive may",
        ),
        ("http://host/pre?", "http://host/pre: only the URL of a zip archive may have a query"),
    ],
)
def test_a_web_address_that_means_less_than_was_typed_is_refused(
    location: str, message: str
) -> None:
    with pytest.raises(RootError) as caught:
        open_root(location)
    assert str(caught.value).startswith(message)
    assert "hid" not in str(caught.value)


@pytest.mark.parametrize("query", ["sig=hidden", "a=1&X-Amz-Signature=hidden", "sas_token=hidden"])
@pytest.mark.parametrize("scheme", ["s3", "az", "gs"])
def test_a_signature_in_the_address_of_a_bucket_is_refused_and_not_shown(
    scheme: str, query: str
) -> None:
    for location in (f"{scheme}://bucket/pre?{query}", f"{scheme}://bucket?{query}"):
        with pytest.raises(RootError, match="keys and signatures must not be in") as caught:
            open_root(location)
        assert str(caught.value).startswith(f"{scheme}://…: ")
        assert "hidden" not in str(caught.value)


def test_control_characters_of_an_address_are_encoded_wherever_it_is_shown() -> None:
    assert safe_address("s3://bucket/a\x1b[2J\nb\u202e") == "s3://bucket/a%1B[2J%0Ab%E2%80%AE"
    with pytest.raises(RootError) as caught:
        open_root("http://host/a\x1b[2J?x")
    assert str(caught.value).startswith("http://host/a%1B[2J: only the URL of a zip archive may")


def test_an_archive_on_a_server_that_gives_no_parts_of_a_file_is_refused(
    site: Site, tmp_path: Path
) -> None:
    site.files["/x.zip"] = zipped(tmp_path / "x.zip", {"1.png": b"1"}).read_bytes()
    site.ranges = False
    with pytest.raises(RootError, match=r"does not support range requests"):
        listed(site.location("/x.zip"))
