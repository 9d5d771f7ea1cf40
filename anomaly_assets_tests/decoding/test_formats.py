"""Test that files are decoded by content: every format, any name, large metadata, rotated pictures."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, PngImagePlugin

from anomaly_assets.decoding.content import webp_size
from anomaly_assets.decoding.transform import (
    ALL_FORMATS,
    UnusableImageError,
    decode_image,
    decode_mask,
)
from anomaly_assets.recipes import Recipe
from anomaly_assets_tests.bad_input.loading import DECODERS, decoding_with, offenders
from anomaly_assets_tests.decoding.pictures import picture, png
from anomaly_assets_tests.warehouse.project import Project, mask, noise

SPEC = Recipe(16, 24, 3)
IMAGE = picture("RGB", (24, 16))
PIXELS = np.asarray(IMAGE)


def saved(image: Image.Image, file_format: str, **options: Any) -> bytes:
    file = io.BytesIO()
    image.save(file, file_format, **options)
    return file.getvalue()


@pytest.mark.parametrize(
    ("file_format", "options"),
    [
        ("PNG", {}), ("BMP", {}), ("TIFF", {}), ("TIFF", {"compression": "tiff_lzw"}),
        ("WEBP", {"lossless": True}),
    ],
)  # fmt: skip
def test_every_format_gives_its_pixels(file_format: str, options: dict[str, Any]) -> None:
    content = saved(IMAGE, file_format, **options)
    found = decode_image(content, SPEC)
    assert np.array_equal(found.pixels, PIXELS)
    assert found.file_format == file_format
    assert decode_mask(content, SPEC).file_format == file_format


@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK"])
def test_a_jpeg_gives_the_pixels_that_pillow_reads(mode: str) -> None:
    content = saved(picture("RGB", (24, 16)).convert(mode), "JPEG")
    expected = np.asarray(Image.open(io.BytesIO(content)).convert("RGB"))
    assert np.array_equal(decode_image(content, SPEC).pixels, expected)


@pytest.mark.parametrize("file_format", ["JPEG", "PNG", "TIFF", "WEBP"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_the_orientation_is_not_applied_in_any_format(file_format: str, orientation: int) -> None:
    exif = Image.Exif()
    exif[274] = orientation
    plain = decode_image(saved(IMAGE, file_format), SPEC)
    turned = decode_image(saved(IMAGE, file_format, exif=exif), SPEC)
    assert np.array_equal(turned.pixels, plain.pixels)
    assert (turned.original_width, turned.original_height) == (24, 16)
    assert decode_mask(saved(IMAGE, file_format, exif=exif), SPEC).width == 24


@pytest.mark.parametrize("file_format", ["TIFF", "WEBP", "PNG"])
def test_the_first_page_or_frame_counts(file_format: str) -> None:
    options = {"save_all": True, "append_images": [picture("RGB", (24, 16), 5)]}
    lossless = {"lossless": True} if file_format == "WEBP" else {}
    content = saved(IMAGE, file_format, **options, **lossless)
    assert np.array_equal(decode_image(content, SPEC).pixels, PIXELS)


def text_of(characters: int, *, international: bool) -> PngImagePlugin.PngInfo:
    text = PngImagePlugin.PngInfo()
    (text.add_itxt if international else text.add_text)("Comment", "x" * characters, zip=True)
    return text


@DECODERS
@pytest.mark.parametrize(
    "options",
    [
        {"icc_profile": bytes(2_000_000)},
        {"pnginfo": text_of(1_500_000, international=False)},
        {"pnginfo": text_of(3_000_000, international=True)},
    ],
    ids=["profile", "text", "international text"],
)
def test_large_metadata_does_not_decide_whether_pixels_load(
    options: dict[str, Any], decode_with: str
) -> None:
    content = png(IMAGE, **options)
    with decoding_with(decode_with):
        assert np.array_equal(decode_image(content, SPEC).pixels, PIXELS)
        assert decode_mask(content, SPEC).width == 24


@pytest.mark.slow
def test_files_with_the_suffix_of_another_format_load_and_are_named(tmp_path: Path) -> None:
    project = Project.at(tmp_path)
    good, cut = "mvtec_ad/bottle/train/good/", "mvtec_ad/bottle/test/cut/000.png"
    drawn = "mvtec_ad/bottle/ground_truth/cut/000_mask.png"
    project.save({f"{good}0.png": noise(0), f"{good}1.png": noise(1), cut: noise(2)})
    project.save({drawn: mask((0, 0, 3, 3))})
    project.path(f"{good}1.png").write_bytes(saved(noise(1), "JPEG"))
    project.path(drawn).write_bytes(saved(mask((0, 0, 3, 3)), "BMP"))
    project.list_files()
    assert project.build().decoded == 3
    assert offenders(project, "names_match_formats") == {
        f"{good}1.png": "1.png is a JPEG file",
        cut: "000_mask.png is a BMP file",
    }
    assert set(ALL_FORMATS) >= set(project.column("SELECT file_format FROM facts"))


@pytest.mark.slow
def test_facts_have_format_and_depth_of_the_file_and_format_of_its_mask(tmp_path: Path) -> None:
    project = Project.at(tmp_path)
    project.save({"mvtec_ad/bottle/test/cut/0.png": noise(0)})
    project.save(
        {"mvtec_ad/bottle/test/cut/1.png": Image.fromarray(np.full((8, 6), 900, np.uint16))}
    )
    drawn = project.path("mvtec_ad/bottle/ground_truth/cut/0_mask.png")
    drawn.write_bytes(saved(mask((0, 0, 3, 3)), "WEBP"))
    project.list_files()
    project.build(depths={"mvtec_ad": 10})
    query = "SELECT file_format, bit_depth, mask_file_format FROM facts ORDER BY image_id"
    assert project.rows(query) == [("PNG", 8, "WEBP"), ("PNG", 10, None)]


def test_a_webp_with_too_many_pixels_is_refused_before_it_takes_their_memory() -> None:
    for options in ({}, {"lossless": True}, {"icc_profile": b"profile"}):
        assert webp_size(saved(IMAGE, "WEBP", **options)) == (24, 16)
    large = bytearray(saved(IMAGE, "WEBP", icc_profile=b"profile"))
    large[24:30] = (9_999).to_bytes(3, "little") * 2
    with pytest.raises(UnusableImageError, match="10000x10000, above"):
        decode_image(bytes(large), SPEC)


@pytest.mark.slow
def test_images_that_an_earlier_release_clipped_or_rejected_are_decoded_again(
    tmp_path: Path,
) -> None:
    project = Project.at(tmp_path)
    deep, other = (f"mvtec_ad/bottle/train/good/{name}.png" for name in ("deep", "other"))
    project.save({f"mvtec_ad/bottle/train/good/{n}.png": noise(n) for n in range(9)})
    project.save({other: noise(9)})
    project.save({deep: Image.fromarray(np.full((8, 6), 4095, np.uint16))})
    project.path(other).write_bytes(saved(noise(9), "BMP"))
    project.list_files()

    def outcome(**depths: int) -> tuple[int, int, int, dict[str, int]]:
        report = project.build(depths=depths)
        return report.added, report.changed, report.removed, dict(report.rejections)

    assert outcome(mvtec_ad=12) == (11, 0, 0, {})
    with project.warehouse.connect() as connection:
        connection.execute("UPDATE image_tensors SET transform = 'lanczos-8x6x3'")  # as 0.1.0 did
    assert project.column("SELECT image_id FROM image_tensors WHERE original_mode = 'I;16'") == [
        deep
    ]
    assert offenders(project, "images_have_8_bits") == {deep: "mode I;16"}
    assert outcome(mvtec_ad=12) == (0, 1, 0, {})
    assert offenders(project, "images_have_8_bits") == {}
    assert outcome(mvtec_ad=12) == (0, 0, 0, {})
    assert outcome(mvtec_ad=14) == (0, 1, 0, {})
    assert outcome() == (0, 0, 1, {"needs_bit_depth": 1})
    assert outcome() == (0, 0, 0, {})
    assert outcome(mvtec_ad=12) == (1, 0, 0, {})

    with project.warehouse.connect() as connection:
        connection.execute("DELETE FROM image_tensors WHERE image_id = ?", [other])
        connection.execute(
            "INSERT INTO rejected_images SELECT image_id, relative_path, file_version, 'lanczos-8x6x3', "
            "'not_a_png', 'The file does not start as a PNG does.', now() FROM images WHERE image_id = ?",
            [other],
        )
    assert outcome(mvtec_ad=12) == (1, 0, 0, {})
