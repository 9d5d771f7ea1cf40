"""Define the configured shape of tensors; import little, because `settings.py` imports this module."""

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
        """Return the number of bytes of one tensor."""
        return self.height * self.width * self.channels

    @property
    def transform(self) -> str:
        """Return the name of the transform; a tensor stored with another name is stale."""
        return f"lanczos-{self.height}x{self.width}x{self.channels}"
