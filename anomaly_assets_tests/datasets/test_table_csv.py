"""Test tables of separated values: encodings, separators, columns, words, and what is malformed."""

import csv
import io
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from anomaly_assets.datasets import table_cells, table_rows
from anomaly_assets.datasets.dagm_labels import parse_labels
from anomaly_assets.datasets.table_rows import MOST_MALFORMED, Row, read_table
from anomaly_assets_tests.datasets.tables import COLUMNS, entry, table

ENCODINGS = (
    *("utf-8", "utf-8-sig", "utf-16", "utf-32"),
    *("utf-16-le", "utf-16-be", "utf-32-le", "utf-32-be"),  # without a byte order mark
)
_cell = st.text(
    st.one_of(
        st.sampled_from("abc ,;|\"'é\u0301日😀#%="),
        st.characters(codec="utf-8", exclude_categories=["C", "Z"], exclude_characters="\ufeff�"),
    ),
    max_size=12,
).map(str.strip)


def row(image: str, number: int, **values: Any) -> Row:
    empty: dict[str, Any] = dict.fromkeys(("category", "split", "label", "defect_type", "mask"))
    return Row(image=image, number=number, **{**empty, **values})


def written(rows: list[list[str]], separator: str, newline: str = "\r\n") -> str:
    file = io.StringIO(newline="")
    csv.writer(file, delimiter=separator, lineterminator=newline).writerows(rows)
    return file.getvalue()


def refused(content: str | bytes, **keys: Any) -> tuple[tuple[int, str], ...]:
    found = table(content, **keys)
    assert found.fault is None
    assert all(row.is_unclear and row.label is None for row in found.rows)
    assert found.malformed_count == len(found.malformed)
    return found.malformed


@pytest.mark.slow
@given(
    cells=st.lists(
        st.tuples(_cell.filter(lambda cell: cell.strip("./\\")), _cell, _cell, _cell), max_size=8
    ),
    separator=st.sampled_from(",;\t|"),
    encoding=st.sampled_from(ENCODINGS),
    newline=st.sampled_from(["\r\n", "\n", "\r"]),
)
def test_what_a_writer_wrote_is_read(
    cells: list[tuple[str, ...]], separator: str, encoding: str, newline: str
) -> None:
    header = ["image", "category", "comment of the operator, long enough", "mask"]
    lines = written([header, *map(list, cells)], separator, newline)
    found = table(lines.encode(encoding), columns={k: k for k in ("image", "category", "mask")})
    assert found.fault is None
    assert found.malformed == ()
    path, text = table_cells.path_below_root, table_cells.normalized
    assert [(row.image, row.category, row.mask) for row in found.rows] == [
        (path(image), text(category) or None, path(mask) or None)
        for image, category, _, mask in cells
    ]
    assert [row.number for row in found.rows] == list(range(2, len(cells) + 2))


@pytest.mark.slow
@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize("padding", range(4))
def test_files_larger_than_the_head_that_gives_the_encoding(encoding: str, padding: int) -> None:
    names = ["😀" * (number % 7) + f"{number:07}.png" for number in range(9000)]
    text = "image\n" + "x" * padding + "\n" + "\n".join(names) + "\n"
    content = text.encode(encoding)
    assert len(content) > 2 * 64 * 1024
    found = read_table(io.BytesIO(content), *entry())
    assert [row.image for row in found.rows if row.image.strip("x")] == names


@pytest.mark.slow
def test_a_stream_that_returns_few_bytes_at_a_time() -> None:
    class Slow(io.BytesIO):
        def read(self, size: int | None = -1) -> bytes:
            return super().read(min(7, size) if size is not None and size > 0 else 7)

    content = ("image\n" + "\n".join(f"{n}.png" for n in range(20000))).encode("utf-16")
    found = read_table(Slow(content), *entry())
    assert [row.image for row in found.rows] == [f"{n}.png" for n in range(20000)]


def test_every_property() -> None:
    text = (
        "label,image,mask,split,category,defect_type\n"
        "OK,a/1.png,,Train,bolt,\n"
        "NG,./a\\b.png,.\\m\\2.png,testing,bolt,dent\n"
        ",a\\3.png,,val,nut,scratch\n"
        ",4.png,,,,BAD\n"
        ",5.png,,,,good\n"
        "good,6.png,,,,none\n"
        "bad,7.png,,,,ok\n"
        "\n"
        ",8.png,,,,\n"
    )
    assert list(table(text, columns=COLUMNS).rows) == [
        row("a/1.png", 2, category="bolt", split="train", label="good"),
        row(
            "a\\b.png",
            3,
            category="bolt",
            split="test",
            label="anomalous",
            defect_type="dent",
            mask="m/2.png",
        ),
        row(
            "a/3.png",
            4,
            category="nut",
            split="validation",
            label="anomalous",
            defect_type="scratch",
        ),
        row("4.png", 5, label="anomalous", defect_type="unspecified"),
        row("5.png", 6, label="good"),
        row("6.png", 7, label="good"),
        row("7.png", 8, is_unclear=True),  # a label against the type of its defect
        row("8.png", 10),
    ]


def test_the_header_decides_the_separator() -> None:
    columns = {"image": "file", "label": "a;b"}
    assert list(table("x;y,file,a;b\n1;2,3.png,ok\n", columns=columns).rows) == [
        row("3.png", 2, label="good")
    ]
    assert table("sep=|\nfile|a;b\n3.png|ok\n", columns=columns).rows[0].number == 3
    assert (
        table('file;"x,y,z,image";w\n1.png;2.png;3\n', columns={"image": "file"}).rows[0][0]
        == "1.png"
    )


@pytest.mark.parametrize(
    ("header", "name"),
    [
        ("image,Image", "image"),
        ("Image,x", "image"),
        (" IMAGE ,x", "image"),
        ("bile\u0301,x", "bilé"),
    ],
)
def test_columns_are_found_exactly_then_loosely(header: str, name: str) -> None:
    assert [
        row.image for row in table(f"{header}\n1.png,2.png\n", columns={"image": name}).rows
    ] == ["1.png"]


def test_faults_name_the_remedy() -> None:
    keys = {"image": "image", "label": "lable"}
    assert table("image,label,x\n1.png,ok,\n", columns=keys).fault == (
        'No column "lable". Did you mean "label"? The columns are "image", "label", "x". Correct '
        "`columns`, or remove the key."
    )
    assert (
        table("Image,IMAGE\n1,2\n").fault == '2 columns have the name "image". Rename all but one.'
    )
    assert table("").fault == table("\n \n").fault
    assert "has no text" in str(table("").fault)
    assert "\x1b" not in str(table("a\x1b[31m,b\n").fault)


def test_rows_that_mean_nothing_are_malformed() -> None:
    header = "image,category,split,label,defect_type,mask\n"
    for line, reason in {
        ",a,,,,": "image is empty",
        "./,a,,,,": "image is empty",
        "a.png,,tset,,,": '"tset" is no word for a split; add it to words',
        "a.png,,,fine,,": '"fine" is no word for a label; add it to words, or empty the cell',
        "a.png,,,,,,b": "7 cells, and the header has 6; quote cells with a separator",
        "a\x00.png,,,,,": None,
        "a.png,,,good,dent,": '"good" and "dent" contradict each other',
        'a.png,"b\nc",,,,': 'category "b\\x0ac" has a line break; a quotation mark may not be closed',
    }.items():
        ((number, found),) = refused(header + line + "\n", columns=COLUMNS)
        assert number == 2
        assert reason in (None, found)
    ((_, found),) = refused(b"image\na\xff.png\n")
    assert found == 'image "a�.png" has bytes that are not text; save the file as UTF-8'


@pytest.mark.parametrize("place", ['a.png,"x,good\n', '"a.png,x,good\n'])
def test_a_quotation_mark_that_is_not_closed_swallows_no_rows(place: str) -> None:
    columns = {"image": "image", "label": "label"}
    found = table(f"image,note,label\n{place}b.png,y,bad\nc.png,z,bad\n", columns=columns)
    assert "not closed" in str(found.fault)
    assert table('image,note,label\na.png,"two\nlines",bad\n', columns=columns).fault is None


def test_words_of_the_declaration_have_a_meaning() -> None:
    words = {"good": ["1.0"], "anomalous": ["TRUE"], "train": ["Tr"]}
    found = table(
        "image,label,split\n1.png,1.0,Tr\n2.png,true,tR\n",
        columns={key: key for key in ("image", "label", "split")},
        words=words,
    )
    assert [(row.label, row.split) for row in found.rows] == [
        ("good", "train"),
        ("anomalous", "train"),
    ]


def test_an_open_quotation_mark_costs_few_rows() -> None:
    text = 'image,x\n"1.png,\n' + "".join(f"{number}.png,\n" for number in range(40_000))
    found = table(text)
    assert 20_000 < len(found.rows) < 40_000
    assert found.malformed[0][0] == 2
    assert "quotation mark" in found.malformed[0][1]


def test_short_rows_and_empty_cells_at_the_end() -> None:
    found = table("image,label\n1.png\n2.png,ok,,\n", columns={"image": "image", "label": "label"})
    assert [(row.image, row.label) for row in found.rows] == [("1.png", None), ("2.png", "good")]


def test_reasons_are_kept_up_to_a_limit() -> None:
    found = table("image,x\n" + ",1\n" * 100)
    assert len(found.malformed) == MOST_MALFORMED
    assert found.malformed_count == 100


def test_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(table_cells, "MAX_ROWS", 3)
    assert len(table("image\n1\n2\n3\n").rows) == 3
    found = table("image\n1\n2\n3\n4\n")
    assert found.rows == ()
    assert "more than 3 rows" in str(found.fault)
    content = b"1\n" + b"1\t0\ta.png\n" * 20
    monkeypatch.setattr(
        table_rows, "MAX_BYTES", dict.fromkeys(("csv", "json", "coco", "dagm_labels"), len(content))
    )
    for read in ("csv", "json", "coco", "dagm_labels"):
        assert "larger than 0 MB" not in str(table(content, read).fault)
        assert "larger than 0 MB" in str(table(content + b" ", read).fault)


def test_labels_of_dagm() -> None:
    content = "1\n1\t0\té.PNG\t0\t0\t\n2\t1\tb.PNG\t0\tb_label.PNG\nx\n".encode("utf-16")
    found = table(content, "dagm_labels")
    assert list(found.rows) == [row("é.PNG", 1, label="good"), row("b.PNG", 2, label="anomalous")]
    assert (
        [number for number, _ in found.malformed]
        == list(parse_labels(content).malformed_lines)
        == [4]
    )


_bytes = st.one_of(
    st.binary(max_size=200),
    st.text(st.sampled_from('image,;\t|"\r\n\0é\ufeff x01'), max_size=60).map(str.encode),
    st.text(st.sampled_from('image,;\t|"\r\n\0é\ufeff x01'), max_size=60).map(
        lambda text: b"image,label\n" + text.encode("utf-8")
    ),
)


@given(content=_bytes, read=st.sampled_from(["csv", "dagm_labels"]))
def test_no_bytes_make_it_fail(content: bytes, read: str) -> None:
    keys = {"columns": {"image": "image", "label": "label"}} if read == "csv" else {}
    found = table(content, read, **keys)
    assert found.fault is None or not found.rows
    for each in found.rows:
        each.image.encode()
