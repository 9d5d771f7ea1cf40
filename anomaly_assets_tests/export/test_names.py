"""Test file names of exported pictures: safe and unique for any sample names."""

from __future__ import annotations

import re
from collections.abc import Sequence

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from anomaly_assets.export import names

FOLDERS = ("source_dataset", "category", "split", "kind")
SAFE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._~-]{0,90}(~[0-9a-f]{16})?")
MARK = r"~[0-9a-f]{16}"


def table(*rows: tuple[str, str, str | None], split: str = "test") -> pa.Table:
    """Return rows of category, file name and defect type."""
    return pa.table(
        {
            "image_id": [
                f"mvtec_ad/{category}/{n}/{name}" for n, (category, name, _) in enumerate(rows)
            ],
            "source_dataset": ["mvtec_ad"] * len(rows),
            "category": [category for category, _, _ in rows],
            "split": [split] * len(rows),
            "label": ["anomalous" if defect else "good" for _, _, defect in rows],
            "defect_type": pa.array([defect for _, _, defect in rows], pa.string()),
            "filename": [name for _, name, _ in rows],
        }
    )


def picture_paths(rows: pa.Table, folders: Sequence[str]) -> list[str]:
    """Return the paths of the pictures as strings."""
    return [str(path) for path in names.picture_paths(rows, folders).to_pylist()]


def path(category: str, name: str, defect: str | None = None) -> str:
    return picture_paths(table((category, name, defect)), FOLDERS)[0]


def test_ordinary_names_stay_as_they_are() -> None:
    assert path("bottle", "000.png") == "mvtec_ad/bottle/test/good/000.png"
    assert path("Class1", "0576.PNG", "unspecified") == "mvtec_ad/Class1/test/unspecified/0576.png"
    assert path("metal_nut", "a.b.jpeg", "bent") == "mvtec_ad/metal_nut/test/bent/a.b.png"


@pytest.mark.parametrize(
    ("name", "readable"),
    [
        ("two words.png", "two_words"),
        ("../../etc/passwd.png", "etc_passwd"),
        ("a\\..\\evil.png", "a_.._evil"),
        ("new\nline.png", "new_line"),
        ("'quoted\".png", "_quoted_"[1:]),
        ("café.png", "cafe"),
        ("-rf.png", "rf"),
        (".hidden.png", "hidden"),
        ("\N{CROCODILE}.png", "unnamed"),
        ("", "unnamed"),
        ("...png", "unnamed"),
        ("x" * 251 + ".png", "x" * 64),
        ("000(1).png", "000_1_"),
    ],
)
def test_other_names_become_readable_ones_with_a_mark(name: str, readable: str) -> None:
    stem = path("bottle", name).rsplit("/", 1)[1]
    assert re.fullmatch(re.escape(readable) + MARK + r"\.png", stem), stem


@pytest.mark.parametrize("name", ["CON", "aux", "nul", "COM1", "lpt9", "NUL.txt"])
def test_names_of_devices_are_changed(name: str) -> None:
    for part in path(name, f"{name}.png", name).split("/"):
        assert part.split(".")[0].casefold() not in {"con", "aux", "nul", "com1", "lpt9"}


@pytest.mark.parametrize("name", ["train", "test", "Test", "my-test", "test_2", "a.eval", "dev1"])
def test_a_folder_is_never_taken_for_a_split(name: str) -> None:
    folder = path(name, "000.png").split("/")[1]
    assert folder.startswith(re.sub(r"[-_.\d].*", "", name)), folder
    assert not re.search(r"(^|[-._ 0-9])(train|test|eval|dev)($|[-._ 0-9])", folder, re.IGNORECASE)


def test_words_that_only_contain_the_name_of_a_split_stay() -> None:
    assert path("pretest", "000.png", "evaluated") == "mvtec_ad/pretest/test/evaluated/000.png"


def test_names_that_differ_in_case_or_suffix_alone_are_all_marked() -> None:
    rows = table(
        ("b", "A.png", None), ("b", "a.png", None), ("b", "a.jpg", None), ("b", "c.png", None)
    )
    paths = picture_paths(rows, FOLDERS)
    assert paths[3] == "mvtec_ad/b/test/good/c.png"
    assert all(re.fullmatch(rf"mvtec_ad/b/test/good/[aA]{MARK}\.png", path) for path in paths[:3])
    assert len({path.casefold() for path in paths}) == 4


def test_categories_that_become_alike_keep_folders_of_their_own() -> None:
    first, second = picture_paths(table(("a b", "0.png", None), ("a_b", "0.png", None)), FOLDERS)
    assert first != second
    assert second == "mvtec_ad/a_b/test/good/0.png"


texts = st.text(min_size=1, max_size=80) | st.sampled_from(
    ["..", ".", "con", "a/b", "A", "a", "a.", "a~", "~" * 17, "test", "x" * 255]
)


@pytest.mark.slow
@given(st.lists(st.tuples(texts, texts, st.none() | texts), min_size=1, max_size=12))
def test_any_names_give_safe_and_different_paths_which_other_samples_do_not_change(
    rows: list[tuple[str, str, str | None]],
) -> None:
    paths = picture_paths(table(*rows), FOLDERS)
    assert len({path.casefold() for path in paths}) == len(rows)
    for found in paths:
        assert found.endswith(".png")
        for part in found.removesuffix(".png").split("/"):
            assert SAFE.fullmatch(part), part
        assert len(found) < 400
    assert paths == picture_paths(table(*rows), FOLDERS)


def test_paths_do_not_depend_on_how_many_are_built_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = table(*[(f"c{n % 2}", f"{n % 5}.png", "a b" if n % 3 else None) for n in range(30)])
    expected = picture_paths(rows, FOLDERS)
    monkeypatch.setattr(names, "_ROWS_AT_ONCE", 7)
    assert picture_paths(rows, FOLDERS) == expected
    assert len(set(expected)) == 30
