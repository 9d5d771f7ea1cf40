"""Test LabelMe files: kinds of shapes, wanted labels, what is left out, and files that cannot be read."""

import base64
import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from anomaly_assets.decoding.shapes import LabelMe, labelme_shapes, rasterise
from anomaly_assets.decoding.transform import UnusableImageError
from anomaly_assets_tests.decoding.pictures import png


def shape(kind: str | None, points: Any, label: Any = "dent", **values: Any) -> dict[str, Any]:
    return {"label": label, "points": points, "shape_type": kind, "flags": {"x": True}, **values}


def labelme(*shapes: Any, only: tuple[str, ...] = (), **values: Any) -> LabelMe:
    file = {"version": "5.5.0", "imageWidth": 13, "imageHeight": 9, "shapes": shapes, **values}
    return labelme_shapes(json.dumps(file).encode(), only)


def mask_of(pixels: Image.Image) -> str:
    return base64.b64encode(png(pixels)).decode()


def test_every_kind_with_an_area() -> None:
    pixels = np.array([[1, 0], [1, 1]], np.uint8) * 255
    for mask in (Image.fromarray(pixels), Image.fromarray(pixels).convert("1")):
        found = labelme(
            shape("polygon", [[1, 1], [3, 1], [3, 3]]),
            shape(None, [[1, 1], [3, 1], [3, 3]]),
            shape("rectangle", [[5.5, 2.5], [4, 1]]),
            shape("rectangle", [[4, 1], [5, 1], [5, 2], [4, 2]]),
            shape("circle", [[9, 4], [11, 4]]),
            shape("mask", [[2, 6], [3, 7]], mask=mask_of(mask)),
        )
        kinds = ["polygon", "polygon", "rectangle", "polygon", "circle", "mask"]
        assert [each.kind for each in found.shapes] == kinds
        assert found[1:] == (13, 9, (), 0)
        drawn = rasterise(found.shapes[-1:], 13, 9)
        assert [tuple(each) for each in np.argwhere(drawn).tolist()] == [(6, 2), (7, 2), (7, 3)]
        assert rasterise(found.shapes[2:3], 13, 9).sum() == 4


def test_shapes_without_an_area_are_noted() -> None:
    found = labelme(
        *(shape(kind, [[1, 1]]) for kind in ("point", "line", "linestrip", "points", "point"))
    )
    assert found.shapes == []
    assert found.without_area == 5
    assert found.notes == (
        "Shapes without an area were left out: 2 of type point, 1 of type line, 1 of type linestrip, 1 of "
        "type points.",
    )


def test_wanted_labels_are_compared_in_nfc() -> None:
    triangle = [[1, 1], [3, 1], [3, 3]]
    found = labelme(
        shape("polygon", triangle, "re\u0301"),
        shape("polygon", triangle, "DENT\x1b"),
        shape("star", triangle, None),
        only=("r\u00e9",),
    )
    assert [each.label for each in found.shapes] == ["r\u00e9"]
    assert found.notes == (
        'Shapes with labels that are not in `shapes` were left out: 1 of "DENT\\x1b", 1 of "".',
    )


def test_sizes_that_are_missing() -> None:
    assert labelme(imageWidth=None, imageHeight="9")[1:3] == (None, None)


@pytest.mark.parametrize(
    ("broken", "words"),
    [
        (shape("polygon", [[1, 1], [2, 2]]), "a polygon has at least 3 points, and this one has 2"),
        (shape("rectangle", [[1, 1]]), "a rectangle has at least 2 points"),
        (shape("circle", []), "a circle has at least 2 points"),
        (shape("polygon", None), "a polygon has at least 3 points"),
        (shape("polygon", [[1, 1], [2, "2"], [3, 3]]), "no pair of numbers"),
        (shape("polygon", [[1, 1], [2, float("nan")], [3, 3]]), "no pair of numbers"),
        (shape("polygon", [[1, 1], [2, 10**400], [3, 3]]), "no pair of numbers"),
        (shape("star", [[1, 1]]), 'type "star" are not read'),
        (shape("mask", [[1, 1]]), "its mask is no PNG"),
        (shape("mask", [[1, 1]], mask="AAAA"), "its mask is no PNG"),
        (shape("mask", [[1, 1]], mask=mask_of(Image.new("L", (2, 2)))), "its mask has no pixel"),
        (5, "at least 3 points"),
    ],
)
def test_a_shape_that_cannot_be_read_is_an_error(broken: Any, words: str) -> None:
    with pytest.raises(
        UnusableImageError, match=f"Shape 1 .*{words}.*Save the annotation"
    ) as error:
        labelme(broken)
    assert error.value.reason == "unreadable_shapes"


@pytest.mark.parametrize(
    "content", [b"", b"{}", b"[]", b"[" * 100_000, b"9" * 9999, b'{"shapes": {}}']
)
def test_other_files_are_errors(content: bytes) -> None:
    with pytest.raises(UnusableImageError, match="as LabelMe writes it"):
        labelme_shapes(content)


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-16-le"])
def test_encodings(encoding: str) -> None:
    text = json.dumps({"shapes": [shape("circle", [[1, 1], [2, 2]], "日")]}, ensure_ascii=False)
    assert labelme_shapes(text.encode(encoding)).shapes[0].label == "日"


_value = st.recursive(
    st.one_of(
        st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=4), st.just("\ud800")
    ),
    lambda values: st.lists(values, max_size=4),
)
_shape = st.dictionaries(
    st.sampled_from(["label", "points", "shape_type", "mask"]),
    st.one_of(
        _value,
        st.sampled_from(["polygon", "rectangle", "circle", "mask", "line"]),
        st.lists(st.tuples(st.floats(-9, 20), st.floats(-9, 20)), max_size=5),
    ),
)


@pytest.mark.slow
@given(
    content=st.one_of(
        st.binary(max_size=60),
        st.fixed_dictionaries({"shapes": st.lists(st.one_of(_shape, _value), max_size=4)}).map(
            lambda value: json.dumps(value).encode()
        ),
    ),
    only=st.sampled_from([(), ("a",)]),
)
def test_no_bytes_make_it_fail(content: bytes, only: tuple[str, ...]) -> None:
    try:
        found = labelme_shapes(content, only)
        rasterise(found.shapes, 13, 9)
    except UnusableImageError as error:
        str(error).encode()
