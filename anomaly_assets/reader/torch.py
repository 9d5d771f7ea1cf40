"""Define the PyTorch dataset of samples; only `Samples.to_torch` imports this module."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import torch.utils.data  # noqa: TID253 (imported only by `Samples.to_torch`)

from anomaly_assets.reader.marked import marked

if TYPE_CHECKING:
    from anomaly_assets.reader.samples import Samples


class SamplesDataset(torch.utils.data.Dataset[Any]):
    """A map-style dataset, for `torch.utils.data.DataLoader` with any number of workers.

    Workers may be forked or spawned; each opens the same snapshot of the database. A loader requests all
    samples of a batch in one call, so a shuffled batch is one fetch. The order is that of the samples; pass
    a seeded `generator` to the loader to make a shuffled order reproducible.

    Items are dictionaries, which the default collation of a `DataLoader` turns into batches:

    | key | one item | a batch of N |
    | --- | --- | --- |
    | `image` | uint8, C x H x W; float32 after `Samples.normalised` or `Samples.as_float` | N x C x H x W |
    | `mask` | uint8 0/1, H x W | N x H x W |
    | `has_mask` | bool: the mask is known; exclude the sample from pixel metrics if False | bool, N |
    | `label` | int: 0 good, 1 anomalous, -1 unknown | int64, N |
    | `image_id`, `category`, `split` | str | lists of N |
    | `defect_type` | str, empty for good images | list of N |

    With torchvision, `image` is a `tv_tensors.Image` and `mask` a `tv_tensors.Mask`, in items and in
    batches: a transform of `torchvision.transforms.v2` moves both. Without it they are plain tensors.

    Args:
        samples: The samples to read.
        transform: Called with each item, such as a `v2.Compose`; its result replaces the item. It must be
            picklable if workers are spawned.
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
        items = []
        for number, image_id in enumerate(batch.image_ids):
            image, mask = marked(images[number], torch.from_numpy(batch.masks[number]))
            items.append(
                {
                    "image": image,
                    "mask": mask,
                    "has_mask": bool(batch.has_mask[number]),
                    "label": int(batch.label_indices[number]),
                    "image_id": image_id,
                    "category": batch.categories[number],
                    "split": batch.splits[number],
                    "defect_type": batch.defect_types[number],
                }
            )
        return items if self.transform is None else [self.transform(item) for item in items]
