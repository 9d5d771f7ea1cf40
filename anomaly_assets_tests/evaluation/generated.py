"""Categories with known defects: a texture, and squares of stripes as defects."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from PIL import Image

from anomaly_assets.evaluation.protocol import ImageRow
from anomaly_assets.reader.batch import Batch

UInt8 = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class Generated:
    """Images of one size by id, with their masks and their rows of the view `samples`."""

    rows: tuple[ImageRow, ...]
    images: Mapping[str, UInt8]
    masks: Mapping[str, UInt8]

    def read(self, at_once: int = 8) -> Callable[[Sequence[str]], Iterator[Batch]]:
        """Return what `evaluate_category` reads images with."""
        label = {row.image_id: row.label_index for row in self.rows}

        def batches(image_ids: Sequence[str]) -> Iterator[Batch]:
            for start in range(0, len(image_ids), at_once):
                some = list(image_ids[start : start + at_once])
                images = [self.images[image_id] for image_id in some]
                empty = np.zeros(images[0].shape[:2], np.uint8)
                labels = np.asarray([label[image_id] for image_id in some])
                from_file = np.asarray([image_id in self.masks for image_id in some])
                yield Batch(
                    image_ids=some,
                    images=np.stack(images),
                    masks=np.stack([self.masks.get(image_id, empty) for image_id in some]),
                    has_mask=from_file | (labels == 0),
                    mask_from_file=from_file,
                    label_indices=labels,
                    categories=["generated"] * len(some),
                    splits=[""] * len(some),
                    defect_types=[""] * len(some),
                )

        return batches

    def resized(self, side: int) -> Generated:
        """Return the same images and masks at another size, as the project resizes them."""
        return Generated(
            self.rows,
            {
                name: _resized(image, side, Image.Resampling.LANCZOS)
                for name, image in self.images.items()
            },
            {
                name: _resized(mask, side, Image.Resampling.NEAREST)
                for name, mask in self.masks.items()
            },
        )


def row(
    image_id: str, split: str = "train", label: int = 0, content: str = "", defect_type: str = ""
) -> ImageRow:
    """Return a row whose content is that of its name, unless another one is given."""
    content = content or hashlib.sha256(image_id.encode()).hexdigest()
    return ImageRow(image_id, content, split, label, defect_type)


def category(
    side: int = 512,
    detail: int = 8,
    train: int = 200,
    test: int = 40,
    planted: int = 0,
    seed: int = 0,
) -> Generated:
    """Return grey images: good training images, and as many good as anomalous test images.

    Args:
        side: Height and width.
        detail: Width of the stripes of a defect, pixels; the defect is a square of at least 24 pixels.
        train: Number of training images.
        test: Number of test images of each class.
        planted: Number of training images that have a defect, and the label good.
        seed: Seed of all images.
    """
    rows, images, masks = [], {}, {}
    for number in range(train + 2 * test):
        random = np.random.default_rng([seed, number])
        is_anomalous = number >= train + test
        split = "train" if number < train else "test"
        label = int(is_anomalous)
        image_id = f"{split}/{label}/{number:04}"
        pixels = _texture(random, side)
        if is_anomalous or number < planted:
            mask = _defect(random, pixels, detail)
            if is_anomalous:
                masks[image_id] = mask
        images[image_id] = pixels.clip(0, 255).round().astype(np.uint8)[..., None]
        rows.append(row(image_id, split, label, defect_type="stripes" if is_anomalous else ""))
    return Generated(tuple(rows), images, masks)


def _texture(random: np.random.Generator, side: int) -> npt.NDArray[np.float64]:
    """Return smooth noise from the lower frequencies, with grain; float64, side x side."""
    frequency = np.hypot(np.fft.fftfreq(side)[:, None], np.fft.rfftfreq(side)[None])
    spectrum = np.fft.rfft2(random.standard_normal((side, side))) * np.exp(-((frequency * 40) ** 2))
    smooth = np.fft.irfft2(spectrum, (side, side))
    grain = random.standard_normal((side, side))
    pixels: npt.NDArray[np.float64] = 128 + 25 * smooth / smooth.std() + 8 * grain
    return pixels


def _defect(random: np.random.Generator, pixels: npt.NDArray[np.float64], detail: int) -> UInt8:
    """Draw bright and dark stripes with mean zero into an image, and return the mask."""
    side = max(24, 4 * detail)
    top, left = random.integers(8, len(pixels) - side - 8, 2)
    stripes = np.where((np.arange(side) // detail) % 2, 30.0, -30.0)
    square = (slice(top, top + side), slice(left, left + side))
    pixels[square] += stripes if random.random() < 0.5 else stripes[:, None]
    mask = np.zeros(pixels.shape, np.uint8)
    mask[square] = 1
    return mask


def _resized(pixels: UInt8, side: int, how: Image.Resampling) -> UInt8:
    resized = np.asarray(Image.fromarray(pixels.squeeze()).resize((side, side), how))
    return resized.reshape(side, side, *pixels.shape[2:])
