"""Test tables of JSON objects: lists, lists per split, nested keys, bombs, and memory."""

import io
import json
import tracemalloc
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from anomaly_assets.datasets import json_stream
from anomaly_assets.datasets.json_stream import JsonError, JsonStream
from anomaly_assets.datasets.table_rows import read_table
from anomaly_assets_tests.datasets.tables import COLUMNS, entry, json_table, table

REAL_IAD = {
    "meta": {"normal_class": "OK", "prefix": "audiojack/"},
    "train": [
        {
            "category": "audiojack",
            "anomaly_class": "OK",
            "image_path": "OK/1.jpg",
            "mask_path": None,
        }
    ],
    "test": [
        {
            "category": "audiojack",
            "anomaly_class": "HS",
            "image_path": "NG/HS/2.jpg",
            "mask_path": "NG/HS/2.png",
        }
    ],
}
_json = st.recursive(
    st.one_of(
        st.none(),
        st.booleans(),
        st.integers(),
        st.floats(),
        st.text(max_size=4),
        st.sampled_from(["good", "train", "a.png", "\ud800", "a\0"]),
    ),
    lambda values: st.one_of(
        st.lists(values, max_size=4),
        st.dictionaries(
            st.sampled_from(["image", "label", "train", "test", "split", "x", "mask", "images"]),
            values,
            max_size=4,
        ),
    ),
    max_leaves=12,
)


def test_one_list_per_split_as_real_iad_has_it() -> None:
    columns = {
        "image": "image_path",
        "mask": "mask_path",
        "category": "category",
        "defect_type": "anomaly_class",
    }
    found = json_table(REAL_IAD, rows="split", columns=columns)
    assert [tuple(row[:7]) for row in found.rows] == [
        ("OK/1.jpg", "audiojack", "train", "good", None, None, 1),
        ("NG/HS/2.jpg", "audiojack", "test", "anomalous", "HS", "NG/HS/2.png", 1),
    ]
    assert found.notes == ('Keys that are no split with a list were left out: "meta".',)


def test_lists_of_paths() -> None:
    found = json_table({"Training": ["./a.png"], "val": ["b\\c.png", 5, ""]}, rows="split")
    assert [(row.image, row.split) for row in found.rows] == [
        ("a.png", "train"),
        ("b/c.png", "validation"),
    ]
    assert found.malformed == (
        (2, 'in "val": the row is a number and no object'),
        (3, 'in "val": image is empty'),
    )
    assert [row.image for row in json_table(["a.png"]).rows] == ["a.png"]


def test_nested_keys_only_without_the_plain_one() -> None:
    rows = [
        {"meta": {"file": "a.png"}},
        {"meta.file": "b.png", "meta": {"file": "x.png"}},
        {"META.FILE ": "c.png"},
        {"meta": 3},
    ]
    found = json_table(rows, columns={"image": "meta.file"})
    assert [row.image for row in found.rows] == ["a.png", "b.png", "c.png"]
    assert found.malformed == ((4, "image is empty"),)


def test_values_that_are_no_text() -> None:
    rows = [
        {"image": "1.png", "label": 0},
        {"image": "2.png", "label": 1.0},
        {"image": "3.png", "label": float("nan")},
        {"image": "4.png", "label": None},
        {"image": "5.png"},
        {"image": 17, "label": "OK"},
        {"image": "7.png", "label": True},
        {"image": "8.png", "label": ["ok"]},
        {"image": "9.png", "label": 2},
        {"image": "\ud800.png"},
        {"image": "a\0.png"},
    ]
    found = json_table(rows, columns={"image": "image", "label": "label"})
    assert [(row.image, row.label) for row in found.rows] == [
        ("1.png", "good"),
        ("2.png", "anomalous"),
        ("3.png", None),
        ("4.png", None),
        ("5.png", None),
        ("17", "good"),
        ("7.png", None),
        ("8.png", None),
        ("9.png", None),
    ]
    assert [row.image for row in found.rows if row.is_unclear] == ["7.png", "8.png", "9.png"]
    assert found.malformed == (
        (7, "label is true; give it a meaning in words, or use text"),
        (8, "label is a list; text is needed"),
        (9, '"2" is no word for a label; add it to words, or empty the cell'),
        (10, 'image "\\ud800.png" has bytes that are not text; save the file as UTF-8'),
        (11, 'image "a\\x00.png" has a control character'),
    )
    words = {"good": ["false"], "anomalous": ["true"]}
    found = json_table(rows[6:7], columns={"image": "image", "label": "label"}, words=words)
    assert [row.label for row in found.rows] == ["anomalous"]
    found = json_table([{"image": "a", "k": True}], columns={"image": "image", "defect_type": "k"})
    assert found.malformed_count == 1


def test_faults_name_the_remedy() -> None:
    columns = {"image": "image", "label": "lable"}
    assert json_table([{"image": "a", "label": 1}, {"x": 2}], columns=columns).fault == (
        'No column "lable". Did you mean "label"? The columns are "image", "label", "x". Correct '
        "`columns`, or remove the key."
    )
    assert json_table([{"image": "a", "lable": 1}, {"image": "b"}], columns=columns).fault is None
    assert 'write rows = "split"' in str(json_table({"train": []}).fault)
    assert 'Remove rows = "split"' in str(json_table([], rows="split").fault)
    assert 'the keys are "a"' in str(json_table({"a": []}, rows="split").fault)
    assert json_table([]).fault is None


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "no list of objects"),
        ("[", "Expecting value"),
        ('[{"image": "a"}', "line 1: expecting , or ], at the end of the file"),
        (
            '[\n{"image": "a"}\n{"image": "b"}]',
            'line 3: expecting , or ], before \'{"image": "b"}]\'',
        ),
        ('[{"image": "a"}]\n[]', "JSON Lines"),
        ('[{"image": "a}', "Unterminated string"),
        ("[" * 200_000, "nested too deeply"),
        ('[{"image":' * 200_000, "nested too deeply"),
        ("[" + "9" * 10_000 + "]", "too many digits"),
    ],
)
def test_text_that_is_no_json(text: str, words: str) -> None:
    found = table(text, "json")
    assert found.rows == ()
    assert words in str(found.fault)


def test_bombs_below_keys_that_are_skipped() -> None:
    for bomb in ("[" * 100_000, '{"a":' * 100_000):
        found = table('{"train": ["a.png"], "x": ' + bomb, "json", rows="split")
        assert "nested too deeply" in str(found.fault)


@pytest.mark.slow
@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-16-be", "utf-32-le"])
def test_encodings(encoding: str) -> None:
    rows = [{"image": f"é{number}.png"} for number in range(20_000)]
    content = json.dumps(rows, ensure_ascii=False).encode(encoding)
    assert [row.image for row in table(content, "json").rows] == [row["image"] for row in rows]


@pytest.mark.slow
@given(value=_json, chunk=st.sampled_from([1, 2, 3, 7, 1000]), indent=st.sampled_from([None, 1]))
def test_the_stream_reads_what_the_standard_parser_reads(
    value: Any, chunk: int, indent: int | None
) -> None:
    text = json.dumps(value, indent=indent)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(json_stream, "_CHUNK", chunk)
        expected = json.loads(text, parse_constant=lambda _: None)
        stream = JsonStream(io.StringIO(text))
        if isinstance(value, list):
            assert list(stream.elements()) == expected
        elif isinstance(value, dict):
            assert {key: stream.value() for key in stream.members()} == expected
        else:
            assert stream.value() == expected
        stream.end()
        skipped = JsonStream(io.StringIO(text))
        skipped.skip()
        skipped.end()


def test_a_value_has_a_longest_length(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(json_stream, "_CHUNK", 10)
    monkeypatch.setattr(json_stream, "LONGEST_VALUE", 100)
    assert JsonStream(io.StringIO('"' + "a" * 80 + '"')).value() == "a" * 80
    with pytest.raises(JsonError, match="a value of more than"):
        JsonStream(io.StringIO('"' + "a" * 1000 + '"')).value()


@given(
    content=st.one_of(
        st.binary(max_size=100),
        _json.map(lambda value: json.dumps(value).encode()),
        st.tuples(_json.map(json.dumps), st.integers(0, 60)).map(
            lambda cut: cut[0][: cut[1]].encode()
        ),
    ),
    rows=st.sampled_from(["list", "split"]),
)
def test_no_bytes_make_it_fail(content: bytes, rows: str) -> None:
    found = table(content, "json", columns=COLUMNS, rows=rows)
    assert found.fault is None or not found.rows
    for each in found.rows:
        each.image.encode()


@pytest.mark.slow
def test_memory_does_not_grow_with_the_objects() -> None:
    padding = {f"key{number}": number for number in range(40)}
    one = json.dumps({"image": "a.png", **padding})
    content = ("[" + ",".join([one] * 20_000) + "]").encode()
    assert len(content) > 10_000_000
    table_entry, words = entry("json")
    tracemalloc.start()
    try:
        found = read_table(io.BytesIO(content), table_entry, words)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert len(found.rows) == 20_000
    assert peak < 9_000_000
