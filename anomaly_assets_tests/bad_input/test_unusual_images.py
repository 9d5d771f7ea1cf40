"""Test that unusual PNGs are loaded as documented, or rejected, in limited memory and time.

The result does not depend on whether the faster decoder is installed.
"""

from __future__ import annotations

import json
import struct
import subprocess
import sys
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageCms

from anomaly_assets.decoding.transform import UInt8Array, decode_image
from anomaly_assets.recipes import Recipe
from anomaly_assets_tests.bad_input.files import (
    ANIMATION,
    END,
    animated,
    frame,
    pixels,
)
from anomaly_assets_tests.bad_input.loading import (
    DECODERS,
    decode_all,
    decoding_with,
    offenders,
)
from anomaly_assets_tests.decoding.pictures import (
    chunk,
    header,
    interlaced,
    picture,
    png,
    sixteen_bit_colour,
)
from anomaly_assets_tests.warehouse.project import SIZE, SPEC, Project

WIDTH, HEIGHT = SIZE
GREY: UInt8Array = np.asarray(picture("L", SIZE))
COLOUR: UInt8Array = np.asarray(picture("RGB", SIZE))
PALETTE = picture("P", SIZE)
SMALL: UInt8Array = np.asarray(picture("L", (7, 5)))
EXIF = Image.Exif()
EXIF[0x0112] = 6  # turn right
PROFILE = ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB")).tobytes()
ZEROS = zlib.compress(bytes(50_000_000), 1)


def on_canvas(small: UInt8Array, left: int, top: int) -> UInt8Array:
    canvas = np.zeros((HEIGHT, WIDTH), np.uint8)
    canvas[top : top + small.shape[0], left : left + small.shape[1]] = small
    return canvas


def stored(grey: UInt8Array, *before: bytes, behind: bytes = b"") -> bytes:
    """Return a PNG of these grey values with chunks before and behind them."""
    content = chunk(b"IDAT", pixels(grey))
    return header(WIDTH, HEIGHT) + b"".join(before) + content + behind + END


LOADED: dict[str, tuple[bytes, str, UInt8Array]] = {
    "plain": (png(Image.fromarray(GREY)), "L", GREY),
    "interlaced": (interlaced(GREY), "L", GREY),
    "gamma": (stored(GREY, chunk(b"gAMA", struct.pack(">I", 10_000))), "L", GREY),
    "profile": (png(Image.fromarray(COLOUR), icc_profile=PROFILE), "RGB", COLOUR),
    "turned by EXIF": (png(Image.fromarray(COLOUR), exif=EXIF), "RGB", COLOUR),
    "palette with transparency": (
        png(PALETTE, transparency=bytes(range(256))), "P", np.asarray(PALETTE.convert("RGB")),
    ),
    "animation": (animated(SIZE, GREY, (*SIZE, 0, 0)), "L", GREY),
    "animation with a small first frame": (
        animated(SIZE, SMALL, (7, 5, 3, 4)), "L", on_canvas(SMALL, 3, 4),
    ),
    "animation whose default picture is no frame": (
        stored(GREY, ANIMATION, behind=frame(0, *SIZE) + chunk(b"fdAT", bytes(4) + pixels(GREY))),
        "L", GREY,
    ),
    "animation of two milliards of frames": (
        stored(GREY, chunk(b"acTL", struct.pack(">II", 2**31, 0)), frame(0, *SIZE)), "L", GREY,
    ),
    "a long text": (stored(GREY, chunk(b"tEXt", b"Comment\0" + b"x" * 3_000_000)), "L", GREY),
    "a long text behind the pixels": (
        stored(GREY, behind=chunk(b"tEXt", b"Comment\0" + b"x" * 3_000_000)), "L", GREY,
    ),
    "an unknown chunk of 3 MB": (stored(GREY, chunk(b"zzZz", bytes(3_000_000))), "L", GREY),
    "a compressed text of 50 MB": (
        stored(GREY, chunk(b"zTXt", b"Comment\0\0" + ZEROS)) , "L", GREY,
    ),
    "a compressed international text of 50 MB": (
        stored(GREY, chunk(b"iTXt", b"Comment\0\1\0\0\0" + ZEROS)) , "L", GREY,
    ),
    "a compressed text of 50 MB behind the pixels": (
        stored(GREY, behind=chunk(b"zTXt", b"Comment\0\0" + ZEROS)) , "L", GREY,
    ),
    "texts of 70 MB": (
        stored(GREY, *[chunk(b"tEXt", b"Comment\0" + bytes(10_000_000))] * 7) , "L", GREY,
    ),
    "a profile of 50 MB": (stored(GREY, chunk(b"iCCP", b"ICC\0\0" + ZEROS)), "L", GREY),
    "pixels that go on for 50 MB": (
        header(WIDTH, HEIGHT)
        + chunk(b"IDAT", zlib.compress(zlib.decompress(pixels(GREY)) + bytes(50_000_000), 1))
        + END,
        "L", GREY,
    ),
}  # fmt: skip

REJECTED: dict[str, tuple[bytes, str]] = {
    "60,000 x 60,000": (header(60_000, 60_000) + chunk(b"IDAT", ZEROS) + END, "too_many_pixels"),
    "1 x 64 millions": (header(1, 64_000_000) + chunk(b"IDAT", ZEROS) + END, "too_long"),
    "1 x 2 milliards": (header(1, 2**31 - 1) + chunk(b"IDAT", ZEROS) + END, "too_many_pixels"),
    "no width": (header(0, 16) + chunk(b"IDAT", ZEROS) + END, "damaged_image"),
    "16-bit grey": (
        png(Image.frombytes("I;16", SIZE, np.full(384, 300, "<u2").tobytes())), "needs_bit_depth",
    ),
    "16-bit colour": (
        sixteen_bit_colour(np.full((HEIGHT, WIDTH, 3), 0x05FF)), "needs_bit_depth",
    ),
    "a chunk that claims two gigabytes": (
        header(WIDTH, HEIGHT) + struct.pack(">I", 2**31 - 1) + b"tEXtComment\0", "truncated_image",
    ),
    "a first frame outside of the canvas": (
        animated(SIZE, SMALL, (7, 5, 20, 14)), "damaged_image",
    ),
    "a first frame that is larger than its header": (
        animated(SIZE, GREY, (7, 5, 3, 4)), "damaged_image",
    ),
    "a first frame that is larger than its header, and no other": (
        stored(GREY, ANIMATION, frame(0, 7, 5, 3, 4)), "damaged_image",
    ),
    "an unknown kind of colour": (
        header(WIDTH, HEIGHT, colour=5) + chunk(b"IDAT", pixels(GREY)) + END, "damaged_image",
    ),
}  # fmt: skip

CONTENTS = {name: content for name, (content, *_) in (LOADED | REJECTED).items()}


@pytest.mark.slow
@DECODERS
@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
@pytest.mark.filterwarnings("ignore:Palette images with Transparency")
@pytest.mark.filterwarnings("ignore:Invalid APNG")
def test_every_unusual_file_is_loaded_or_rejected_as_documented(
    tmp_path: Path, decode_with: str
) -> None:
    project = Project.at(tmp_path)
    for name, content in CONTENTS.items():
        project.path(f"mvtec_ad/bottle/train/good/{name}.png").write_bytes(content)
    with decoding_with(decode_with):
        outcome = decode_all(project, workers=2)
    assert outcome.rejected == {
        f"bottle/train/good/{name}.png": reason for name, (_, reason) in REJECTED.items()
    }
    query = "SELECT filename, original_mode, original_width, original_height FROM samples"
    assert {name: kind for name, *kind in project.rows(query)} == {
        f"{name}.png": [mode, WIDTH, HEIGHT] for name, (_, mode, _) in LOADED.items()
    }
    for name, (_, _, values) in LOADED.items():
        resized = Image.fromarray(values).resize(
            (SPEC.width, SPEC.height), Image.Resampling.LANCZOS
        )
        made = project.tensor(f"mvtec_ad/bottle/train/good/{name}.png")
        assert np.array_equal(made, np.asarray(resized.convert("RGB"))), name
    assert offenders(project, "images_have_8_bits") == {}


@DECODERS
@pytest.mark.parametrize("name", LOADED)
@pytest.mark.filterwarnings("ignore:Palette images with Transparency")
@pytest.mark.filterwarnings("ignore:Invalid APNG")
def test_both_decoders_give_the_stored_pixels(name: str, decode_with: str) -> None:
    content, _, values = LOADED[name]
    with decoding_with(decode_with):
        decoded = decode_image(content, Recipe(HEIGHT, WIDTH, 3))
    assert np.array_equal(decoded.pixels, np.asarray(Image.fromarray(values).convert("RGB")))


_MEASURE = """
import json, pathlib, resource, sys, time
from anomaly_assets.decoding import png as decoder
from anomaly_assets.recipes import Recipe
from anomaly_assets.decoding.transform import UnusableImageError, decode_image, decode_mask
if sys.argv[2] == "pillow":
    decoder.wuffs = lambda: None
decoder.wuffs()
files = sorted(pathlib.Path(sys.argv[1]).iterdir())
largest = max(file.stat().st_size for file in files)
before, started = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.monotonic()
for file in files:
    for decode in (decode_image, decode_mask):
        try:
            decode(file.read_bytes(), Recipe(8, 6, 3))
        except UnusableImageError:
            pass
grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
print(json.dumps([grown * 1024, largest, time.monotonic() - started]))
"""


@pytest.mark.slow
@DECODERS
def test_bombs_take_little_more_memory_than_their_files_and_hardly_any_time(
    tmp_path: Path, decode_with: str
) -> None:
    with decoding_with(decode_with):
        for number, content in enumerate(CONTENTS.values()):
            (tmp_path / f"{number}.png").write_bytes(content)
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", _MEASURE, str(tmp_path), decode_with],
        capture_output=True, check=True, text=True,
    )  # fmt: skip
    grown_bytes, largest_file_bytes, seconds = json.loads(done.stdout)
    assert grown_bytes < 3 * largest_file_bytes + 30_000_000
    assert seconds < 20
