"""Test that any content of a `Labels.txt` loads, and that its errors are named."""

from __future__ import annotations

import time
import tracemalloc
import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from anomaly_assets.catalogue import labels_files
from anomaly_assets.catalogue.listing import list_catalog
from anomaly_assets.datasets import SOURCE_DATASETS
from anomaly_assets.datasets.dagm_labels import parse_labels
from anomaly_assets.roots.archive import ZipRoot
from anomaly_assets.roots.base import MAX_FILE_BYTES, FileEntry, FileTooLargeError, Root
from anomaly_assets.roots.open import open_root
from anomaly_assets_tests.bad_input.loading import (
    Outcome,
    decode_all,
    finding,
    load_all,
    offenders,
)
from anomaly_assets_tests.decoding.pictures import png
from anomaly_assets_tests.warehouse.project import Project, mask, noise

LABELS = "Class1/Train/Label/Labels.txt"
GOOD, DEFECT = "Class1/Train/0001.PNG", "Class1/Train/0002.PNG"
DECLARED = b"1\n1\t0\t0001.PNG\t0\t0\t\n2\t1\t0002.PNG\t0\t0002_label.PNG\n"
DISAGREE = "labels_agree"
MOST_BYTES = 4 * 1024 * 1024


def also_slow(*contents: bytes) -> Iterator[Any]:
    """Yield further contents of the same kind, for the slow tests."""
    return (pytest.param(content, marks=pytest.mark.slow) for content in contents)


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """Create a class with a good image, and one with a mask."""
    made = Project.at(tmp_path)
    made.save(
        {
            f"dagm_2007/{GOOD}": noise(1, "L"),
            f"dagm_2007/{DEFECT}": noise(2, "L"),
            "dagm_2007/Class1/Train/Label/0002_label.PNG": mask((0, 0, 24, 16)),
        }
    )
    return made


BY_MASKS = [("good", 0), ("anomalous", 1)]
"""Labels of both images, if `Labels.txt` agrees with their masks."""

ONE_UNKNOWN = [("unknown", None), ("anomalous", 1)]
"""Labels of both images, if `Labels.txt` cannot be read: no mask is no evidence then."""


def labelled(
    project: Project,
    content: bytes | None,
    expected: Sequence[tuple[str, int | None]] = BY_MASKS,
) -> Outcome:
    if content is not None:
        project.path(f"dagm_2007/{LABELS}").write_bytes(content)
    outcome = decode_all(project, "dagm_2007")
    assert outcome.samples == {GOOD: None, DEFECT: bytes([1] * 48)}
    assert outcome.rejected == {}
    assert labels(project) == expected
    return outcome


def labels(project: Project) -> list[tuple[str, int]]:
    return project.rows("SELECT label, label_index FROM anomaly.samples ORDER BY image_id")


@pytest.mark.slow
def test_labels_that_agree_with_the_masks_are_nobodys_problem(project: Project) -> None:
    assert labelled(project, DECLARED).strays == {}
    assert finding(project, DISAGREE, "dagm_2007").passed
    assert finding(project, "files_are_recognised", "dagm_2007").passed


@pytest.mark.slow
@pytest.mark.parametrize(
    "content",
    [None, b"", *also_slow(b"1\n", b"\xef\xbb\xbf", b"\n\n\t\t\n")],
)
def test_without_labels_the_masks_say_what_is_anomalous(
    project: Project, content: bytes | None
) -> None:
    assert labelled(project, content).strays == {}
    assert finding(project, DISAGREE, "dagm_2007").passed


@pytest.mark.slow
@pytest.mark.parametrize(
    "content",
    [
        *also_slow(np.random.default_rng(0).bytes(50_000), png(noise(1)), bytes(10_000)),
        b"<!DOCTYPE html>\n<title>404</title>\n",
    ],
    ids=["random", "picture", "zeros", "web page"],
)
def test_binary_labels_declare_nothing_and_are_named_in_one_short_row(
    project: Project, content: bytes
) -> None:
    assert labelled(project, content, ONE_UNKNOWN).strays == {LABELS: "malformed_labels"}
    (detail,) = offenders(project, "files_are_recognised", "dagm_2007").values()
    count = len(parse_labels(content).malformed_lines)
    assert (detail or "").startswith(f"malformed_labels: {count:,} invalid line")
    assert len(detail or "") < 250


@pytest.mark.slow
@pytest.mark.parametrize(
    ("content", "fault"),
    [
        (b"1\n1\t0\t0001.PNG\n2\t2\t0003.PNG\n", "1 invalid line: 3; write"),
        (b"1\n1\t0\t1.PNG\n", "names 1 image, of which none is there"),
        (b"\n" * (MOST_BYTES + 1), f"{LABELS}: larger than {MOST_BYTES} bytes"),
    ],
    ids=["malformed", "other names", "too large"],
)
def test_the_check_of_labels_names_the_labels_file_at_fault(
    project: Project, content: bytes, fault: str
) -> None:
    project.save({"dagm_2007/Class1/Train/0003.PNG": noise(3, "L")})
    project.path(f"dagm_2007/{LABELS}").write_bytes(content)
    decode_all(project, "dagm_2007")
    (detail,) = offenders(project, "labels_are_known", "dagm_2007").values()
    assert f"a mask gives their label; {LABELS}: {fault}" in (detail or "")


@pytest.mark.slow
@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-be", "utf-32-le"])
def test_labels_in_another_encoding_are_read(project: Project, encoding: str) -> None:
    assert labelled(project, DECLARED.decode().encode(encoding)).strays == {}
    query = "SELECT declared_label_index FROM anomaly.images ORDER BY image_id"
    assert project.rows(query) == [(0,), (1,)]


@pytest.mark.slow
def test_unknown_ids_are_named_each_and_change_no_image(project: Project) -> None:
    unknown = b"9\t1\t0009.PNG\n8\t0\t0008.PNG\n7\t1\tsub/0007.PNG\n6\t1\t../../../etc/passwd\n"
    missing = ["0009.PNG", "0008.PNG", "sub/0007.PNG", "../../../etc/passwd"]
    outcome = labelled(project, DECLARED + unknown)
    assert outcome.strays == {f"Class1/Train/{name}": "declared_but_missing" for name in missing}
    assert offenders(project, "files_are_recognised", "dagm_2007") == dict.fromkeys(
        outcome.strays, f"declared_but_missing: named in {LABELS}"
    )


@pytest.mark.slow
def test_labels_that_contradict_the_masks_are_named_image_by_image(project: Project) -> None:
    content = b"1\n1\t1\t0001.PNG\n2\t0\t0002.PNG\n"
    assert labelled(project, content, [("anomalous", 1)] * 2).strays == {}
    assert offenders(project, DISAGREE, "dagm_2007") == {
        f"dagm_2007/{GOOD}": "label 1 in Labels.txt, but no mask; used: anomalous by labels file",
        f"dagm_2007/{DEFECT}": "label 0 in Labels.txt, but a mask with defective pixels; "
        "used: anomalous by mask",
    }
    assert offenders(project, "anomalous_images_have_masks", "dagm_2007") == {
        f"dagm_2007/{GOOD}": "unspecified"
    }


@pytest.mark.slow
def test_labels_that_contradict_themselves_count_as_anomalous(project: Project) -> None:
    labelled(project, DECLARED + b"1\t1\t0001.PNG\n", [("anomalous", 1)] * 2)
    assert offenders(project, DISAGREE, "dagm_2007").keys() == {f"dagm_2007/{GOOD}"}


@pytest.mark.slow
def test_a_name_too_long_for_a_file_is_a_malformed_line_and_no_row_of_its_length(
    project: Project,
) -> None:
    content = DECLARED + b"3\t1\t" + b"x" * 3_000_000 + b".PNG\n"
    assert labelled(project, content).strays == {LABELS: "malformed_labels"}
    assert offenders(project, "files_are_recognised", "dagm_2007") == {
        LABELS: "malformed_labels: 1 invalid line: 4; "
        "write lines of tab-separated fields: number, 0 or 1, file name"
    }


@pytest.mark.slow
def test_hostile_names_in_labels_are_only_names(project: Project) -> None:
    names = ["'; DROP TABLE images; --", '"quoted"', "%s {} $1", "a\x00b", "\N{CROCODILE}"]
    lines = "".join(f"3\t1\t{name}.PNG\n" for name in names)
    project.path(f"dagm_2007/{LABELS}").write_bytes(DECLARED + lines.encode())
    outcome = load_all(project, "dagm_2007")
    missing = [f"Class1/Train/{name}.PNG" for name in names]
    assert outcome.strays == dict.fromkeys(missing, "declared_but_missing")
    assert outcome.samples.keys() == {GOOD, DEFECT}
    assert labels(project) == BY_MASKS


@pytest.mark.slow
@pytest.mark.parametrize(
    ("line", "check_detail"),
    [
        (b"%07d\t1\t%07d.PNG\t0\t%07d_label.PNG\n", "declared_but_missing: named in "),
        (b"hello %07d %07d %07d, this is not a label\n", None),
    ],
    ids=["unknown ids", "malformed lines"],
)
def test_the_largest_labels_are_read_in_seconds_and_told_in_few_words(
    project: Project, line: bytes, check_detail: str | None
) -> None:
    count = (MOST_BYTES - len(DECLARED)) // len(line % (1, 1, 1))
    lines = [line % (number, number, number) for number in range(1, count + 1)]
    content = DECLARED + b"".join(lines)
    assert 0 <= MOST_BYTES - len(content) < 60
    project.path(f"dagm_2007/{LABELS}").write_bytes(content)

    started = time.process_time()
    outcome = load_all(project, "dagm_2007")
    assert time.process_time() - started < 60

    assert outcome.samples == {GOOD: None, DEFECT: bytes([1] * 48)}
    assert labels(project) == BY_MASKS
    found = finding(project, "files_are_recognised", "dagm_2007")
    if check_detail is None:
        shown = ", ".join(map(str, range(4, 24)))
        detail = (
            f"malformed_labels: {count:,} invalid lines: {shown}; "
            "write lines of tab-separated fields: number, 0 or 1, file name"
        )
        assert found.shown == [(LABELS, detail)]
    else:
        assert found.count == 10_000 + 1 < count  # and one with the number of further ones
        assert len(found.shown) == 20
        assert {detail for _, detail in found.shown} == {check_detail + LABELS}


@pytest.mark.slow
def test_larger_labels_are_a_stray_and_the_masks_say_what_is_anomalous(project: Project) -> None:
    content = b"1\n1\t1\t0001.PNG\n" + b"\n" * MOST_BYTES
    assert labelled(project, content, ONE_UNKNOWN).strays == {LABELS: "file_too_large"}
    assert offenders(project, "files_are_recognised", "dagm_2007") == {
        LABELS: f"file_too_large: {LABELS}: larger than {MOST_BYTES} bytes"
    }


def test_labels_that_would_unpack_to_more_are_neither_unpacked_nor_parsed(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    archive = project.folder / "dagm.zip"
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as target:
        target.write(project.path(f"dagm_2007/{GOOD}"), GOOD)
        target.writestr(LABELS, b"\n" * 64 * 1024 * 1024)
    assert archive.stat().st_size < 120_000

    def unpack(_: ZipRoot, info: zipfile.ZipInfo) -> bytes:
        raise AssertionError(f"{info.filename} is unpacked")

    monkeypatch.setattr(ZipRoot, "_decompressed", unpack)
    catalog = list_catalog(SOURCE_DATASETS["dagm_2007"], open_root(str(archive)))
    assert catalog.images["relative_path"].to_pylist() == [GOOD]
    assert catalog.stray_files.to_pylist() == [
        {
            "relative_path": LABELS,
            "reason": "file_too_large",
            "detail": f"{LABELS}: larger than {MOST_BYTES} bytes",
        }
    ]


@pytest.mark.parametrize("listed", [0, 11])
def test_the_limit_of_labels_is_that_of_reading_them(
    listed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """List a file without its size, as a web server may do."""
    monkeypatch.setattr(labels_files, "MAX_BYTES", 10)

    class OneFile(Root):
        uri = "https://listed.example"

        def files(self) -> Iterator[FileEntry]:
            yield FileEntry(LABELS, listed, None, "etag-1")

        def read(
            self, path: str, version: str | None = None, most_bytes: int = MAX_FILE_BYTES
        ) -> bytes:
            assert (path, version, most_bytes, listed) == (LABELS, "etag-1", 10, 0)
            raise FileTooLargeError(f"{path}: larger than {most_bytes} bytes")

    strays = list_catalog(SOURCE_DATASETS["dagm_2007"], OneFile()).stray_files.to_pylist()
    assert [(stray["reason"], stray["detail"]) for stray in strays] == [
        ("file_too_large", f"{LABELS}: larger than 10 bytes")
    ]


PART_BYTES = MOST_BYTES // 8


@pytest.mark.slow
@pytest.mark.parametrize(
    "content",
    [
        b"\n" * PART_BYTES,
        b"\t" * PART_BYTES,
        b"x\n" * (PART_BYTES // 2),
        b"\t1\ta\n" * (PART_BYTES // 5),
        b"x" * PART_BYTES,
        b"\xff" * PART_BYTES,
        "\u2028".encode() * (PART_BYTES // 3),
    ],
    ids=["lines", "tabs", "words", "rows", "one line", "no text", "separators"],
)
def test_parsing_labels_takes_memory_and_time_in_proportion_to_their_size(content: bytes) -> None:
    started = time.process_time()
    tracemalloc.start()
    try:
        parse_labels(content)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 30 * PART_BYTES
    assert time.process_time() - started < 10
