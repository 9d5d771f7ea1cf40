"""Test pictures of samples and batches in notebooks: outlines, and a bounded number of bytes."""

from __future__ import annotations

import io
import re
import sys
from base64 import b64decode
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from anomaly_assets.drawing import OUTLINE
from anomaly_assets.reader import Sample, Samples, open_samples
from anomaly_assets.reader.pictures import spread
from anomaly_assets_tests.reader.published import IMAGE_IDS, publish_rows

CRACK = "mvtec_ad/bottle/test/crack/000.png"


@pytest.fixture(scope="module")
def samples(database: Path) -> Samples:
    return open_samples(database)


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> Samples:
    return open_samples(publish_rows(tmp_path_factory.mktemp("rows") / "rows.duckdb", 200, 32))


def picture_in(html: str | None) -> Image.Image:
    assert html is not None
    [content] = re.findall(r'src="data:image/webp;base64,([^"]+)"', html)
    return Image.open(io.BytesIO(b64decode(content)))


def outlined(picture: Image.Image) -> int:
    return int((np.asarray(picture) == OUTLINE).all(axis=2).sum())


def test_the_text_of_an_object_describes_arrays_and_never_prints_them(samples: Samples) -> None:
    batch = samples.batch(range(4))
    shape = "×".join(map(str, samples.shape))
    assert repr(batch) == f"<Batch of 4, 2 anomalous: images of {shape} uint8>"
    assert repr(samples[:0].batch([])) == f"<Batch of 0, 0 anomalous: images of {shape} uint8>"
    assert repr(samples[CRACK]) == f"<Sample {CRACK}: anomalous, image of {shape} uint8>"
    assert repr(samples.as_float()[CRACK]).endswith("float32>")
    assert str([batch, samples[0]]).count("array") == 0


def test_a_notebook_shows_a_picture_below_the_text(samples: Samples) -> None:
    for each in (samples, samples.batch(range(4)), samples[CRACK]):
        html = each._repr_html_()
        assert html is not None
        assert repr(each).replace("<", "&lt;").replace(">", "&gt;") in html
        assert picture_in(html).width > 100


def test_only_masks_that_are_known_are_outlined(samples: Samples) -> None:
    assert outlined(samples[CRACK].show()) > 100
    assert not outlined(samples[IMAGE_IDS[0]].show())
    batch = samples.take([CRACK])
    assert outlined(batch.show()) == outlined(samples[CRACK].show())
    assert not outlined(replace(batch, has_mask=np.array([False])).show())


def test_pictures_are_of_stored_pixels_also_after_normalizing(samples: Samples) -> None:
    bottles = samples[np.array(samples.table["category"].to_pylist()) == "bottle"]
    stored = bottles.show()
    assert bottles.normalized().show() == bottles.as_float().show() == stored
    assert bottles.batch([0, 1]).show() == bottles.as_float().batch([0, 1]).show()
    assert outlined(bottles.normalised().batch(range(len(bottles))).show())


@pytest.mark.slow
def test_the_number_of_pictures_and_of_bytes_is_bounded(many: Samples) -> None:
    side = picture_in(many._repr_html_()).size
    assert picture_in(many.batch(range(200))._repr_html_()).size == side
    assert side == many.show().size
    assert many.show(2).size < many.show(7).size == many.show(12).size < many.show(13).size
    noise = np.random.default_rng(0).integers(0, 256, (12, 300, 300, 3), np.uint8)
    batch = replace(
        many.batch(range(12)),
        images=noise,
        masks=np.zeros((12, 300, 300), np.uint8),
        categories=["long " * 100_000] * 12,
        image_ids=["long" * 100_000] * 12,
    )
    single = Sample(
        "x" * 500_000,
        noise[0],
        noise[0, :, :, 0] * 0,
        True,
        True,
        1,
        {"category": "c" * 9999, "defect_type": None},
    )
    for each in (batch, single):
        assert len(each._repr_html_() or "") < 300_000
    assert many[:0]._repr_html_() is not None


def test_half_of_the_pictures_are_anomalous_if_there_are_enough() -> None:
    labels = np.array([0] * 90 + [1] * 10)
    assert spread(labels, 4).tolist() == [0, 89, 90, 99]
    assert (labels[spread(labels, 12)] == 1).sum() == 6
    assert len(spread(labels, 60)) == 60
    assert spread(np.array([1, -1, 0]), 12).tolist() == [0, 1, 2]
    assert spread(np.array([], np.int64), 12).tolist() == []


def test_text_is_escaped(samples: Samples, database: Path) -> None:
    hostile = "<script>alert(1)</script>\n\"'\u202e"
    batch = samples.take([CRACK])
    asked = open_samples(database, where=f"category != '{hostile.replace(chr(39), '')}'")
    for each in (
        replace(batch, categories=[hostile], defect_types=[hostile]),
        replace(
            samples[CRACK], image_id=hostile, metadata={"category": hostile, "defect_type": ""}
        ),
        asked,
    ):
        html = each._repr_html_()
        assert html is not None
        assert "<script" not in html
        assert "\u202e" not in html


def test_what_cannot_be_drawn_is_shown_as_text(
    database: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    closed = open_samples(database)
    batch = closed.batch([0])
    closed.close()
    assert closed._repr_html_() is None
    assert batch._repr_html_() is not None
    monkeypatch.setitem(sys.modules, "PIL", None)
    monkeypatch.delitem(sys.modules, "anomaly_assets.drawing")
    assert batch._repr_html_() is None
    with pytest.raises(ImportError, match=r"^show\(\) needs Pillow: pip install pillow\.$"):
        batch.show()


def test_at_least_one_picture_must_be_wanted(samples: Samples) -> None:
    with pytest.raises(ValueError, match=r"^most=0: give the number of pictures, at least 1\.$"):
        samples.show(0)
