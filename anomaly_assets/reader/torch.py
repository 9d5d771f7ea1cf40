"""Samples as a PyTorch dataset. Imported by `Samples.to_torch` only."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import torch.utils.data  # noqa: TID253 (nobody imports this module before asking for PyTorch)

if TYPE_CHECKING:
    from anomaly_assets.reader.samples import Samples


class SamplesDataset(torch.utils.data.Dataset[Any]):
    """A map-style dataset, for `torch.utils.data.DataLoader` with any number of workers.

    Workers may be forked or spawned; each opens the database for itself, at the snapshot that was opened
    here. A loader asks for the samples of a batch at once, so batches of random samples are fetched
    in one go. The order is that of the samples; a seeded `generator` of the loader pins the shuffled one.

    Items are dictionaries that the default collation turns into batches:

    | key | one item | a batch of N |
    | --- | --- | --- |
    | `image` | uint8 C x H x W; float32 after `Samples.normalised` | N x C x H x W |
    | `mask` | uint8 0/1, H x W | N x H x W |
    | `has_mask` | bool: the mask is known; false leaves the sample out of pixel metrics | bool, N |
    | `label` | int: 0 good, 1 anomalous | int64, N |
    | `image_id` | str | list of N |

    Args:
        samples: What to read.
        transform: Called with each item; what it returns is given instead. To be spawned with a
            worker, it must be picklable.
    """

    def __init__(
        self, samples: Samples, transform: Callable[[dict[str, Any]], Any] | None = None
    ) -> None:
        self.samples = samples
        self.transform = transform

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, position: int) -> Any:
        """One item."""
        return self.__getitems__([position])[0]

    def __getitems__(self, positions: Sequence[int]) -> list[Any]:
        """Several items, fetched at once."""
        batch = self.samples.batch(positions)
        images = torch.from_numpy(batch.images).permute(0, 3, 1, 2)
        masks = torch.from_numpy(batch.masks)
        items = [
            {
                "image": images[number],
                "mask": masks[number],
                "has_mask": bool(batch.has_mask[number]),
                "label": int(batch.label_indices[number]),
                "image_id": image_id,
            }
            for number, image_id in enumerate(batch.image_ids)
        ]
        return items if self.transform is None else [self.transform(item) for item in items]
