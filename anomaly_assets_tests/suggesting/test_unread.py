"""Test the remedies for tables and boxes that no declaration can read as they are."""

from __future__ import annotations

import json

import pytest

from anomaly_assets_tests.suggesting.test_suggest import declaration_of, many, suggested


def table(header: str, *cells: str, separator: str = ",") -> bytes:
    rows = [f"images/{n:03}.png{separator}{cell}" for n, cell in enumerate(cells)]
    return "\n".join([header, *rows] if header else rows).encode()


def reason(files: dict[str, bytes]) -> str:
    found = suggested(many("images") | files)
    assert found.cannot is not None
    return found.cannot


def test_a_table_whose_columns_are_not_understood() -> None:
    cells = [f"{n % 2 / 2},x{n}" for n in range(6)]
    said = reason({"labels.csv": table("file,prob,note", *cells)})
    assert (
        'labels.csv: the column "file" names your images, and no other column has known words for a label '
        'or a split: "prob" ("0.0", "0.5"), "note" ("x0", "x1", "x2", "x3" …). If one of them gives the '
        'label, write tables = [{ path = "labels.csv", columns = { image = "file", label = "prob" } }] and '
    ) in said


def test_the_sentence_is_a_comment_if_something_else_can_be_declared() -> None:
    files = many("images/ok") | many("images/ng")
    rows = "\n".join(f"images/ok/{n:03}.png,{n}" for n in range(6))
    found = suggested(files | {"t.csv": f"file,heat\n{rows}".encode()})
    assert found.cannot is None
    assert '# t.csv: the column "file" names your images' in found.toml


@pytest.mark.parametrize(
    ("zero", "one", "separator"), [("0.0", "1.0", ","), ("0,0", "1,0", ";"), ("0", "1", ",")]
)
def test_zero_and_one_with_a_decimal(zero: str, one: str, separator: str) -> None:
    content = table(f"file{separator}label", *[zero, one] * 3, separator=separator)
    declaration = declaration_of(suggested(many("images") | {"t.csv": content}))
    assert declaration.tables[0].columns == {"image": "file", "label": "label"}
    assert (declaration.words.label_of[zero], declaration.words.label_of[one]) == (
        "good",
        "anomalous",
    )


def test_none_beside_names_of_defects_means_good() -> None:
    content = table("file,failureType", *["none", "Edge-Ring", "Scratch"] * 2)
    declaration = declaration_of(suggested(many("images") | {"t.csv": content}))
    assert declaration.tables[0].columns == {"image": "file", "defect_type": "failureType"}
    assert declaration.words.label_of["none"] == "good"
    content = table("file,operator", *["none", "Anna", "Karl"] * 2)
    assert "operator" in reason({"t.csv": content})


def test_names_without_their_suffix() -> None:
    rows = "\n".join(f"{n:03},{'ok' if n % 2 else 'ng'}" for n in range(6))
    assert (
        't.csv: the column "id" names your images without their suffix, such as "000". Write whole names, '
        'such as "000.png".'
    ) in reason({"t.csv": f"id,label\n{rows}".encode()})


def test_columns_separated_by_spaces() -> None:
    content = table("", *["  1.0  mono"] * 6, separator=" ")
    said = reason(
        {"t.csv": b"images/none.png 0.0 mono\n" + content + b"\nimages/none2.png 0.0 poly"}
    )
    assert (
        "t.csv names your images, and its columns are separated by spaces "
        '("images/000.png", "1.0", "mono"), which is not read. Save it with commas'
    ) in said


@pytest.mark.parametrize("label", ["ok", "x"])
def test_json_with_its_rows_in_an_object(label: str) -> None:
    rows = [{"file": f"images/{n:03}.png", "label": label} for n in range(6)]
    said = reason({"t.json": json.dumps({"version": 1, "images": rows}).encode()})
    assert (
        't.json has its rows in the list "images" of an object, which `rows` cannot read.' in said
    )


def test_json_with_names_as_keys() -> None:
    content = json.dumps({f"{n:03}.png": "ok" for n in range(6)}).encode()
    assert "t.json has the names of your images as keys" in reason({"t.json": content})


def test_yolo() -> None:
    boxes = {f"train/labels/{n:03}.txt": b"0 0.5 0.5 0.25 0.125\n" for n in range(6)}
    boxes["train/labels/001.txt"] = b""
    found = suggested(many("train/images") | many("test/images") | boxes)
    [sentence] = [each for each in found.sentences if "YOLO" in each]
    assert sentence.startswith(
        "6 files such as train/labels/000.txt with boxes or polygons of YOLO: they are not read. Write a "
        "CSV with the columns image and label instead"
    )
    [stray] = declaration_of(found).strays
    assert stray.pattern.text == "**/labels/*.txt"
    assert "YOLO" not in reason({"images/000.txt": b"a note\n"})


def test_pascal_voc() -> None:
    content = b"<annotation><filename>000.jpg</filename><object/></annotation>"
    boxes = {f"images/{n:03}.xml": content for n in range(6)}
    assert "6 files such as images/000.xml with boxes or polygons of Pascal VOC" in reason(boxes)
