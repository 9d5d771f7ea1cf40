"""Define the PyTorch dataset of samples; only `Samples.to_torch` imports this module."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import torch.utils.data  # noqa: TID253 (imported only by `Samples.to_torch`)

if TYPE_CHECKING:
    from anomaly_assets.reader.samples import Samples


class SamplesDataset(torch.utils.data.Dataset[Any]):
    """A map-style dataset, for `torch.utils.data.DataLoader` with any number of workers.

    Workers may be forked or spawned; each opens the same snapshot of the database. A loader requests all
    samples of a batch in one call, so a shuffled batch is one fetch. The order is that of the samples; pass
    a seeded `generator` to the loader to make a shuffled order reproducible.

    Items are dictionaries, which the default collation turns into batches:

    | key | one item | a batch of N |
    | --- | --- | --- |
    | `image` | uint8 C x H x W; float32 after `Samples.normalised` | N x C x H x W |
    | `mask` | uint8 0/1, H x W | N x H x W |
    | `has_mask` | bool: the mask is known; exclude the sample from pixel metrics if False | bool, N |
    | `label` | int: 0 good, 1 anomalous, -1 unknown | int64, N |
    | `image_id` | str | list of N |

    Args:
        samples: The samples to read.
        transform: Called with each item; its result replaces the item. It must be picklable if workers
            are spawned.
    """

    def __init__(
        self, samples: Samples, transform: Callable[[dict[str, Any]], Any] | None = None
    ) -> None:
        self.samples = samples
        self.transform = transform

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, position: int) -> Any:
        """Return one item."""
        return self.__getitems__([position])[0]

    def __getitems__(self, positions: Sequence[int]) -> list[Any]:
        """Return several items, fetched at once."""
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
