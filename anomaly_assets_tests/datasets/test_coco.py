"""Test COCO files: a row per image, its shapes, and annotations that cannot be read."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from anomaly_assets.datasets.table_rows import Row
from anomaly_assets_tests.datasets.tables import coco, table

CATEGORIES = [{"id": 1, "name": "dent"}, {"id": 2, "name": "scratch"}, {"id": 3, "name": "OK"}]
TRIANGLE = [0, 0, 4, 0, 0, 4]


def image(number: int, **values: Any) -> dict[str, Any]:
    return {"id": number, "file_name": f"a/{number}.png", "width": 8, "height": 6, **values}


def annotation(of: int, category: int | None = 1, **values: Any) -> dict[str, Any]:
    return {"id": 9, "image_id": of, "category_id": category, "bbox": [1, 2, 3, 4], **values}


def one(**values: Any) -> Row:
    (row,) = coco(
        images=[image(1)], annotations=[annotation(1, **values)], categories=CATEGORIES
    ).rows
    return row


def shapes(row: Row) -> Any:
    assert row.shapes is not None
    return json.loads(row.shapes)


@pytest.mark.parametrize(
    "order", [("images", "annotations", "categories"), ("categories", "annotations", "images")]
)
def test_a_row_for_each_image_in_any_order_of_the_lists(order: tuple[str, ...]) -> None:
    lists = {
        "images": [image(1), image(2), image(3, file_name=".\\b\\3.png", width=None)],
        "annotations": [
            annotation(1, 1, segmentation=[TRIANGLE, TRIANGLE]),
            annotation(1, 1),
            annotation(2, 2),
            annotation(2, 1),
        ],
        "categories": CATEGORIES,
    }
    found = coco(info={"year": 1}, **{key: lists[key] for key in order})
    assert (found.fault, found.malformed, found.notes) == (None, (), ())
    first, second, third = found.rows
    assert first[:7] == ("a/1.png", None, None, None, "dent", None, 1)
    assert (first.width, first.height) == (8, 6)
    assert shapes(first) == [
        {"kind": "polygon", "points": TRIANGLE, "label": "dent"},
        {"kind": "polygon", "points": TRIANGLE, "label": "dent"},
        {"kind": "rectangle", "points": [1, 2, 4, 6], "label": "dent"},
    ]
    assert second.defect_type is None
    assert [each["label"] for each in shapes(second)] == ["scratch", "dent"]
    assert third == Row("b/3.png", None, None, None, None, None, 3, "[]", None, 6)


@pytest.mark.parametrize(
    ("segmentation", "kind"),
    [
        ([TRIANGLE], "polygon"),
        (TRIANGLE, "polygon"),
        ([], "rectangle"),
        (None, "rectangle"),
        ({"counts": [0, 48], "size": [6, 8]}, "rle"),
        ({"counts": "0c1", "size": [6, 8]}, "rle"),
    ],
)
def test_kinds_of_segmentation(segmentation: Any, kind: str) -> None:
    row = one(segmentation=segmentation)
    assert [each["kind"] for each in shapes(row)] == [kind]
    assert row.label is None


@pytest.mark.parametrize(
    "segmentation",
    [
        [[0, 0, 1, 1]],
        [[0, 0, 1, 1, 2, 2, 3]],
        [["a"] * 6],
        [[True] * 6],
        [[1e400] * 6],
        [[10**40] * 6],
        "x",
        5,
        {"counts": [-1], "size": [6, 8]},
        {"counts": [1], "size": [6]},
        {"counts": [1], "size": [0, 8]},
        {"counts": "é", "size": [6, 8]},
        {},
    ],
)
def test_an_annotation_without_a_readable_shape_makes_no_image_good(segmentation: Any) -> None:
    found = coco(
        images=[image(1)],
        annotations=[annotation(1, segmentation=segmentation), annotation(1)],
        categories=CATEGORIES,
    )
    (row,) = found.rows
    assert (row.label, row.defect_type, row.shapes) == ("anomalous", "dent", None)
    assert found.malformed == (
        (
            1,
            'in "annotations": neither segmentation nor bbox can be read; the image counts as anomalous, '
            "without a mask",
        ),
    )


def test_categories_that_mean_a_label() -> None:
    assert one(category=3).shapes == "[]"
    found = coco(images=[image(1)], annotations=[annotation(1, 3)], categories=CATEGORIES)
    assert found.notes == ('1 shapes of "OK" were left out: it means good.',)
    found = coco(
        images=[image(1)], annotations=[annotation(1, 3)], categories=[{"id": 3, "name": "defect"}]
    )
    assert found.rows[0].defect_type == "unspecified"


def test_what_is_malformed_is_no_fault() -> None:
    found = coco(
        images=[image(1), image(1), {"id": 2}, {"file_name": "a"}, 5, image(3)],
        annotations=[annotation(1, 7), annotation(8), {"bbox": []}, 6],
        categories=[{"id": 1}, {"id": 2, "name": "a\nb"}],
    )
    assert [row.image for row in found.rows] == ["a/1.png", "a/3.png"]
    assert (found.rows[0].defect_type, shapes(found.rows[0])[0]["label"]) == (None, "")
    assert [(number, reason.split(":")[0]) for number, reason in found.malformed] == [
        (2, 'in "images"'),
        (3, 'in "images"'),
        (4, 'in "images"'),
        (5, 'in "images"'),
        (3, 'in "annotations"'),
        (4, 'in "annotations"'),
        (1, 'in "categories"'),
        (2, 'in "categories"'),
        (1, 'in "annotations"'),
        (2, 'in "annotations"'),
    ]
    assert 'no image has the id "8"' in found.malformed[-1][1]


def test_ids_are_compared_as_text() -> None:
    found = coco(
        images=[image(1, id="1")],
        annotations=[annotation(1, 1)],
        categories=[{"id": "1", "name": "x"}],
    )
    assert found.rows[0].defect_type == "x"


def test_other_files_are_faults() -> None:
    assert 'no list "annotations"; its keys are "images", "shapes"' in str(
        coco(images=[], shapes=[]).fault
    )
    assert "no object" in str(table("[]", "coco").fault)
    found = coco(images=[], annotations=[], extra=[{"a": [1]}])
    assert found.notes == ('Keys that COCO does not have were left out: "extra".',)


_value = st.recursive(
    st.one_of(
        st.none(),
        st.booleans(),
        st.integers(-3, 3),
        st.floats(),
        st.sampled_from(["1", "a.png", "\ud800", "ok", ""]),
    ),
    lambda values: st.one_of(
        st.lists(values, max_size=6),
        st.dictionaries(st.sampled_from(["counts", "size", "id", "name"]), values, max_size=3),
    ),
    max_leaves=8,
)
_objects = st.lists(
    st.one_of(
        _value,
        st.dictionaries(
            st.sampled_from(
                *[
                    [
                        "id",
                        "image_id",
                        "category_id",
                        "file_name",
                        "name",
                        "bbox",
                        "segmentation",
                        "width",
                    ]
                ]
            ),
            _value,
            max_size=6,
        ),
    ),
    max_size=4,
)


@pytest.mark.slow
@given(
    lists=st.dictionaries(
        st.sampled_from(["images", "annotations", "categories", "x"]), _objects, max_size=4
    )
)
def test_no_lists_make_it_fail(lists: dict[str, Any]) -> None:
    found = coco(**lists)
    for row in found.rows:
        row.image.encode()
        assert (row.shapes is None) == (row.label == "anomalous")
        assert row.shapes is None or isinstance(json.loads(row.shapes), list)
