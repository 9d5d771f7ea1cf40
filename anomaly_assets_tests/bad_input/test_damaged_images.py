"""Test that unusable PNGs are rejected by name with a reason, and that all other files load."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from anomaly_assets_tests.bad_input.files import encoded
from anomaly_assets_tests.bad_input.loading import (
    DECODERS,
    Outcome,
    decode_all,
    decoding_with,
    load_all,
    offenders,
)
from anomaly_assets_tests.decoding.pictures import SIGNATURE, png
from anomaly_assets_tests.warehouse.project import SIZE, Project, mask, noise

WHOLE = png(noise(1))
RANDOM = np.random.default_rng(0).bytes(3000)

DAMAGED = {
    "zero bytes": (b"", "empty_file"),
    "one byte": (b"\x89", "truncated_image"),
    "truncated in its header": (WHOLE[:20], "truncated_image"),
    "truncated in its pixels": (WHOLE[: len(WHOLE) // 2], "truncated_image"),
    "a truncated jpeg": (encoded(noise(2), "JPEG")[:-50], "truncated_image"),
    "a truncated tiff": (encoded(noise(2), "TIFF")[:-50], "truncated_image"),
    "a truncated webp": (encoded(noise(2), "WEBP")[:-50], "truncated_image"),
    "a truncated bmp": (encoded(noise(2), "BMP")[:-50], "truncated_image"),
    "thousand zeros": (bytes(1000), "only_zero_bytes"),
    "random bytes": (RANDOM, "not_an_image"),
    "random bytes behind a signature": (SIGNATURE + RANDOM, "truncated_image"),
    "a text": (b"The picture is in the other folder.\n", "text_file"),
    "a web page": (b"<!DOCTYPE html><title>404</title>", "html_page"),
    "a web page of a login": (b"\xef\xbb\xbf\n<!-- proxy -->\n<HTML><body>Log in", "html_page"),
    "a pointer to a large file": (
        b"version https://git-lfs.github.com/spec/v1\n",
        "git_lfs_pointer",
    ),
    "a pointer of git-annex": (b"/annex/objects/SHA256E-s1--00.png\n", "git_annex_pointer"),
    "a gif": (encoded(noise(2), "GIF"), "unsupported_format"),
    "a postscript": (b"%!PS-Adobe-3.0 EPSF-3.0\n(hello) print\n", "unsupported_format"),
    "text line ends": (WHOLE.replace(b"\r\n", b"\n"), "damaged_image"),
    "a whole zip": (b"PK\x03\x04" + RANDOM, "unsupported_format"),
}
DAMAGED_PATHS = {f"bottle/train/good/{name}.png": fault for name, fault in DAMAGED.items()}
GOOD_PATHS = [f"bottle/train/good/{number:03}.png" for number in range(3)]


@pytest.fixture(scope="module", params=["pillow", "wuffs"])
def loaded(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Project, Outcome]:
    """Load three good images between all the damaged ones."""
    project = Project.at(tmp_path_factory.mktemp("damaged"))
    project.save({f"mvtec_ad/{path}": noise(seed) for seed, path in enumerate(GOOD_PATHS)})
    for path, (content, _) in DAMAGED_PATHS.items():
        project.path(f"mvtec_ad/{path}").write_bytes(content)
    with decoding_with(request.param):
        return project, load_all(project)


@pytest.mark.slow
@pytest.mark.parametrize("name", DAMAGED)
def test_a_damaged_file_is_rejected_by_name_with_its_reason(
    loaded: tuple[Project, Outcome], name: str
) -> None:
    path = f"bottle/train/good/{name}.png"
    assert loaded[1].rejected[path] == DAMAGED[name][1]
    assert path not in loaded[1].samples


def test_all_other_images_load_with_their_own_pixels(loaded: tuple[Project, Outcome]) -> None:
    project, outcome = loaded
    assert outcome.samples == dict.fromkeys(GOOD_PATHS)
    for seed, path in enumerate(GOOD_PATHS):
        expected = noise(seed).resize((6, 8), Image.Resampling.LANCZOS)
        assert np.array_equal(project.tensor(f"mvtec_ad/{path}"), np.asarray(expected))


def test_the_check_names_exactly_the_damaged_files_with_reason_and_detail(
    loaded: tuple[Project, Outcome],
) -> None:
    named = offenders(loaded[0], "images_are_usable")
    assert named.keys() == DAMAGED_PATHS.keys()
    for path, (content, reason) in DAMAGED_PATHS.items():
        detail = named[path] or ""
        assert detail.startswith(f"{reason}: ")
        assert len(detail) < 600
        if reason == "not_an_image":
            assert content[:8].hex(" ") in detail
    assert loaded[1].strays == {}


@pytest.mark.slow
@DECODERS
def test_a_damaged_mask_is_rejected_and_its_image_loads_without_one(
    tmp_path: Path, decode_with: str
) -> None:
    project = Project.at(tmp_path)
    whole = "mvtec_ad/bottle/ground_truth/cut/whole_mask.png"
    project.save({whole: mask((0, 0, *SIZE))})
    for name in [*DAMAGED, "whole"]:
        project.save({f"mvtec_ad/bottle/test/cut/{name}.png": noise(1)})
    for name, (content, _) in DAMAGED.items():
        project.path(f"mvtec_ad/bottle/ground_truth/cut/{name}_mask.png").write_bytes(content)
    with decoding_with(decode_with):
        outcome = decode_all(project)
    without = {f"bottle/test/cut/{name}.png": None for name in DAMAGED}
    assert outcome.samples == {**without, "bottle/test/cut/whole.png": bytes([1] * 48)}
    assert outcome.rejected == {
        f"bottle/ground_truth/cut/{name}_mask.png": reason for name, (_, reason) in DAMAGED.items()
    }
    assert offenders(project, "images_are_usable").keys() == outcome.rejected.keys()
