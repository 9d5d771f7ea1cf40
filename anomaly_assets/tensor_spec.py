"""The shape that tensors should have; light, because settings are read before anything is decoded."""

from __future__ import annotations

from dataclasses import dataclass

MOST_TENSOR_BYTES = 1024 * 1024 * 3
"""Bytes of a tensor at most: a run holds some hundred of them in memory."""


@dataclass(frozen=True, slots=True)
class TensorSpec:
    """Shape of every tensor: `height` x `width` x `channels`, in pixels; 1 or 3 channels."""

    height: int = 256
    width: int = 256
    channels: int = 3

    @property
    def tensor_bytes(self) -> int:
        """Bytes of one tensor."""
        return self.height * self.width * self.channels

    @property
    def transform(self) -> str:
        """Name of the recipe, stored with each tensor; a tensor of another recipe is stale."""
        return f"lanczos-{self.height}x{self.width}x{self.channels}"
