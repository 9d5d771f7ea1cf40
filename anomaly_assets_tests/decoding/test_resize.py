"""Test both resize backends: how much they differ, and that `simd` gives the same pixels everywhere."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import PIL
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from anomaly_assets.decoding import resize
from anomaly_assets.decoding.resize import (
    BACKENDS,
    SimdUnavailableError,
    resize_image,
    why_not_simd,
)

MOST_LEVELS = 2
REAL = Path(__file__).parents[2].parent / "shared" / "real"
FILES = [path for path in sorted(REAL.rglob("*")) if path.suffix.lower() == ".png"]
HAS_PILLOW_13 = int(PIL.__version__.partition(".")[0]) >= 13
needs_simd = pytest.mark.skipif(why_not_simd() is not None, reason=str(why_not_simd()))
needs_pillow_13 = pytest.mark.skipif(not HAS_PILLOW_13, reason="Pillow has another order of passes")

sides = st.integers(1, 300)
sizes = st.tuples(sides, sides)


@st.composite
def pictures(draw: st.DrawFn) -> Image.Image:
    """Draw noise, or black and white without anything between, where rounding and clipping matter most."""
    mode = draw(st.sampled_from(["L", "RGB"]))
    width, height = draw(sizes)
    shape = (height, width) if mode == "L" else (height, width, 3)
    values = np.random.default_rng(draw(st.integers(0, 999))).integers(0, 256, shape, np.uint8)
    if draw(st.booleans()):
        values = np.where(values > 127, np.uint8(255), np.uint8(0))
    return Image.fromarray(values)


def levels_apart(one: Image.Image, other: Image.Image) -> int:
    assert (one.mode, one.size) == (other.mode, other.size)
    return int(np.abs(np.asarray(one, np.int16) - np.asarray(other, np.int16)).max())


def instruction_sets() -> Iterator[tuple[Any, Any]]:
    """Yield a resizer for each instruction set of this machine."""
    from cykooz_resizer import CpuExtensions

    for extensions in CpuExtensions:
        resizer = resize._new_resizer()
        resizer[0].cpu_extensions = extensions
        if resizer[0].cpu_extensions is extensions:
            yield resizer


@pytest.mark.slow
@needs_simd
@needs_pillow_13
@settings(max_examples=200, deadline=None)
@given(pictures(), sizes)
def test_the_laws_are_at_most_two_levels_apart(image: Image.Image, size: tuple[int, int]) -> None:
    one, other = (resize_image(image, *size, backend) for backend in BACKENDS)
    assert levels_apart(one, other) <= MOST_LEVELS


@needs_simd
@settings(max_examples=100, deadline=None)
@given(pictures(), sizes)
def test_the_order_of_the_passes_does_not_depend_on_pillow(
    image: Image.Image, size: tuple[int, int]
) -> None:
    width, height = size
    lost_width, lost_height = image.width - width, image.height - height
    if lost_height > 0 and lost_height > 2 * lost_width:
        half_way = (image.width, height)
    else:
        half_way = (width, image.height)
    passes = image.resize(half_way, Image.Resampling.LANCZOS).resize(size, Image.Resampling.LANCZOS)
    assert levels_apart(passes, resize_image(image, *size, "simd")) <= MOST_LEVELS


@pytest.mark.slow
@needs_simd
@needs_pillow_13
@pytest.mark.skipif(not FILES, reason="the real files are not beside the project")
@pytest.mark.parametrize("side", [256, pytest.param(512, marks=pytest.mark.slow)])
def test_the_laws_are_at_most_two_levels_apart_on_real_files(side: int) -> None:
    for path in FILES:
        with Image.open(path) as opened:
            for mode in ("L", "RGB"):
                image = opened.convert(mode)
                one, other = (resize_image(image, side, side, backend) for backend in BACKENDS)
                assert levels_apart(one, other) <= MOST_LEVELS, path


@needs_simd
@settings(max_examples=100, deadline=None)
@given(pictures(), sizes)
def test_every_instruction_set_gives_the_same_pixels(
    image: Image.Image, size: tuple[int, int]
) -> None:
    expected = resize_image(image, *size, "simd").tobytes()
    for resizer in instruction_sets():
        assert resize._in_two_passes(resizer, image, *size).tobytes() == expected


@needs_simd
def test_every_instruction_set_gives_the_committed_digest() -> None:
    digests = [resize._digest(resizer) for resizer in instruction_sets()]
    assert set(digests) == {resize._DIGEST}


@pytest.mark.parametrize("backend", BACKENDS)
def test_threads_at_once_and_later_calls_give_the_same_pixels(backend: str) -> None:
    if backend == "simd" and why_not_simd() is not None:
        pytest.skip(str(why_not_simd()))
    noise = np.random.default_rng(0).integers(0, 256, (64, 300, 200, 3), np.uint8)
    images = [Image.fromarray(values) for values in noise]

    def resized(image: Image.Image) -> bytes:
        return resize_image(image, 101, 99, backend).tobytes()

    expected = [resized(image) for image in images]
    with ThreadPoolExecutor(4) as pool:
        for _ in range(3):
            assert list(pool.map(resized, images)) == expected


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("mode", ["L", "RGB"])
def test_a_direction_that_keeps_its_size_is_not_filtered(backend: str, mode: str) -> None:
    if backend == "simd" and why_not_simd() is not None:
        pytest.skip(str(why_not_simd()))
    stripes = np.tile(np.array([0, 255], np.uint8), (40, 15))
    image = Image.fromarray(stripes).convert(mode)
    assert (np.asarray(resize_image(image, 30, 17, backend).convert("L")) == stripes[:17]).all()
    same = resize_image(image, *image.size, backend)
    assert same.tobytes() == image.tobytes()
    same.putpixel((0, 0), 9 if mode == "L" else (9, 9, 9))
    assert image.getpixel((0, 0)) != same.getpixel((0, 0))


@pytest.mark.slow
@pytest.mark.parametrize("backend", BACKENDS)
def test_other_threads_run_while_an_image_is_resized(backend: str) -> None:
    """Compare the longest pause of a counting thread with the time of a call.

    A call that keeps the interpreter lock stops the count from begin to end, every time. A pause on a busy
    machine has other causes as well, so one try out of twenty is enough.
    """
    if backend == "simd" and why_not_simd() is not None:
        pytest.skip(str(why_not_simd()))
    image = Image.new("RGB", (6000, 3000))
    resize_image(image, 8, 8, backend)
    interval = sys.getswitchinterval()
    sys.setswitchinterval(0.0005)
    try:
        assert any(_longest_pause(image, backend) < 0.5 for _ in range(20))
    finally:
        sys.setswitchinterval(interval)


def _longest_pause(image: Image.Image, backend: str) -> float:
    """Return the longest pause between two steps of this thread, as a share of a call in another."""
    spent: list[float] = []

    def call() -> None:
        begin = time.perf_counter()
        resize_image(image, 3000, 3000, backend)
        spent.append(time.perf_counter() - begin)

    thread = threading.Thread(target=call)
    thread.start()
    longest, last = 0.0, time.perf_counter()
    while not spent:
        now = time.perf_counter()
        longest, last = max(longest, now - last), now
    thread.join()
    return longest / spent[0]


@pytest.fixture
def fresh() -> Iterator[None]:
    """Let the check run again, in this test and after it."""

    def forget() -> None:
        why_not_simd.cache_clear()
        resize._this_thread.__dict__.clear()

    forget()
    yield
    forget()


@pytest.mark.usefixtures("fresh")
def test_without_the_package_the_reason_names_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cykooz_resizer", None)
    assert "pip install cykooz-resizer" in str(why_not_simd())
    with pytest.raises(SimdUnavailableError, match="pip install cykooz-resizer"):
        resize_image(Image.new("L", (4, 4)), 2, 2, "simd")
    assert resize_image(Image.new("L", (4, 4)), 2, 2, "pillow").size == (2, 2)


def _one_pixel_wrong(image: Image.Image) -> None:
    image.putpixel((image.width // 2, image.height // 2), 7 if image.mode == "L" else (7, 7, 7))


@needs_simd
@pytest.mark.usefixtures("fresh")
@pytest.mark.parametrize("mode", ["L", "RGB"])
def test_a_resizer_that_is_wrong_is_not_used(monkeypatch: pytest.MonkeyPatch, mode: str) -> None:
    import cykooz_resizer

    resize_pil = cykooz_resizer.Resizer.resize_pil

    def wrong(self: Any, source: Image.Image, target: Image.Image, options: Any) -> None:
        resize_pil(self, source, target, options)
        if target.mode == mode:
            _one_pixel_wrong(target)

    monkeypatch.setattr(cykooz_resizer.Resizer, "resize_pil", wrong)
    assert "other pixels" in str(why_not_simd())
    with pytest.raises(SimdUnavailableError, match="other pixels"):
        resize_image(Image.new(mode, (4, 4)), 2, 2, "simd")


@needs_simd
@pytest.mark.usefixtures("fresh")
@pytest.mark.parametrize("name", ["catmull_rom", "mitchell", "bilinear"])
def test_another_filter_fails_the_check(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    import cykooz_resizer as package

    lanczos = package.ResizeAlg.convolution(package.FilterType[name])
    monkeypatch.setattr(package.ResizeAlg, "convolution", lambda _: lanczos)
    assert "other pixels" in str(why_not_simd())


@needs_simd
@pytest.mark.usefixtures("fresh")
def test_the_other_order_of_the_passes_fails_the_check(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resize, "_height_first", lambda *_: False)
    assert "other pixels" in str(why_not_simd())


@needs_simd
@pytest.mark.usefixtures("fresh")
def test_the_check_is_made_once(monkeypatch: pytest.MonkeyPatch) -> None:
    assert why_not_simd() is None
    monkeypatch.setattr(resize, "_digest", lambda _: "another")
    resize_image(Image.new("L", (4, 4)), 2, 2, "simd")
    assert why_not_simd() is None


def test_an_unknown_law_names_those_that_exist() -> None:
    with pytest.raises(ValueError, match="pillow, simd"):
        resize_image(Image.new("L", (4, 4)), 2, 2, "opencv")


@pytest.mark.parametrize("mode", ["1", "P", "RGBA", "I;16"])
@pytest.mark.parametrize("backend", BACKENDS)
def test_an_image_of_another_mode_is_refused(mode: str, backend: str) -> None:
    with pytest.raises(ValueError, match="converted to L or RGB"):
        resize_image(Image.new(mode, (4, 4)), 2, 2, backend)
