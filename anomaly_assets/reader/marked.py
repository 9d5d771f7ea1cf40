"""Mark tensors as images and masks for torchvision; only modules that need PyTorch import this one.

`torchvision.transforms.v2` moves only what it takes for an image or a mask: a flip of an item with plain
tensors moves the image alone. The default collation of PyTorch stacks marked tensors to a plain one, so a
transform of the batch would do the same. `default_collate_fn_map` changes that. The
types are subclasses, so that the batches of other datasets stay as they are.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from importlib.util import find_spec
from typing import Any

import torch  # noqa: TID253 (imported only by modules that need it)
from torch.utils.data import default_collate  # noqa: TID253
from torch.utils.data._utils.collate import default_collate_fn_map  # noqa: TID253

Marked = tuple[Any, Any]


def _torchvision() -> Any:
    """Return `torchvision.tv_tensors`; None without torchvision, or if it cannot be imported."""
    if find_spec("torchvision") is None:
        return None
    try:
        from torchvision import tv_tensors
    except Exception as error:  # RuntimeError or OSError if it was built for another PyTorch
        warnings.warn(
            f"torchvision cannot be imported ({error}), so images and masks are plain tensors. "
            "Install the torchvision that was built for this PyTorch.",
            stacklevel=2,
        )
        return None
    return tv_tensors


_tv_tensors = _torchvision()

if _tv_tensors is None:

    def marked(image: Any, mask: Any) -> Marked:
        """Return both unchanged: torchvision is missing."""
        return image, mask

else:
    _Image: Any = _tv_tensors.Image
    _Mask: Any = _tv_tensors.Mask

    class SampleImage(_Image):
        """A `tv_tensors.Image` that collates to one."""

    class SampleMask(_Mask):
        """A `tv_tensors.Mask` that collates to one."""

    def marked(image: Any, mask: Any) -> Marked:
        """Return the same memory as `tv_tensors.Image` and `tv_tensors.Mask`.

        Args:
            image: ... x C x H x W.
            mask: ... x H x W.
        """
        return image.as_subclass(SampleImage), mask.as_subclass(SampleMask)

    def _collated(batch: Sequence[Any], *, collate_fn_map: Any = None) -> Any:
        stacked = default_collate([each.as_subclass(torch.Tensor) for each in batch])
        return stacked.as_subclass(type(batch[0]))

    default_collate_fn_map.update({SampleImage: _collated, SampleMask: _collated})
