"""Test that faults of the machine reject no file: they are retried, and then end the run."""

from __future__ import annotations

import errno
import pickle
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from anomaly_assets import buffers
from anomaly_assets.decoding import batch as decode
from anomaly_assets.decoding import open as compute
from anomaly_assets.decoding import png as decoder
from anomaly_assets.decoding import transform
from anomaly_assets.decoding.batch import DecodingError
from anomaly_assets.decoding.transform import (
    DecodedImage,
    DecodedMask,
    UnusableImageError,
    decode_image,
    decode_mask,
)
from anomaly_assets.recipes import Recipe
from anomaly_assets.roots import folder as folders
from anomaly_assets.roots.open import open_root
from anomaly_assets_tests.bad_input.test_properties import WHOLE
from anomaly_assets_tests.decoding.pictures import picture, png
from anomaly_assets_tests.warehouse.project import Project

SPEC = Recipe(8, 6, 3)
SOUND = png(picture("RGB", (24, 16)))
FAULTS = [
    MemoryError(),
    OSError(errno.ENOMEM, "Cannot allocate memory"),
    OSError(errno.EIO, "Input/output error"),
    OSError("out of memory when reading image file"),
    OSError("codec configuration error when reading image file"),
    OSError("decoder zip not available"),
    ImportError("libjpeg.so.8: cannot open shared object file"),
    KeyError("PNG"),
    AttributeError("'tuple' object has no attribute 'args'"),
    TypeError("an argument is missing"),
    RuntimeError("can't start new thread"),
]
PLACES: dict[str, tuple[object, str]] = {
    "opening": (transform.Image, "open"),
    "loading": (decoder, "load"),
    "converting": (Image.Image, "convert"),
    "resizing": (Image.Image, "resize"),
}
IMAGES = [f"mvtec_ad/bottle/train/good/{number:03}.png" for number in range(3)]


def failing(error: Exception) -> Callable[..., object]:
    def fail(*_: object, **__: object) -> object:
        raise error

    return fail


@pytest.mark.parametrize("decode_it", [decode_image, decode_mask])
@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("fault", FAULTS, ids=repr)
def test_a_fault_of_the_machine_is_raised_as_it_is(
    decode_it: Callable[..., DecodedImage | DecodedMask],
    place: str,
    fault: Exception,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    module, name = PLACES[place]
    monkeypatch.setattr(module, name, failing(fault))
    with pytest.raises(type(fault)) as raised:
        decode_it(png(picture("P", (24, 16))), SPEC)
    assert raised.value is fault


@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    content=st.binary(max_size=300) | st.sampled_from(WHOLE),
    fault=st.sampled_from(FAULTS),
    place=st.sampled_from(sorted(PLACES)),
)
def test_any_bytes_give_a_tensor_or_a_rejection_and_with_a_fault_of_the_machine_neither(
    content: bytes, fault: Exception, place: str
) -> None:
    def outcome() -> str:
        try:
            return decode_image(content, SPEC).content_sha256
        except UnusableImageError as error:
            return error.reason

    without = outcome()
    module, name = PLACES[place]
    reached: list[Exception] = []

    def fail(*_: object, **__: object) -> object:
        reached.append(fault)
        raise fault

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, name, fail)
        try:
            assert outcome() == without
        except type(fault) as error:
            assert error is fault
            assert reached
        else:
            assert not reached


def test_a_missing_library_for_a_format_is_not_said_of_the_file(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Missing(Image.Image):
        """Simulate Pillow's class for a format whose library is missing."""

    said = "image file could not be identified because WEBP support not installed"
    Image.preinit()
    monkeypatch.setitem(Image.OPEN, "WEBP", (Missing, lambda prefix: said))
    with pytest.warns(UserWarning, match=said), pytest.raises(ImportError, match=said):
        decode_image(b"RIFF\0\0\0\0WEBPVP8 ", SPEC, ("WEBP",))


def test_missing_descriptors_are_not_said_of_the_file(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = open_root(str(project.roots_folder / "mvtec_ad"))
    monkeypatch.setattr(folders.os, "open", failing(OSError(errno.EMFILE, "Too many open files")))
    with pytest.raises(OSError, match="Too many open files") as raised:
        root.read("bottle/train/good/000.png")
    assert type(raised.value) is OSError


@pytest.mark.slow
def test_a_fault_of_the_machine_ends_the_build_with_its_cause_and_takes_no_tensor_away(
    built: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = built.rows("SELECT * FROM image_tensors ORDER BY image_id")
    built.path(IMAGES[1]).write_bytes(SOUND)
    built.list_files()
    with monkeypatch.context() as little:
        little.setattr(decode, "decode_image", failing(MemoryError()))
        with pytest.raises(DecodingError) as raised:
            built.build()
    assert str(raised.value) == (
        f"Decoding {IMAGES[1]} failed, and no file is the cause (MemoryError). Committed rows are kept, "
        "and the next run continues from there. There is too little memory: end other programs, or set "
        "ANOMALY_WORKERS=1, then run again."
    )
    assert built.rows("SELECT * FROM image_tensors ORDER BY image_id") == before
    assert built.rows("FROM rejected_images") == []

    report = built.build()
    assert (report.decoded, report.unchanged, report.rejections) == (1, 4, {})


@pytest.mark.parametrize(
    ("fault", "remedy"),
    [
        (OSError(errno.EIO, "Input/output error"), "Fix the problem of this machine"),
        (KeyError("PNG"), "Install the versions of requirements.lock"),
    ],
    ids=repr,
)
def test_the_message_says_what_to_do_and_can_come_from_another_process(
    project: Project, monkeypatch: pytest.MonkeyPatch, fault: Exception, remedy: str
) -> None:
    monkeypatch.setattr(decode, "decode_image", failing(fault))
    with pytest.raises(DecodingError, match=remedy) as raised:
        project.build()
    assert str(pickle.loads(pickle.dumps(raised.value))) == str(raised.value)


def test_memory_that_is_missing_for_a_whole_batch_is_a_fault_of_the_machine(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    decode.PIXELS.clear()
    failure = failing(OSError(errno.ENOMEM, "Cannot allocate memory"))
    monkeypatch.setattr(buffers.mmap, "mmap", failure)
    with pytest.raises(
        DecodingError, match=r"^Decoding a batch of images failed.*There is too little memory"
    ):
        project.build()


def test_what_fails_beside_others_is_tried_again_alone(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(compute, "BATCH_IMAGES", 1)
    whole, second_began, first_failed = decode._decoded, threading.Event(), threading.Event()
    active: list[str] = []
    beside: dict[str, list[str]] = {}

    def decoded(image: decode.StaleImage, *arguments: Any) -> Any:
        tries[image.image_id] += 1
        beside[image.image_id] = list(active)
        active.append(image.image_id)
        try:
            if tries[image.image_id] == 1 and len(tries) == 1:
                assert second_began.wait(10)
                raise MemoryError
            if len(tries) == 2 and not first_failed.is_set():
                second_began.set()
                assert first_failed.wait(10)
            return whole(image, *arguments)
        finally:
            active.remove(image.image_id)
            first_failed.set() if second_began.is_set() else None

    tries: Counter[str] = Counter()
    monkeypatch.setattr(decode, "_decoded", decoded)
    report = project.build(workers=2)
    assert (report.decoded, report.rejections) == (5, {})
    [again] = [image_id for image_id, count in tries.items() if count > 1]
    assert tries[again] == 2
    assert beside[again] == []


def test_what_fails_alone_too_is_tried_no_third_time(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried: list[str] = []

    def failed(image: decode.StaleImage, *_: object) -> object:
        tried.append(image.image_id)
        raise MemoryError

    monkeypatch.setattr(decode, "_decoded", failed)
    with pytest.raises(DecodingError):
        project.build(workers=1)
    first = [image_id for image_id in tried if image_id == tried[0]]
    assert len(first) == 2


@pytest.mark.slow
def test_a_rejection_of_an_earlier_release_for_a_fault_of_the_machine_is_tried_again(
    built: Project,
) -> None:
    """Test rows that earlier versions wrote; no run tried their files again."""
    built.path(IMAGES[2]).write_bytes(b"no picture")
    built.list_files()
    built.build()
    with built.warehouse.connect() as connection:
        connection.execute(
            """
            INSERT INTO rejected_images
            SELECT
                image_id, relative_path, file_version, 'lanczos-8x6x3', 'damaged_image',
                'MemoryError: ', now()
            FROM images WHERE image_id = ?
            """,
            [IMAGES[0]],
        )
        connection.execute("DELETE FROM image_tensors WHERE image_id = ?", [IMAGES[0]])
    report = built.build()
    assert (report.decoded, report.unchanged, report.rejections) == (1, 3, {})
    rejected = "SELECT image_id, reason FROM rejected_images"
    assert built.rows(rejected) == [(IMAGES[2], "text_file")]


@pytest.mark.slow
def test_with_little_memory_a_large_picture_is_not_rejected(tmp_path: Path) -> None:
    """Test a former bug: two pictures of 8,000 x 8,000 became `damaged_image: MemoryError`."""
    Image.new("RGB", (8000, 8000)).save(tmp_path / "large.png")
    script = """
import resource, sys
from anomaly_assets.recipes import Recipe
from anomaly_assets.decoding.transform import UnusableImageError, decode_image
content = open(sys.argv[1], "rb").read()
decode_image(content, Recipe(8, 6, 3)) if sys.argv[2] == "all" else None
taken = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (taken + 150_000_000,) * 2)
try:
    decode_image(content, Recipe(8, 6, 3))
except UnusableImageError as error:
    print("rejected", error)
except MemoryError:
    print("too little memory")
"""
    done = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path / "large.png"), "none"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == "too little memory\n", done.stderr
