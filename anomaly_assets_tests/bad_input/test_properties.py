"""Test properties that hold for any path, any labels file, and any damage to a PNG."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from PIL import Image

from anomaly_assets.catalogue.listing import list_catalog
from anomaly_assets.datasets import SOURCE_DATASETS
from anomaly_assets.datasets.dagm_labels import parse_labels
from anomaly_assets.datasets.names import as_text
from anomaly_assets.datasets.record import Ignored, ImageFile, MaskFile, Stray, TableFile
from anomaly_assets.decoding.transform import (
    DecodedImage,
    DecodedMask,
    UnusableImageError,
    decode_image,
    decode_mask,
)
from anomaly_assets.recipes import Recipe
from anomaly_assets_tests.bad_input.files import animated, encoded
from anomaly_assets_tests.bad_input.loading import decoding_with
from anomaly_assets_tests.bad_input.test_roots_as_a_whole import Listed
from anomaly_assets_tests.datasets.paths import any_path
from anomaly_assets_tests.decoding.pictures import (
    MODES,
    interlaced,
    picture,
    png,
    sixteen_bit_colour,
)
from anomaly_assets_tests.sampled import SAMPLED

DATASETS = pytest.mark.parametrize("name", SAMPLED)
BOUNDED = settings(max_examples=150, deadline=None)
RECORDS = (ImageFile, MaskFile, TableFile, Ignored, Stray)
REASONS = {
    "empty_file", "truncated_image", "text_file", "not_an_image", "only_zero_bytes", "damaged_image",
    "too_many_pixels", "needs_bit_depth", "unsupported_format", "html_page",
    "git_lfs_pointer", "git_annex_pointer",
}  # fmt: skip
GREY = np.asarray(picture("L", (24, 16)))

WHOLE = [
    *(png(picture(mode, (24, 16))) for mode in MODES),
    interlaced(GREY),
    sixteen_bit_colour(np.arange(24 * 16 * 3).reshape(16, 24, 3) * 50),
    png(picture("L", (24, 16)), transparency=0),
    animated((24, 16), GREY, (24, 16, 0, 0)),
    animated((24, 16), np.asarray(picture("L", (7, 5))), (7, 5, 3, 4)),
]
"""A PNG of every kind."""

near_the_layout = st.lists(
    st.sampled_from(
        ["train", "test", "ground_truth", "good", "cut", "Train", "Test", "Label", "Class1", "bottle"]
    ),
    max_size=4,
).flatmap(
    lambda folders: st.sampled_from(
        ["0.png", "0.PNG", "0_mask.png", "0_label.PNG", "Labels.txt", "readme.txt", "0.jpg"]
    ).map(lambda name: "/".join([*folders, name]))
)  # fmt: skip


def verdict(decode: Callable[..., DecodedImage | DecodedMask], content: bytes) -> object:
    """Return the result of decoding: all attributes as text, or the reason."""
    try:
        made = decode(content, Recipe(16, 24, 3))
    except UnusableImageError as error:
        return error.reason
    pixels = made.pixels
    assert pixels.dtype == np.uint8
    assert pixels.shape == ((16, 24, 3) if decode is decode_image else (16, 24))
    return repr(made), pixels.tobytes()


def assert_decoders_agree(content: bytes) -> None:
    for decode in (decode_image, decode_mask):
        with decoding_with("pillow"):
            expected = verdict(decode, content)
        if isinstance(expected, str):
            assert expected in REASONS
        with decoding_with("wuffs"):
            assert verdict(decode, content) == expected


@pytest.mark.slow
@DATASETS
@given(path=any_path | near_the_layout)
@example(path="\x00")
@example(path="a" * 70_000 + "/train/good/0.png")
@example(path="/" * 1000)
@example(path="../train/good/0.png")
@example(path="/train/good/0.png")
@BOUNDED
def test_any_path_is_exactly_one_kind_of_file_and_never_outside_of_the_root(
    name: str, path: str
) -> None:
    record = SOURCE_DATASETS[name].classify(path)
    assert sum(type(record) is kind for kind in RECORDS) == 1
    if isinstance(record, (ImageFile, MaskFile, TableFile)):
        assert not {"", ".", ".."} & set(record.relative_path.split("/"))
        assert record.category


@pytest.mark.slow
@DATASETS
@given(paths=st.lists(near_the_layout | any_path, max_size=12, unique_by=as_text))
@BOUNDED
def test_no_file_below_a_root_disappears(name: str, paths: list[str]) -> None:
    """Assert that every file is an image, the mask of an image, labels, a stray, or ignored."""
    dataset = SOURCE_DATASETS[name]
    catalog = list_catalog(dataset, Listed(paths))
    records = {path: dataset.classify(path) for path in paths}
    strays = set(catalog.stray_files["relative_path"].to_pylist())
    used = {
        as_text(path)
        for column in ("source_uri", "mask_source_uri")
        for uri in catalog.images[column].to_pylist()
        if uri and (path := Listed.path_of(Listed(paths), uri)) is not None
    }
    labels = {as_text(path) for path in paths if path.lower().endswith("labels.txt")}
    assert catalog.stray_files.num_rows == len(strays)
    assert catalog.ignored == sum(type(record) is Ignored for record in records.values())
    # Every path in the table of strays exists, and every file is in one table or ignored.
    assert strays <= set(map(as_text, paths))
    for path, record in records.items():
        assert isinstance(record, Ignored) or as_text(path) in used | strays | labels


@given(
    st.binary(max_size=300)
    | st.text(max_size=100).map(lambda text: text.encode("utf-8", "replace"))
)
@example(b"1\t1\t" + b"x" * 256)
@example(b"\x00\t1\t\x00")
@example("1\t1\t\N{LINE SEPARATOR}.PNG".encode())
@BOUNDED
def test_any_labels_give_short_names_and_numbers_of_lines(content: bytes) -> None:
    labels = parse_labels(content)
    assert set(labels.label_index_of.values()) <= {0, 1}
    assert all(0 < len(name) <= 255 for name in labels.label_index_of)
    assert len(labels.malformed_lines) == len(set(labels.malformed_lines))


@pytest.mark.slow
@given(
    mode=st.sampled_from(MODES),
    size=st.tuples(st.integers(1, 100), st.integers(1, 100)),
    spec=st.builds(Recipe, st.integers(1, 64), st.integers(1, 64), st.sampled_from([1, 3])),
    colour=st.integers(0, 255),
)
@BOUNDED
def test_any_mode_and_size_give_the_promised_shape(
    mode: str, size: tuple[int, int], spec: Recipe, colour: int
) -> None:
    content = png(Image.new("L", size, colour).convert(mode, dither=Image.Dither.NONE))
    image, mask = decode_image(content, spec, depth=16), decode_mask(content, spec)
    assert image.pixels.shape == (spec.height, spec.width, spec.channels)
    assert mask.pixels.shape == (spec.height, spec.width)
    assert image.pixels.dtype == mask.pixels.dtype == np.uint8
    assert (image.original_width, image.original_height) == (mask.width, mask.height) == size
    assert mask.values == 1
    assert len(np.unique(image.pixels)) == len(np.unique(mask.pixels)) == 1


@given(content=st.sampled_from(WHOLE), share=st.floats(0, 1))
@BOUNDED
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_decoders_agree_on_a_png_of_any_kind_that_was_cut_off(content: bytes, share: float) -> None:
    assert_decoders_agree(content[: int(share * len(content))])


@pytest.mark.slow
@given(
    content=st.sampled_from(WHOLE),
    flips=st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.integers(0, 7)), max_size=4),
)
@BOUNDED
@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
def test_decoders_agree_on_a_png_of_any_kind_with_flipped_bits(
    content: bytes, flips: list[tuple[float, int]]
) -> None:
    damaged = bytearray(content)
    for share, bit in flips:
        damaged[int(share * len(damaged))] ^= 1 << bit
    assert_decoders_agree(bytes(damaged))


@pytest.mark.slow
@given(
    content=st.sampled_from(WHOLE),
    start=st.floats(0, 1),
    removed=st.integers(0, 40),
    inserted=st.binary(max_size=40),
)
@BOUNDED
@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
def test_decoders_agree_on_a_png_of_any_kind_with_other_bytes_in_it(
    content: bytes, start: float, removed: int, inserted: bytes
) -> None:
    position = int(start * len(content))
    assert_decoders_agree(content[:position] + inserted + content[position + removed :])


@given(content=st.binary(max_size=500), file_format=st.sampled_from(["", "GIF", "PPM"]))
@BOUNDED
def test_any_bytes_and_any_other_format_are_refused_and_raise_nothing_else(
    content: bytes, file_format: str
) -> None:
    if file_format:
        content = encoded(picture("L", (24, 16)), file_format) + content
    for decode in (decode_image, decode_mask):
        assert verdict(decode, content) in REASONS
