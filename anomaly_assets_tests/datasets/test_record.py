"""Test names that every layout treats in the same way."""

import pytest

from anomaly_assets.datasets.record import is_junk, split_name


@pytest.mark.parametrize(
    "path",
    [
        "Thumbs.db",
        "Class1/Train/Thumbs.db",
        "Class1/Train/THUMBS.DB",
        "bottle/desktop.ini",
        ".DS_Store",
        "bottle/train/good/.DS_Store",
        "bottle/train/good/._000.png",
        "__MACOSX/bottle/train/good/._000.png",
        "__MACOSX/bottle/train/good/000.png",
        ".git/train/good/000.png",
        "readme.txt",
        "bottle/readme.txt",
        "README",
        "README.md",
        "license.txt",
        "bottle/License.TXT",
        "licence.pdf",
    ],
)
def test_files_of_systems_archives_and_documentation_are_junk(path: str) -> None:
    assert is_junk(path.split("/"))


@pytest.mark.parametrize(
    "path",
    [
        "readme.png",
        "bottle/train/good/license.png",
        "notes.txt",
        "readme.txt/000.png",
        "thumbs.png",
    ],
)
def test_nothing_else_is_junk(path: str) -> None:
    assert not is_junk(path.split("/"))


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("000.png", ("000", ".png")),
        ("0001.PNG", ("0001", ".png")),
        ("000(1).png", ("000(1)", ".png")),
        ("a.b.Png", ("a.b", ".png")),
        ("000", ("000", "")),
        ("000.", ("000", ".")),
        (".png", (".png", "")),
        ("", ("", "")),
    ],
)
def test_a_name_is_split_at_its_last_dot(name: str, expected: tuple[str, str]) -> None:
    assert split_name(name) == expected
