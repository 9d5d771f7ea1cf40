"""Test requests to a store: one listing, and one read of every file; and unusual names."""

from __future__ import annotations

import unicodedata
from collections import Counter
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

from anomaly_assets.roots.base import RootError
from anomaly_assets.roots.open import open_root
from anomaly_assets_tests.stores.proxy import Proxy
from anomaly_assets_tests.stores.store import Store
from anomaly_assets_tests.stores.trees import (
    PATHS,
    build,
    load_root,
    loaded,
    pictures,
    rows,
    warehouse_in,
    zipped,
)

NAMES = (
    "with space.png",
    "100%.png",
    "%41.png",
    "%2F.png",
    "a+b.png",
    "#1.png",
    'it\'s "quoted".png',
    "größe-日本.png",
    "a&b=c;d,e.png",
    "what?.png",
    "~tilde@home!.png",
    "[0] (1) {2}.png",
    "new folder #2/50% + more/ü.png",
    "both?#x%41.png",
    "both#?x.png",
    "ends with?",
    "ends with#",
    "ends?/with#/both#?",
    "v",
    "v?versionid=1.png",
    "v?versionId=1.png",
    "http.png",
    "https:/1.png",
)

PREFIXES = (
    "pre#fix",
    "pre?fix",
    "100%",
    "%41 %2F",
    "a?b#c %41",
    "a#b?c",
    "end?",
    "end#",
    "[1]*{2}",
    "k?v=1&w=2",
)

ODD_TREE = (
    "my bottle 100%/train/good/000.png",
    "my bottle 100%/test/crack + burn #1/000.png",
    "my bottle 100%/ground_truth/crack + burn #1/000_mask.png",
    'it\'s "größe"/train/good/a?b.png',
    "日本/train/good/%41.png",
)


def downloads(proxy: Proxy, suffix: str) -> Counter[str]:
    """Return the number of downloads of each file with a suffix."""
    paths = (unquote(urlsplit(path).path) for path in proxy.count("GET").elements())
    return Counter(path.rpartition("/")[2] for path in paths if path.endswith(suffix))


def test_names_may_hold_any_character_that_a_name_can_have(store: Store, prefix: str) -> None:
    files = {name: name.encode() for name in NAMES}
    root = open_root(store.put_files(f"{prefix} ü", files))
    entries = {entry.path: entry for entry in root.files()}
    assert set(entries) == set(NAMES)
    for name, content in files.items():
        assert root.read(name) == content
        assert root.path_of(root.uri_of(name)) == name
        assert entries[name].size_bytes == len(content)
        assert entries[name].modified_at is not None
        assert entries[name].version.startswith("etag-")
        assert entries[name].problem is None


@pytest.mark.parametrize("odd", PREFIXES)
def test_a_prefix_may_hold_them_too(store: Store, prefix: str, odd: str, tmp_path: Path) -> None:
    """List exactly the given prefix: beside each one there is another prefix, cut off at the character."""
    for cut in {odd.partition("#")[0], odd.partition("?")[0]} - {odd}:
        store.put(f"{prefix}/{cut}/other.png", b"other")
    location = store.put_files(f"{prefix}/{odd}", {"a b/1 %.png": b"1"})
    root = open_root(location)
    (entry,) = root.files()
    assert entry.path == "a b/1 %.png"
    assert root.read(entry.path) == b"1"
    assert root.path_of(root.uri_of(entry.path)) == entry.path
    assert root.uri == open_root(f"{location}/").uri == open_root(root.uri).uri

    archive = zipped(tmp_path / "x.zip", {"1.png": b"2"})
    store.put(f"{prefix}/{odd}/x.zip", archive.read_bytes())
    root = open_root(store.location(f"{prefix}/{odd}/x.zip"))
    assert [root.read(entry.path) for entry in root.files()] == [b"2"]


def test_odd_names_reach_the_tables_as_they_are(store: Store, prefix: str, tmp_path: Path) -> None:
    location = store.put_files(prefix, pictures(ODD_TREE))
    warehouse = loaded(tmp_path, "mvtec_ad", location)
    found = rows(warehouse, "SELECT relative_path, mask_relative_path FROM images ORDER BY ALL")
    assert found == sorted(
        (path, ODD_TREE[2] if path == ODD_TREE[1] else None)
        for path in ODD_TREE
        if path != ODD_TREE[2]
    )
    assert rows(warehouse, "SELECT count(image_tensor), count(mask_tensor) FROM image_tensors") == [
        (4, 1)
    ]


def test_names_of_a_mac_get_the_ids_that_they_have_elsewhere(
    store: Store, prefix: str, tmp_path: Path
) -> None:
    tree = (
        "größe/train/good/é.png",
        "größe/test/Öl/ñ.png",
        "größe/ground_truth/Öl/ñ_mask.png",
    )
    decomposed = [unicodedata.normalize("NFD", path) for path in tree]
    location = store.put_files(prefix, pictures(decomposed))
    warehouse = loaded(tmp_path, "mvtec_ad", location)
    root = open_root(location)
    found = rows(warehouse, "SELECT relative_path, mask_relative_path, source_uri FROM images")
    assert sorted((path, mask) for path, mask, _ in found) == [(tree[1], tree[2]), (tree[0], None)]
    assert {root.path_of(uri) for *_, uri in found} == {decomposed[0], decomposed[1]}
    assert rows(warehouse, "SELECT count(image_tensor), count(mask_tensor) FROM image_tensors") == [
        (2, 1)
    ]


def test_a_listing_downloads_nothing_and_a_build_fetches_every_file_once(
    store: Store, proxy: Proxy, prefix: str, tmp_path: Path
) -> None:
    store.put_files(prefix, pictures())
    location = store.location(prefix, proxy.port)
    warehouse = warehouse_in(tmp_path)
    load_root(warehouse, "mvtec_ad", location)
    assert downloads(proxy, ".png") == Counter()
    proxy.requests.clear()
    assert build(warehouse, "mvtec_ad", location).decoded == 5
    assert downloads(proxy, ".png") == Counter(path.rpartition("/")[2] for path in PATHS)
    assert len(proxy.requests) == len(PATHS)

    proxy.requests.clear()
    load_root(warehouse, "mvtec_ad", location)
    assert build(warehouse, "mvtec_ad", location).decoded == 0
    assert downloads(proxy, ".png") == Counter()


def test_an_archive_is_read_in_place_its_directory_and_then_every_member_once(
    store: Store, proxy: Proxy, prefix: str, tmp_path: Path
) -> None:
    pictures_and_ballast = {**pictures(), "bottle/readme.txt": bytes(3_000_000)}
    archive = zipped(tmp_path / "x.zip", pictures_and_ballast)
    store.put(f"{prefix}/x.zip", archive.read_bytes())
    location = store.location(f"{prefix}/x.zip", proxy.port)
    warehouse = warehouse_in(tmp_path)
    load_root(warehouse, "mvtec_ad", location)
    # Requests for the size, the end and the list of members of the archive; gcsfs sends one of them twice.
    directory = 5 if store.name == "gs" else 4
    assert downloads(proxy, ".zip").total() <= directory
    proxy.requests.clear()
    build(warehouse, "mvtec_ad", location)
    assert downloads(proxy, ".zip").total() <= directory + len(PATHS)


def test_a_folder_that_does_not_exist_is_not_an_empty_one(store: Store) -> None:
    store.put("something/else.png", b"")
    for location in store.missing_locations():
        with pytest.raises(RootError, match="missing"):
            list(open_root(location).files())
    with pytest.raises(RootError, match="missing"):
        open_root(store.location("missing.zip"))


def test_a_prefix_is_a_folder_and_not_the_beginning_of_a_name(store: Store, prefix: str) -> None:
    store.put(f"{prefix}-2/1.png", b"")
    location = store.put_files(prefix, {"1.png": b"1"})
    for spelled in (location, f"{location}/"):
        assert [entry.path for entry in open_root(spelled).files()] == ["1.png"]
