"""The configured shape of tensors; imports little, because settings use it."""

from __future__ import annotations

from dataclasses import dataclass

MOST_TENSOR_BYTES = 1024 * 1024 * 3
"""Maximum bytes of a tensor: a run holds some hundred of them in memory."""


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
        """Name of the transform, stored with each tensor; a tensor of another transform is stale."""
        return f"lanczos-{self.height}x{self.width}x{self.channels}"
