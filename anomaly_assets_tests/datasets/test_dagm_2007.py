"""Test the classification of paths below a DAGM 2007 root, and the parsing of a `Labels.txt`."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from anomaly_assets.datasets import SOURCE_DATASETS
from anomaly_assets.datasets.dagm_labels import parse_labels
from anomaly_assets.datasets.names import normalized
from anomaly_assets.datasets.record import DeclaredLabels, Ignored, Stray
from anomaly_assets_tests.datasets.by_hand import Image, Labels, Mask, Plain, plain
from anomaly_assets_tests.datasets.paths import any_path, folder_name, stem


def classify(path: str) -> Plain:
    return plain(SOURCE_DATASETS["dagm_2007"].classify(path))


OFFICIAL: list[Image | Mask | Labels] = [
    Image("Class1/Train/0576.PNG", "Class1", "train", "", "0576", None),
    Image("Class1/Test/0001.PNG", "Class1", "test", "", "0001", None),
    Mask("Class1/Train/Label/0595_label.PNG", "Class1", "train", "", "0595"),
    Mask("Class1/Test/Label/0002_label.PNG", "Class1", "test", "", "0002"),
    Labels("Class1/Train/Label/Labels.txt", "Class1", "train"),
    Labels("Class1/Test/Label/Labels.txt", "Class1", "test"),
]


@pytest.mark.parametrize(
    "wrapper",
    [
        "",
        "DAGM_KaggleUpload/",
        "Class1/",  # Class1/Class1/Train/…
        "DAGM_KaggleUpload/Class1/",  # DAGM_KaggleUpload/Class1/Class1/Train/…
    ],
)
@pytest.mark.parametrize("record", OFFICIAL)
def test_the_official_layout_is_understood_wherever_it_lies(
    wrapper: str, record: Image | Mask | Labels
) -> None:
    assert classify(wrapper + record.relative_path) == record


def test_a_file_in_the_label_folder_of_test_is_a_mask_and_no_image() -> None:
    path = "Class1/Test/Label/0002_label.PNG"
    assert classify(path) == Mask(path, "Class1", "test", "", "0002")


@pytest.mark.parametrize(
    "record",
    [
        Image("Class1/Train/0576.png", "Class1", "train", "", "0576", None),
        Mask("Class1/Train/Label/0576_LABEL.png", "Class1", "train", "", "0576"),
        Labels("Class1/Train/Label/labels.TXT", "Class1", "train"),
    ],
)
def test_suffixes_match_in_either_case(record: Image | Mask | Labels) -> None:
    assert classify(record.relative_path) == record


@pytest.mark.parametrize("wrapper", ["", "DAGM_KaggleUpload/", "Train/"])
@pytest.mark.parametrize(
    "record",
    [
        Image("Train/Train/0001.PNG", "Train", "train", "", "0001", None),
        Mask("Train/Test/Label/0001_label.PNG", "Train", "test", "", "0001"),
    ],
)
def test_a_class_may_be_called_train(wrapper: str, record: Image | Mask) -> None:
    assert classify(wrapper + record.relative_path) == record


@pytest.mark.parametrize(
    "path", ["Class1/Train/Thumbs.db", "readme.txt", "Class1/Test/._0001.PNG", "__MACOSX/a.PNG"]
)
def test_junk_is_ignored(path: str) -> None:
    assert classify(path) == Ignored()


@pytest.mark.parametrize(
    ("path", "stray"),
    [
        ("0001.PNG", Stray("0001.PNG", "unrecognised_path")),
        ("Train/0001.PNG", Stray("Train/0001.PNG", "unrecognised_path")),
        ("Class1/train/0001.PNG", Stray("Class1/train/0001.PNG", "unrecognised_path")),
        ("Class1/Train/label/1.PNG", Stray("Class1/Train/label/1.PNG", "unrecognised_path")),
        ("Class1/Train/Label/a/1.PNG", Stray("Class1/Train/Label/a/1.PNG", "unrecognised_path")),
        ("a/Class1/Class2/Train/1.PNG", Stray("a/Class1/Class2/Train/1.PNG", "unrecognised_path")),
        ("Class1/Train/0001.jpg", Stray("Class1/Train/0001.jpg", "unsupported_suffix")),
        ("Class1/Train/Labels.txt", Stray("Class1/Train/Labels.txt", "unsupported_suffix")),
        ("Class1/Train/Label/old.txt", Stray("Class1/Train/Label/old.txt", "unsupported_suffix")),
    ],
)
def test_what_belongs_to_no_image_is_a_stray_with_its_reason(path: str, stray: Stray) -> None:
    assert classify(path) == stray


@pytest.mark.parametrize(
    "path",
    [
        "Class1/1.png",
        "Class1/one.png",
        "Class1_def/1.png",
        "Class1_def/150.PNG",
        "Class1_def/labels.txt",
        "DAGM/Class10_def/labels.txt",
    ],
)
def test_the_older_archives_are_recognised(path: str) -> None:
    assert classify(path) == Stray(path, "older_dagm_archive")


@pytest.mark.parametrize(
    "path", ["Bottle/1.png", "class1/1.png", "Class1_def/sub/1.png", "Class1/labels.csv"]
)
def test_only_the_older_archives_names_count_as_older_archives(path: str) -> None:
    assert classify(path) == Stray(path, "unrecognised_path")


@pytest.mark.parametrize(
    "path",
    [
        "bottle/train/good/000.png",
        "bottle/test/broken/000.png",
        "bottle/ground_truth/broken/000_mask.png",
        "bottle/train/016.png",
        "mvtec_anomaly_detection/bottle/train/good/000.png",
    ],
)
def test_an_mvtec_root_is_no_dagm_root(path: str) -> None:
    assert classify(path) == Stray(path, "unrecognised_path")


@given(any_path)
def test_any_path_is_exactly_one_record(path: str) -> None:
    record = classify(path)
    assert isinstance(record, (Image, Mask, Labels, Ignored, Stray))
    if not isinstance(record, Ignored):
        assert f"/{normalized(path)}".endswith(f"/{record.relative_path}")
    if isinstance(record, (Image, Mask, Labels)):
        assert record.relative_path.split("/")[0] == record.category


@pytest.mark.slow
@given(
    wrapper=folder_name,
    category=folder_name,
    split=st.sampled_from(["Train", "Test"]),
    name=st.one_of(
        stem.map(lambda stem: f"{stem}.PNG"),
        stem.map(lambda stem: f"Label/{stem}_label.PNG"),
        st.just("Label/Labels.txt"),
    ),
)
def test_a_wrapper_folder_never_changes_an_official_record(
    wrapper: str, category: str, split: str, name: str
) -> None:
    path = f"{category}/{split}/{name}"
    record: Plain = classify(path)
    assert isinstance(record, (Image, Mask, Labels))
    assert record.relative_path == normalized(path)
    assert classify(f"{wrapper}/{path}") == record
    assert classify(f"{category}/{path}") == record
    assert classify(f"{wrapper}/{category}/{path}") == record


OFFICIAL_ROWS = b"1151\t0\t1151.PNG\t0\t0\t", b"1152\t1\t1152.PNG\t0\t1152_label.PNG"
OFFICIAL_LABELS = DeclaredLabels({"1151.PNG": 0, "1152.PNG": 1})


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(b"1\n%s\n%s\n" % OFFICIAL_ROWS, id="as published"),
        pytest.param(b"1\r\n%s\r\n%s\r\n" % OFFICIAL_ROWS, id="CRLF"),
        pytest.param(b"1\r%s\r%s" % OFFICIAL_ROWS, id="CR alone"),
        pytest.param(b"\xef\xbb\xbf1\r\n%s\r\n%s" % OFFICIAL_ROWS, id="byte order mark"),
        pytest.param(b"1\n%s\t\t\n%s\t\n" % OFFICIAL_ROWS, id="trailing tabs"),
        pytest.param(b"1\t\r\n%s\r\n%s\r\n" % OFFICIAL_ROWS, id="trailing tab on the first line"),
        pytest.param(b"1\n\n%s\n \t \n%s\n\n\n" % OFFICIAL_ROWS, id="blank lines"),
        pytest.param(b"%s\n%s\n" % OFFICIAL_ROWS, id="without the first line"),
        pytest.param(b"1\n 1151 \t 0 \t 1151.PNG \n1152\t1\t1152.PNG", id="padded, short rows"),
    ],
)
def test_labels_are_read_however_they_were_saved(content: bytes) -> None:
    assert parse_labels(content) == OFFICIAL_LABELS


def test_a_lone_1_is_only_understood_on_the_first_line() -> None:
    assert parse_labels(b"1\n1\n1\t0\ta.PNG\n") == DeclaredLabels({"a.PNG": 0}, (2,))


@pytest.mark.parametrize(
    "line",
    [
        pytest.param(b"1151", id="one field"),
        pytest.param(b"1151\t0", id="two fields"),
        pytest.param(b"1151\t2\t1151.PNG", id="a label that is neither 0 nor 1"),
        pytest.param(b"1151\t\t1151.PNG", id="no label"),
        pytest.param(b"1151\t-1\t1151.PNG", id="a negative label"),
        pytest.param(b"1151\t0\t\t0\t0", id="no file name"),
        pytest.param(b"1151 0 1151.PNG 0 0", id="spaces instead of tabs"),
        pytest.param(b"1151\t0\t\xff\xfe.PNG", id="bytes that are not text"),
    ],
)
def test_a_malformed_line_is_counted_and_the_others_are_kept(line: bytes) -> None:
    content = b"1\n1150\t1\ta.PNG\n%s\n1152\t0\tb.PNG\n" % line
    tried = ("utf-8",) if b"\xff" in line else ()
    assert parse_labels(content) == DeclaredLabels({"a.PNG": 1, "b.PNG": 0}, (3,), tried)


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_an_image_declared_twice_counts_as_anomalous(order: tuple[int, int]) -> None:
    content = b"1\n1\t%d\ta.PNG\n1\t%d\ta.PNG\n" % order
    assert parse_labels(content) == DeclaredLabels({"a.PNG": 1})


def test_the_same_declaration_twice_is_no_contradiction() -> None:
    assert parse_labels(b"1\t0\ta.PNG\n1\t0\ta.PNG\n") == DeclaredLabels({"a.PNG": 0})


def test_an_empty_file_declares_nothing() -> None:
    assert parse_labels(b"") == DeclaredLabels({})
    assert parse_labels(b"\xef\xbb\xbf") == DeclaredLabels({})


def test_a_picture_saved_as_labels_declares_nothing_and_names_its_lines() -> None:
    content = b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR\xff\xfe"
    tried = ("utf-32-le", "utf-32-be", "utf-16-le", "utf-16-be", "utf-8")
    assert parse_labels(content) == DeclaredLabels({}, (1, 2, 3, 4), tried)


@pytest.mark.parametrize(
    "encoding",
    ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-32-le", "utf-32-be"],
)
@pytest.mark.parametrize("mark", ["", "\ufeff"])
@pytest.mark.parametrize("name", ["1151.PNG", "größe_ü.PNG", "部品.PNG"])
def test_labels_in_any_unicode_encoding_are_read(encoding: str, mark: str, name: str) -> None:
    if encoding in ("utf-8-sig", "utf-16", "utf-32"):
        mark = ""  # these write one themselves
    text = f"1\r\n1151\t0\t{name}\t0\t0\r\n1152\t1\tb.PNG\t0\tb_label.PNG\r\n"
    content = (mark + text).encode(encoding)
    assert parse_labels(content) == DeclaredLabels({name: 0, "b.PNG": 1})


@pytest.mark.parametrize(
    ("content", "tried"),
    [
        ("1\n1\t0\tä.PNG\n".encode("latin-1"), ("utf-8",)),
        ("1\n1\t0\ta.PNG\n".encode("utf-16")[:-1], ("utf-16-le",)),
    ],
)
def test_labels_with_bytes_that_are_no_text_name_the_encodings_tried(
    content: bytes, tried: tuple[str, ...]
) -> None:
    labels = parse_labels(content)
    assert labels.malformed_lines
    assert labels.encodings == tried


@given(st.one_of(st.binary(), st.text("01\t\r\nab.\x00é").map(str.encode)))
def test_no_content_makes_the_parser_fail(content: bytes) -> None:
    labels = parse_labels(content)
    assert set(labels.label_index_of.values()) <= {0, 1}
    assert list(labels.malformed_lines) == sorted(set(labels.malformed_lines))
    assert all(name == name.strip() != "" for name in labels.label_index_of)


@pytest.mark.slow
@given(
    declared=st.dictionaries(stem.map(lambda stem: f"{stem}.PNG"), st.sampled_from([0, 1])),
    mark=st.sampled_from([b"", b"\xef\xbb\xbf"]),
    newline=st.sampled_from(["\n", "\r\n"]),
    ending=st.sampled_from(["", "\t", "\t0\t0\t"]),
)
def test_what_is_written_in_the_official_form_is_read_back(
    declared: dict[str, int], mark: bytes, newline: str, ending: str
) -> None:
    lines = ["1", *(f"1\t{index}\t{name}{ending}" for name, index in declared.items())]
    assert parse_labels(mark + newline.join(lines).encode()) == DeclaredLabels(declared)
