"""Test that an image has the same id in a folder, in zip archives of Windows and macOS, and in a store."""

from __future__ import annotations

import os
import unicodedata
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path

import fsspec
import pytest

from anomaly_assets.catalogue.dlt_source import load
from anomaly_assets.catalogue.listing import IMAGES_SCHEMA, Catalog, list_catalog
from anomaly_assets.catalogue.refusals import UnknownCategoryError
from anomaly_assets.cli.excerpt import make_excerpt
from anomaly_assets.roots import retries as requests
from anomaly_assets.roots.base import Root, RootError
from anomaly_assets.roots.open import open_root
from anomaly_assets.warehouse.file.warehouse import FileWarehouse
from anomaly_assets_tests.catalogue.loaded import query
from anomaly_assets_tests.catalogue.test_catalog import OF_THE_COPY
from anomaly_assets_tests.catalogue.trees import DAGM, MVTEC, Row, write
from anomaly_assets_tests.roots.zips import UNIX, WINDOWS, Member, with_unicode_path, zip_with

FILES = {
    path: path.encode()
    for path in (
        "größe/train/good/é 1.png",
        "größe/test/good/000.png",
        "größe/test/Öl rückstand/ñ.png",
        "größe/ground_truth/Öl rückstand/ñ_mask.png",
        "größe/ground_truth/Öl rückstand/überzählig_mask.png",
        "bottle/train/good/000.png",
    )
}
"""In NFC: five images, a pair, and a mask without an image; each file holds its own path."""

Write = Callable[[Path, Mapping[str, bytes]], str]


def nfd(path: str) -> str:
    return unicodedata.normalize("NFD", path)


def folder(place: Path, files: Mapping[str, bytes]) -> str:
    for path, content in files.items():
        write(place / "folder", path, content=content)
    return str(place / "folder")


def folder_of_a_mac(place: Path, files: Mapping[str, bytes]) -> str:
    return folder(place, {nfd(path): content for path, content in files.items()})


def mixed_folder(place: Path, files: Mapping[str, bytes]) -> str:
    """Write images in NFC, masks in NFD."""
    return folder(
        place,
        {nfd(path) if "ground_truth" in path else path: content for path, content in files.items()},
    )


def zipped(place: Path, members: Mapping[Member, bytes]) -> str:
    return str(zip_with(place / "images.zip", members.items()))


def zip_with_the_flag(place: Path, files: Mapping[str, bytes]) -> str:
    return zipped(place, {Member(p.encode(), utf_8=True): c for p, c in files.items()})


def zip_of_a_mac(place: Path, files: Mapping[str, bytes]) -> str:
    """Write a zip like macOS: NFD in UTF-8 without the flag, folders as members, and Finder's files."""
    members = {Member(b"mvtec/"): b"", Member(b"mvtec/.DS_Store"): b"junk"}
    for path, content in files.items():
        above, _, name = nfd(path).rpartition("/")
        members[Member(f"mvtec/{nfd(path)}".encode())] = content
        members[Member(f"__MACOSX/mvtec/{above}/._{name}".encode())] = b"junk"
    return zipped(place, members)


def zip_of_linux_without_the_flag(place: Path, files: Mapping[str, bytes]) -> str:
    return zipped(place, {Member(path.encode()): content for path, content in files.items()})


def zip_of_windows_explorer(place: Path, files: Mapping[str, bytes]) -> str:
    return zipped(place, {Member(p.encode("cp437"), made_on=WINDOWS): c for p, c in files.items()})


def zip_of_net_framework(place: Path, files: Mapping[str, bytes]) -> str:
    """Write a zip with backslashes, also at the end of folders."""
    members = {Member("größe\\".encode(), utf_8=True, made_on=WINDOWS): b""}
    for path, content in files.items():
        name = path.replace("/", "\\").encode()
        members[Member(name, utf_8=True, made_on=WINDOWS)] = content
    return zipped(place, members)


def zip_of_python_with_backslashes(place: Path, files: Mapping[str, bytes]) -> str:
    """Write a zip like `writestr` on Linux from paths that were joined on Windows."""
    with zipfile.ZipFile(place / "images.zip", "w") as target:
        for path, content in files.items():
            target.writestr(path.replace("/", "\\"), content)
    return str(place / "images.zip")


def zip_with_both_separators(place: Path, files: Mapping[str, bytes]) -> str:
    """Write a zip with `/` after the first folder and backslashes in the rest."""
    return zipped(
        place,
        {
            Member(
                b"mvtec/" + path.replace("/", "\\").encode(), utf_8=True, made_on=WINDOWS
            ): content
            for path, content in files.items()
        },
    )


def zip_of_info_zip(place: Path, files: Mapping[str, bytes]) -> str:
    """Write a zip with a Windows code page in the name and UTF-8 in the extra field."""
    return zipped(
        place, {with_unicode_path(path.encode("cp1252"), path): c for path, c in files.items()}
    )


def store(place: Path, files: Mapping[str, bytes]) -> str:
    """Store keys in the spellings of macOS and Windows."""
    for number, (path, content) in enumerate(files.items()):
        key = nfd(path) if number % 2 else path.replace("/", "\\")
        fsspec.filesystem("memory").pipe(f"/{place.name}/{key}", content)
    return f"memory://{place.name}"


WAYS: tuple[Write, ...] = (
    folder,
    folder_of_a_mac,
    mixed_folder,
    zip_with_the_flag,
    zip_of_a_mac,
    zip_of_linux_without_the_flag,
    zip_of_windows_explorer,
    zip_of_net_framework,
    zip_of_python_with_backslashes,
    zip_with_both_separators,
    zip_of_info_zip,
    store,
)


@pytest.fixture(autouse=True)
def memory_is_a_store(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(requests.EXTRAS, "memory", ("none", "fsspec"))


def listed(location: str) -> tuple[Root, Catalog]:
    root = open_root(location)
    return root, list_catalog(MVTEC, root)


def rows(catalog: Catalog) -> list[Row]:
    kept = [name for name in IMAGES_SCHEMA.names if name not in OF_THE_COPY]
    return list(catalog.images.select(kept).to_pylist())


def strays(catalog: Catalog) -> list[tuple[str, str, str | None]]:
    return [(*row.values(),) for row in catalog.stray_files.to_pylist()]


@pytest.mark.parametrize("way", WAYS)
def test_the_catalogue_is_the_same_and_every_file_is_read_by_its_own_spelling(
    tmp_path: Path, way: Write
) -> None:
    (tmp_path / "expected").mkdir()
    _, expected = listed(folder(tmp_path / "expected", FILES))
    root, catalog = listed(way(tmp_path, FILES))
    assert rows(catalog) == rows(expected)
    assert [row["image_id"] for row in rows(catalog)] == sorted(
        f"mvtec_ad/{path}" for path in FILES if "ground_truth" not in path
    )
    (stray,) = strays(catalog)
    assert stray[1:] == ("orphan_mask", None)
    (own,) = [entry for entry in root.files() if entry.meant_path == stray[0]]
    expected_path = "größe/ground_truth/Öl rückstand/überzählig_mask.png"
    assert own.canonical_path.removeprefix("mvtec/") == expected_path
    for row in catalog.images.to_pylist():
        for kind in ("", "mask_"):
            if uri := row[f"{kind}source_uri"]:
                path = root.path_of(uri)
                assert path is not None
                assert root.uri_of(path) == uri
                assert root.read(path) == FILES[row[f"{kind}relative_path"]]


def test_addresses_keep_the_spelling_of_the_file(tmp_path: Path) -> None:
    name = nfd("größe/train/good/é 1.png")
    files = {"größe/train/good/é 1.png": b"1"}
    for way, spelled in (
        (folder_of_a_mac, name),
        (zip_of_a_mac, f"mvtec/{name}"),
        (zip_of_net_framework, "größe\\train\\good\\é 1.png"),
        (zip_of_windows_explorer, os.fsdecode("größe/train/good/é 1.png".encode("cp437"))),
    ):
        (place := tmp_path / way.__name__).mkdir()
        root, catalog = listed(way(place, files))
        (uri,) = catalog.images["source_uri"].to_pylist()
        assert root.path_of(uri) == spelled, way.__name__


@pytest.mark.parametrize(
    ("member", "expected"),
    [
        (Member("a/caf\u00e9".encode()), "a/caf\u00e9"),
        (Member("a/caf\u00e9".encode(), utf_8=True), "a/caf\u00e9"),
        (Member(b"a/caf\x82"), "a/caf\u00e9"),  # cp437
        (Member(b"a/caf\xe9"), "a/caf\u0398"),  # cp1252, for which an archive has no flag
        (Member(b"a/\x83\x5c", made_on=WINDOWS), "a/\u00e2\\"),  # a letter of cp932 ends with a \
        (with_unicode_path(b"a/caf\xe9", "a/caf\u00e9"), "a/caf\u00e9"),
        (with_unicode_path(b"a/caf\x82", "a/other", of=b"a/renamed"), "a/caf\u00e9"),
        (Member(b"a/caf\xc3\xa9\0 and what a tool left behind"), "a/caf\u00e9"),
    ],
)
def test_the_name_of_a_member_is_decided_by_evidence(
    tmp_path: Path, member: Member, expected: str
) -> None:
    root = open_root(str(zip_with(tmp_path / "x.zip", [(member, b"content")])))
    (entry,) = root.files()
    assert entry.canonical_path == expected
    assert root.read(entry.path) == b"content"


def test_a_name_that_is_marked_as_utf_8_and_is_not_is_said_of_the_archive(tmp_path: Path) -> None:
    archive = zip_with(tmp_path / "x.zip", [(Member(b"caf\xe9", utf_8=True), b"")])
    with pytest.raises(RootError, match="is marked as UTF-8 but is not valid UTF-8") as caught:
        open_root(str(archive))
    assert "Pack the archive again, or unpack it and give the folder." in str(caught.value)


def test_of_two_names_that_become_one_the_one_in_nfc_counts_and_the_other_is_named(
    tmp_path: Path,
) -> None:
    image, mask = "b/test/cut/é.png", "b/ground_truth/cut/é_mask.png"
    for path in (image, mask):
        write(tmp_path, nfd(path), content=b"NFD")
        write(tmp_path, path, content=b"NFC")
    root, catalog = listed(str(tmp_path))
    (row,) = catalog.images.to_pylist()
    assert (row["relative_path"], row["mask_relative_path"]) == (image, mask)
    for uri in (row["source_uri"], row["mask_source_uri"]):
        assert root.read(root.path_of(uri) or "") == b"NFC"
    assert sorted(strays(catalog)) == sorted(
        (
            nfd(path),
            "ambiguous_name",
            f"the same name as {path.replace('é', chr(92) + 'u00e9')}, which is taken",
        )
        for path in (image, mask)
    )


def test_members_that_become_one_name_are_told_apart_in_an_archive(tmp_path: Path) -> None:
    archive = zip_with(
        tmp_path / "x.zip",
        [
            (Member(b"b\\train\\good\\\x82.png"), b"backslashes"),
            (Member(b"b/train/good/\x82.png"), b"cp437"),
            (Member("b/train/good/\u00e9.png".encode(), utf_8=True), b"UTF-8"),
            (Member(nfd("b/train/good/\u00e9.png").encode()), b"NFD"),
        ],
    )
    root, catalog = listed(str(archive))
    (row,) = catalog.images.to_pylist()
    assert root.read(root.path_of(row["source_uri"]) or "") == b"UTF-8"
    taken = "the same name as b/train/good/\\u00e9.png, which is taken"
    assert strays(catalog) == [
        (nfd("b/train/good/\u00e9.png"), "ambiguous_name", taken),
        ("b/train/good/\u00e9.png", "ambiguous_name", taken),
        ("b\\train\\good\\\u00e9.png", "ambiguous_name", taken),
    ]


def test_a_stray_keeps_its_own_spelling(tmp_path: Path) -> None:
    paths = [nfd("größe/notes.txt"), "notes\\of me.txt", "größe/train/good/0.jpg"]
    write(tmp_path, "bottle/train/good/000.png", *paths)
    _, catalog = listed(str(tmp_path))
    assert {path for path, *_ in strays(catalog)} == set(paths)


def test_labels_are_those_of_their_images_in_any_spelling(tmp_path: Path) -> None:
    write(tmp_path, nfd("Gerät/Train/ä1.PNG"), "Gerät/Train/ä2.PNG")
    labels = f"1\n1\t1\tä1.PNG\n2\t1\t{nfd('ä2.PNG')}\n3\t1\t{nfd('ä3.PNG')}\n"
    write(tmp_path, nfd("Gerät/Train/Label/Labels.txt"), content=labels.encode())
    catalog = list_catalog(DAGM, open_root(str(tmp_path)))
    found = catalog.images.select(["relative_path", "label", "declared_label_index"]).to_pylist()
    assert [tuple(row.values()) for row in found] == [
        ("Gerät/Train/ä1.PNG", "anomalous", 1),
        ("Gerät/Train/ä2.PNG", "anomalous", 1),
    ]
    assert strays(catalog) == [
        (
            "Gerät/Train/ä3.PNG",
            "declared_but_missing",
            f"named in {nfd('Gerät/Train/Label/Labels.txt')}",
        )
    ]


def test_an_excerpt_takes_the_lines_of_its_images_in_any_spelling(tmp_path: Path) -> None:
    root = tmp_path / "root"
    write(root, nfd("Gerät/Train/ä1.PNG"))
    lines = "1\n1\t0\tä1.PNG\n2\t0\tä2.PNG\n"
    write(root, nfd("Gerät/Train/Label/Labels.txt"), content=lines.encode())
    made = make_excerpt(open_root(str(root)), tmp_path / "out", 1, 0)
    assert (made.images, made.labels_files) == (1, 1)
    kept = tmp_path / "out" / "Gerät/Train/Label/Labels.txt"
    assert kept.read_text("utf-8") == "1\n1\t0\tä1.PNG\n"


RENAMING = (
    "{} images have a new image_id, because names are now normalised: accented letters are composed "
    "(NFC), and names in zip archives are read as UTF-8 if they are valid UTF-8. The files are the same, "
    "and are decoded again."
)


def as_the_first_release_named_it(
    warehouse: FileWarehouse, respelled: Callable[[str], str]
) -> None:
    """Give the loaded images the ids of the first release."""
    for (path,) in query(warehouse, "SELECT relative_path FROM mvtec_ad.images"):
        with warehouse.connect() as connection:
            connection.execute(
                """
                UPDATE mvtec_ad.images
                SET relative_path = $old, image_id = 'mvtec_ad/' || $old,
                    category = split_part($old, '/', 1), filename = split_part($old, '/', -1)
                WHERE relative_path = $new
                """,
                {"old": respelled(path), "new": path},
            )


def in_cp437(path: str) -> str:
    """Return the first release's reading of UTF-8 without the flag."""
    return path.encode().decode("cp437")


@pytest.mark.slow
@pytest.mark.parametrize("respelled", [nfd, in_cp437])
def test_images_that_get_another_id_are_counted_once_and_nothing_else_changes(
    tmp_path: Path, warehouse: FileWarehouse, respelled: Callable[[str], str]
) -> None:
    location = folder(tmp_path, FILES)
    load(MVTEC, location, warehouse)
    before = query(warehouse, "SELECT image_id FROM mvtec_ad.images ORDER BY ALL")
    as_the_first_release_named_it(warehouse, respelled)

    found = load(MVTEC, location, warehouse)
    assert (found.renamed, found.renaming) == (3, RENAMING.format(3))
    changes = found.tables["images"]
    assert (changes.inserted, changes.updated, changes.deleted, changes.unchanged) == (3, 0, 3, 1)
    assert query(warehouse, "SELECT image_id FROM mvtec_ad.images ORDER BY ALL") == before

    again = load(MVTEC, location, warehouse)
    assert (again.any_change, again.renamed, again.renaming) == (False, 0, None)


@pytest.mark.slow
def test_an_image_that_was_renamed_by_a_person_is_not_counted(
    tmp_path: Path, warehouse: FileWarehouse
) -> None:
    location = folder(tmp_path, FILES)
    load(MVTEC, location, warehouse)
    (tmp_path / "folder" / "größe/train/good/é 1.png").rename(
        tmp_path / "folder" / "größe/train/good/ê 1.png"
    )
    found = load(MVTEC, location, warehouse)
    assert (found.tables["images"].deleted, found.renamed) == (1, 0)


@pytest.mark.slow
@pytest.mark.parametrize("asked", ["größe", nfd("größe"), in_cp437("größe")])
def test_a_category_is_reloaded_in_all_its_spellings(
    tmp_path: Path, warehouse: FileWarehouse, asked: str
) -> None:
    location = folder(tmp_path, FILES)
    load(MVTEC, location, warehouse)
    as_the_first_release_named_it(warehouse, in_cp437)
    write(tmp_path / "folder", nfd("größe/notes.txt"))

    found = load(MVTEC, location, warehouse, categories=[asked])
    changes = found.tables["images"]
    assert (changes.inserted, changes.deleted, found.renamed) == (3, 3, 3)
    assert found.tables["stray_files"].inserted == 1
    assert query(warehouse, "SELECT DISTINCT category FROM mvtec_ad.images ORDER BY ALL") == [
        ("bottle",),
        ("größe",),
    ]


@pytest.mark.slow
def test_only_images_of_the_reloaded_categories_are_counted(
    tmp_path: Path, warehouse: FileWarehouse
) -> None:
    location = folder(tmp_path, {**FILES, "kälte/train/good/000.png": b"1"})
    load(MVTEC, location, warehouse)
    as_the_first_release_named_it(warehouse, nfd)
    assert load(MVTEC, location, warehouse, categories=["kälte"]).renamed == 1
    assert load(MVTEC, location, warehouse).renamed == 3


@pytest.mark.slow
def test_an_unknown_category_is_still_refused(tmp_path: Path, warehouse: FileWarehouse) -> None:
    location = folder(tmp_path, FILES)
    load(MVTEC, location, warehouse)
    with pytest.raises(UnknownCategoryError, match="has no category 'grösse'"):
        load(MVTEC, location, warehouse, categories=["grösse"])


def test_members_of_unix_keep_a_backslash_that_is_part_of_a_name(tmp_path: Path) -> None:
    member = Member(b"back\\slash/train/good/000.png", made_on=UNIX)
    root = open_root(str(zip_with(tmp_path / "x.zip", [(member, b"1")])))
    assert list_catalog(MVTEC, root).images["category"].to_pylist() == ["back\\slash"]
