"""A `Labels.txt` of any content stops nothing; what it gets wrong is named."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import pytest

from anomaly_assets.datasets.dagm_2007 import parse_labels
from anomaly_assets_tests.bad_input.loading import (
    Outcome,
    decode_all,
    finding,
    load_all,
    offenders,
)
from anomaly_assets_tests.tensors.pictures import png
from anomaly_assets_tests.warehouse.project import Project, mask, noise

LABELS = "Class1/Train/Label/Labels.txt"
GOOD, DEFECT = "Class1/Train/0001.PNG", "Class1/Train/0002.PNG"
DECLARED = b"1\n1\t0\t0001.PNG\t0\t0\t\n2\t1\t0002.PNG\t0\t0002_label.PNG\n"
DISAGREE = "declared_labels_agree_with_masks"


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """A class with a good image, and one with a mask."""
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
"""Labels of both images, where `Labels.txt` says nothing else about them than their masks."""


def labelled(
    project: Project, content: bytes | None, expected: list[tuple[str, int]] = BY_MASKS
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


def test_labels_that_agree_with_the_masks_are_nobodys_problem(project: Project) -> None:
    assert labelled(project, DECLARED).strays == {}
    assert finding(project, DISAGREE, "dagm_2007").passed
    assert finding(project, "files_are_recognised", "dagm_2007").passed


@pytest.mark.parametrize("content", [None, b"", b"1\n", b"\xef\xbb\xbf", b"\n\n\t\t\n"])
def test_without_labels_the_masks_say_what_is_anomalous(
    project: Project, content: bytes | None
) -> None:
    assert labelled(project, content).strays == {}
    assert finding(project, DISAGREE, "dagm_2007").passed


@pytest.mark.parametrize(
    "content",
    [
        np.random.default_rng(0).bytes(50_000),
        png(noise(1)),
        bytes(10_000),
        DECLARED.decode().encode("utf-16"),
        b"<!DOCTYPE html>\n<title>404</title>\n",
    ],
    ids=["random", "picture", "zeros", "utf-16", "web page"],
)
def test_binary_labels_declare_nothing_and_are_named_in_one_short_row(
    project: Project, content: bytes
) -> None:
    assert labelled(project, content).strays == {LABELS: "malformed_labels"}
    (detail,) = offenders(project, "files_are_recognised", "dagm_2007").values()
    count = len(parse_labels(content).malformed_lines)
    assert (detail or "").startswith(f"malformed_labels: {count} lines not understood: 1")
    assert len(detail or "") < 250


def test_unknown_ids_are_named_each_and_change_no_image(project: Project) -> None:
    unknown = b"9\t1\t0009.PNG\n8\t0\t0008.PNG\n7\t1\tsub/0007.PNG\n6\t1\t../../../etc/passwd\n"
    missing = ["0009.PNG", "0008.PNG", "sub/0007.PNG", "../../../etc/passwd"]
    outcome = labelled(project, DECLARED + unknown)
    assert outcome.strays == {f"Class1/Train/{name}": "declared_but_missing" for name in missing}
    assert offenders(project, "files_are_recognised", "dagm_2007") == dict.fromkeys(
        outcome.strays, f"declared_but_missing: named in {LABELS}"
    )


def test_labels_that_contradict_the_masks_are_named_image_by_image(project: Project) -> None:
    content = b"1\n1\t1\t0001.PNG\n2\t0\t0002.PNG\n"
    assert labelled(project, content, [("anomalous", 1)] * 2).strays == {}
    assert offenders(project, DISAGREE, "dagm_2007") == {
        f"dagm_2007/{GOOD}": "Labels.txt says 1, there is no mask",
        f"dagm_2007/{DEFECT}": "Labels.txt says 0, there is a mask",
    }
    assert offenders(project, "anomalous_images_have_masks", "dagm_2007") == {
        f"dagm_2007/{GOOD}": "unspecified"
    }


def test_labels_that_contradict_themselves_count_as_anomalous(project: Project) -> None:
    labelled(project, DECLARED + b"1\t1\t0001.PNG\n", [("anomalous", 1)] * 2)
    assert offenders(project, DISAGREE, "dagm_2007").keys() == {f"dagm_2007/{GOOD}"}


def test_a_name_too_long_for_a_file_is_a_malformed_line_and_no_row_of_its_length(
    project: Project,
) -> None:
    content = DECLARED + b"3\t1\t" + b"x" * 10_000_000 + b".PNG\n"
    assert labelled(project, content).strays == {LABELS: "malformed_labels"}
    assert offenders(project, "files_are_recognised", "dagm_2007") == {
        LABELS: "malformed_labels: 1 lines not understood: 4"
    }


def test_hostile_names_in_labels_are_only_names(project: Project) -> None:
    names = ["'; DROP TABLE images; --", '"quoted"', "%s {} $1", "a\x00b", "\N{CROCODILE}"]
    lines = "".join(f"3\t1\t{name}.PNG\n" for name in names)
    project.path(f"dagm_2007/{LABELS}").write_bytes(DECLARED + lines.encode())
    outcome = load_all(project, "dagm_2007")
    missing = [f"Class1/Train/{name}.PNG" for name in names]
    assert outcome.strays == dict.fromkeys(missing, "declared_but_missing")
    assert outcome.samples.keys() == {GOOD, DEFECT}
    assert labels(project) == BY_MASKS


@pytest.mark.parametrize(
    ("line", "check_detail"),
    [
        (b"%07d\t1\t%07d.PNG\t0\t%07d_label.PNG\n", "declared_but_missing: named in "),
        (b"hello %07d %07d %07d, this is not a label\n", None),
    ],
    ids=["unknown ids", "malformed lines"],
)
def test_labels_of_10_mb_are_read_in_seconds_and_told_in_few_words(
    project: Project, line: bytes, check_detail: str | None
) -> None:
    lines = [line % (number, number, number) for number in range(1, 250_001)]
    content = DECLARED + b"".join(lines)
    assert len(content) > 10_000_000
    project.path(f"dagm_2007/{LABELS}").write_bytes(content)

    started = time.monotonic()
    outcome = load_all(project, "dagm_2007")
    assert time.monotonic() - started < 60

    assert outcome.samples == {GOOD: None, DEFECT: bytes([1] * 48)}
    assert labels(project) == BY_MASKS
    found = finding(project, "files_are_recognised", "dagm_2007")
    if check_detail is None:
        shown = ", ".join(map(str, range(4, 24)))
        detail = f"malformed_labels: 250000 lines not understood: {shown}"
        assert found.shown == [(LABELS, detail)]
    else:
        assert found.count == 250_000
        assert len(found.shown) == 20
        assert {detail for _, detail in found.shown} == {check_detail + LABELS}
