"""Test masks of shapes: every kind, all orientations, runs of COCO, and shapes that cannot be drawn."""

import io
import json
import time
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageOps

from anomaly_assets.decoding import shapes as drawn
from anomaly_assets.decoding.orientation import orientation_of, shown_orientation
from anomaly_assets.decoding.run_lengths import decompressed
from anomaly_assets.decoding.shape import Shape
from anomaly_assets.decoding.shapes import rasterise, shapes_from_json
from anomaly_assets.decoding.transform import UnusableImageError
from anomaly_assets_tests.datasets.tables import coco

WIDTH, HEIGHT = 13, 9
ORIENTATIONS = range(1, 9)
_coordinate = st.floats(-2, 16).map(lambda number: round(number, 2))
_points = st.lists(st.tuples(_coordinate, _coordinate), min_size=3, max_size=7)


def with_orientation(image: Image.Image, orientation: int, format: str = "JPEG") -> bytes:
    exif = Image.Exif()
    exif[274] = orientation
    file = io.BytesIO()
    image.save(file, format, exif=exif)
    return file.getvalue()


def inside(x: float, y: float, points: list[tuple[float, float]]) -> bool:
    """Return whether a point is inside a polygon: a ray from it crosses an odd number of sides."""
    odd = False
    for (ax, ay), (bx, by) in zip(points, [*points[1:], points[0]], strict=True):
        if (ay > y) != (by > y) and x < (bx - ax) * (y - ay) / (by - ay) + ax:
            odd = not odd
    return odd


def near(x: float, y: float, points: list[tuple[float, float]]) -> float:
    """Return the distance of a point from the sides of a polygon."""
    least = float("inf")
    for (ax, ay), (bx, by) in zip(points, [*points[1:], points[0]], strict=True):
        length = (bx - ax) ** 2 + (by - ay) ** 2
        at = max(0, min(1, ((x - ax) * (bx - ax) + (y - ay) * (by - ay)) / length)) if length else 0
        least = min(least, np.hypot(ax + at * (bx - ax) - x, ay + at * (by - ay) - y))
    return least


def is_outside(error: UnusableImageError) -> bool:
    return error.reason == "shape_outside_image"


def rle(mask: np.ndarray, label: str = "") -> Shape:
    """Encode a mask in the simplest way."""
    counts, value = [0], 0
    for pixel in mask.T.ravel().tolist():
        if pixel != value:
            counts.append(0)
            value = pixel
        counts[-1] += 1
    return Shape("rle", label=label, counts=tuple(counts), size=mask.shape)


def compressed(counts: tuple[int, ...]) -> str:
    """Compress runs as the format of COCO defines it."""
    text = ""
    for place, count in enumerate(counts):
        number = count - counts[place - 2] if place > 2 else count
        while True:
            bits, number = number & 31, number >> 5
            ends = number == (-1 if bits & 16 else 0)
            text += chr(48 + (bits if ends else bits | 32))
            if ends:
                break
    return text


@pytest.mark.parametrize("orientation", ORIENTATIONS)
@pytest.mark.parametrize(
    "shape",
    [
        Shape("polygon", ((1, 1), (8.5, 2), (3, 6.9))),
        Shape("rectangle", ((2, 5), (7.5, 1.5))),
        Shape("circle", ((5, 4), (7, 4))),
        Shape("mask", ((3.2, 2),), pixels=np.array([[1, 1, 0], [0, 1, 1]], np.uint8)),
    ],
)
def test_shapes_on_the_shown_picture_are_turned_back(orientation: int, shape: Shape) -> None:
    numbers = np.arange(WIDTH * HEIGHT, dtype=np.int32).reshape(HEIGHT, WIDTH)
    stored = Image.fromarray(numbers)
    stored.getexif()[274] = orientation
    shown_numbers = np.asarray(ImageOps.exif_transpose(stored))
    on_shown = rasterise([shape], *shown_numbers.shape[::-1])
    assert on_shown.shape == shown_numbers.shape
    expected = np.zeros(WIDTH * HEIGHT, np.uint8)
    expected[shown_numbers.ravel()] = on_shown.ravel()
    found = rasterise([shape], WIDTH, HEIGHT, orientation)
    np.testing.assert_array_equal(found, expected.reshape(HEIGHT, WIDTH))
    assert 0 < found.sum() < found.size
    assert found.dtype == np.uint8


@pytest.mark.slow
@given(points=_points)
def test_a_polygon_has_what_is_inside_and_its_outline(points: list[tuple[float, float]]) -> None:
    try:
        found = rasterise([Shape("polygon", tuple(points))], WIDTH, HEIGHT)
    except UnusableImageError as error:
        assert is_outside(error)
        return
    assert found.any()
    pixels = [(np.floor(x), np.floor(y)) for x, y in points]
    for y, x in np.ndindex(found.shape):
        if near(x, y, pixels) > 1 and found.sum() > 1:  # one pixel is left of what is just outside
            assert found[y, x] == inside(x, y, pixels), (x, y)
    for x, y in pixels:
        if 0 <= x < WIDTH and 0 <= y < HEIGHT:
            assert found[int(y), int(x)]


@given(x=_coordinate, y=_coordinate, far_x=_coordinate, far_y=_coordinate)
def test_a_rectangle_has_each_pixel_that_it_covers_in_part(
    x: float, y: float, far_x: float, far_y: float
) -> None:
    left, right, top, bottom = min(x, far_x), max(x, far_x), min(y, far_y), max(y, far_y)
    try:
        found = rasterise([Shape("rectangle", ((x, y), (far_x, far_y)))], WIDTH, HEIGHT)
    except UnusableImageError as error:
        assert is_outside(error)
        return
    for row, column in np.ndindex(found.shape):
        if column < right and column + 1 > left and row < bottom and row + 1 > top:
            assert found[row, column]
    area = max(right - left + 2, 1) * max(bottom - top + 2, 1)
    assert 1 <= found.sum() <= area


@pytest.mark.slow
@given(x=st.floats(0, WIDTH), y=st.floats(0, HEIGHT), radius=st.floats(0, 9))
def test_a_circle_has_the_pixels_around_its_centre(x: float, y: float, radius: float) -> None:
    found = rasterise([Shape("circle", ((x, y), (x + radius, y)))], WIDTH, HEIGHT)
    assert found.any()
    for row, column in np.ndindex(found.shape):
        distance = np.hypot(column + 0.5 - x, row + 0.5 - y)
        if abs(distance - radius) > 1.5:
            assert found[row, column] == (distance < radius)


@pytest.mark.parametrize("at", [(0, 0), (4.9, 3.1), (WIDTH, HEIGHT), (-0.5, 4), (WIDTH + 0.9, 2)])
@pytest.mark.parametrize("kind", ["polygon", "rectangle", "circle"])
def test_a_shape_of_no_size_has_a_pixel(at: tuple[float, float], kind: Any) -> None:
    found = rasterise([Shape(kind, (at,) * 3)], WIDTH, HEIGHT)
    assert found.sum() == 1


def test_a_shape_outside_is_an_error() -> None:
    for points in (((20, 1), (22, 1), (22, 3)), ((-9, 1), (-5, 1), (-5, 3))):
        with pytest.raises(
            UnusableImageError, match=r'"a" from .* 13x9 pixels. Correct the annotation'
        ):
            rasterise([Shape("polygon", points, "a")], WIDTH, HEIGHT)


def test_shapes_are_united_and_none_gives_an_empty_mask() -> None:
    one, two = Shape("rectangle", ((0, 0), (4, 4))), Shape("rectangle", ((2, 2), (6, 6)))
    expected = rasterise([one], WIDTH, HEIGHT) | rasterise([two], WIDTH, HEIGHT)
    np.testing.assert_array_equal(rasterise([one, two], WIDTH, HEIGHT), expected)
    assert not rasterise([], WIDTH, HEIGHT).any()
    assert rasterise([one], WIDTH, HEIGHT).sum() == 16


@pytest.mark.slow
@given(
    bits=st.lists(st.booleans(), min_size=WIDTH * HEIGHT, max_size=WIDTH * HEIGHT),
    orientation=st.sampled_from([1, 3]),
)
def test_runs(bits: list[bool], orientation: int) -> None:
    mask = np.array(bits, np.uint8).reshape(HEIGHT, WIDTH)
    mask[0, 0] = 1
    shape = rle(mask)
    assert isinstance(shape.counts, tuple)
    text = compressed(shape.counts)
    assert decompressed(text) == shape.counts
    expected = mask if orientation == 1 else mask[::-1, ::-1]
    for counts in (shape.counts, text):
        each = Shape("rle", counts=counts, size=shape.size)
        np.testing.assert_array_equal(rasterise([each], WIDTH, HEIGHT, orientation), expected)


def test_compressed_runs_of_pycocotools() -> None:
    # Of a mask of 40 x 30 (width x height), encoded by pycocotools 2.0.11: [3:20, 5:30] and [25:28, 10:12].
    mask = np.zeros((30, 40), np.uint8)
    mask[3:20, 5:30] = 1
    mask[25:28, 10:12] = 1
    shape = Shape("rle", counts=PYCOCOTOOLS, size=(30, 40))
    np.testing.assert_array_equal(rasterise([shape], 40, 30), mask)


PYCOCOTOOLS = "i4a0=000000000HB0>0B0>8000000000000000000000000000000000Y9"


@pytest.mark.parametrize(
    "counts",
    ["", "~", "0" * 3 + "o" * 20, "P", (), (1,), (-1, 118), (0, 118), (117,), "oooooooooooo1", "é"],
)
def test_runs_that_cannot_be_read(counts: Any) -> None:
    with pytest.raises(UnusableImageError) as error:
        rasterise([Shape("rle", counts=counts, size=(HEIGHT, WIDTH))], WIDTH, HEIGHT)
    assert error.value.reason == "unreadable_shapes"


def test_runs_for_another_size() -> None:
    shape = rle(np.ones((HEIGHT, WIDTH), np.uint8))
    with pytest.raises(UnusableImageError, match="13x9 pixels, and the image has 9x13"):
        rasterise([shape], WIDTH, HEIGHT, 6)


def test_what_the_table_stores_is_read() -> None:
    mask = np.zeros((HEIGHT, WIDTH), np.uint8)
    mask[8, 12] = 1
    counts = list(rle(mask).counts)
    found = coco(
        images=[{"id": 1, "file_name": "a.png", "width": WIDTH, "height": HEIGHT}],
        annotations=[
            {"image_id": 1, "category_id": 1, "segmentation": [[0, 0, 3, 0, 3, 3]]},
            {"image_id": 1, "category_id": 1, "bbox": [5, 5, 2, 2]},
            {"image_id": 1, "segmentation": {"size": [HEIGHT, WIDTH], "counts": counts}},
        ],
        categories=[{"id": 1, "name": "dent"}],
    )
    text = found.rows[0].shapes
    assert text is not None
    shapes = shapes_from_json(text)
    assert [(each.kind, each.label) for each in shapes] == [
        ("polygon", "dent"),
        ("rectangle", "dent"),
        ("rle", ""),
    ]
    expected = mask.copy()
    expected[5:7, 5:7] = 1
    for row in range(4):
        expected[row, row:4] = 1
    np.testing.assert_array_equal(rasterise(shapes, WIDTH, HEIGHT), expected)


_value = st.recursive(
    st.one_of(
        st.none(),
        st.booleans(),
        st.integers(),
        st.floats(),
        st.sampled_from(["polygon", "rle", "rectangle", "\ud800", "0" * 9]),
    ),
    lambda values: st.one_of(
        st.lists(values, max_size=8),
        st.dictionaries(st.sampled_from(["kind", "points", "label", "counts", "size"]), values),
    ),
)


@pytest.mark.slow
@given(
    value=st.one_of(
        _value,
        st.lists(
            st.fixed_dictionaries(
                {"kind": st.sampled_from(["polygon", "rectangle", "rle"])},
                optional={
                    "points": st.lists(st.one_of(st.floats(), st.integers(-99, 99)), max_size=8),
                    "label": _value,
                    "size": st.just([5, 5]),
                    "counts": st.one_of(
                        st.lists(st.integers(-1, 25)), st.text("0123OPQop", max_size=6)
                    ),
                },
            )
        ),
    )
)
def test_no_text_makes_it_fail(value: Any) -> None:
    try:
        found = rasterise(shapes_from_json(json.dumps(value)), 5, 5)
    except UnusableImageError as error:
        assert str(error)
        str(error).encode()
    else:
        assert found.shape == (5, 5)
        assert found.max() <= 1


def test_limits_of_size_and_time(monkeypatch: pytest.MonkeyPatch) -> None:
    turns = np.linspace(0, 2 * np.pi, 20_000)
    many = tuple(zip(200 + 1e7 * np.cos(turns), 200 + 1e7 * np.sin(turns), strict=True))
    circle = Shape("circle", ((200, 200), (2e15, 200)))
    started = time.process_time()
    assert rasterise([Shape("polygon", many)], 400, 400).all()
    assert rasterise([circle], 400, 400).all()
    assert time.process_time() - started < 20
    monkeypatch.setattr(drawn, "MAX_MASK_BYTES", 99)
    with pytest.raises(UnusableImageError, match="A mask of 10x10"):
        rasterise([], 10, 10)


@pytest.mark.parametrize("orientation", ORIENTATIONS)
@pytest.mark.parametrize("format", ["JPEG", "PNG", "TIFF", "WEBP"])
def test_orientation_of_a_file(orientation: int, format: str) -> None:
    content = with_orientation(Image.new("RGB", (4, 3)), orientation, format)
    assert orientation_of(content) == orientation


def test_orientation_behind_the_pixels_of_a_png() -> None:
    content = with_orientation(Image.new("RGB", (4, 3)), 6, "PNG")
    at = content.index(b"eXIf") - 4
    end = at + 12 + int.from_bytes(content[at : at + 4], "big")
    last = content.index(b"IEND") - 4
    moved = content[:at] + content[end:last] + content[at:end] + content[last:]
    assert moved.index(b"eXIf") > moved.index(b"IDAT")
    assert orientation_of(moved) == 6


@pytest.mark.parametrize("orientation", [0, 9, 65535])
def test_orientations_that_do_not_exist(orientation: int) -> None:
    assert orientation_of(with_orientation(Image.new("RGB", (4, 3)), orientation)) == 1


@given(content=st.binary(max_size=64), start=st.integers(0, 4), cut=st.integers(0, 400))
def test_no_bytes_make_the_orientation_fail(content: bytes, start: int, cut: int) -> None:
    formats = ["JPEG", "PNG", "TIFF", "WEBP"]
    made = b"" if start == 4 else with_orientation(Image.new("RGB", (4, 3)), 6, formats[start])
    assert orientation_of(made[:cut] + content) in ORIENTATIONS
    assert orientation_of(made[:cut] + content + made[cut + len(content) :]) in ORIENTATIONS


def test_the_size_that_the_tool_wrote_down_decides() -> None:
    for orientation in ORIENTATIONS:
        shown = (9, 13) if orientation > 4 else (13, 9)
        assert shown_orientation(shown, (13, 9), orientation) == orientation
        assert shown_orientation((None, 9), (13, 9), orientation) == orientation
        assert shown_orientation((7, 7), (7, 7), orientation) == orientation
    assert shown_orientation((13, 9), (13, 9), 6) == 1
    with pytest.raises(UnusableImageError, match="picture of 26x18 pixels, and the image has 9x13"):
        shown_orientation((26, 18), (13, 9), 6)


def test_a_vertex_far_outside_bends_no_edge() -> None:
    """Check that the edge from (0, 0) to (9000, 300) has the slope 1/30, also within the picture."""
    triangle = [Shape("polygon", ((0.0, 0.0), (9000.0, 300.0), (0.0, 300.0)))]
    mask = rasterise(triangle, 90, 30)
    assert abs(mask.argmax(axis=0) - np.arange(90) / 30).max() <= 1
