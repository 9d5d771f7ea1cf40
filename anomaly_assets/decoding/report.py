"""Count the images and times of one build of tensors, for messages and plots."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field


@dataclass
class BuildReport:
    """Counts and times of one build.

    Attributes:
        decoded: Images that were decoded.
        changed: Decoded images that had another tensor before.
        removed: Tensors removed because their image is gone or can no longer be used.
        unchanged: Tensors that were already current.
        rejections: Number of unusable files by reason, of those tried in this build.
        recipe_rows: Tensors of further recipes that were made.
        recipe_rows_replaced: Tensors of further recipes that were deleted for them.
        recipe_rows_removed: Tensors removed because their source dataset no longer has their recipe.
        seconds: Duration of the build.
        decode_seconds: Time for reading and decoding, summed over all workers.
        wait_seconds: Time that the writer waited for decoded images.
        write_seconds: Time that the writer wrote.
    """

    decoded: int = 0
    changed: int = 0
    removed: int = 0
    unchanged: int = 0
    rejections: Counter[str] = field(default_factory=Counter)
    recipe_rows: int = 0
    recipe_rows_replaced: int = 0
    recipe_rows_removed: int = 0
    seconds: float = 0.0
    decode_seconds: float = 0.0
    wait_seconds: float = 0.0
    write_seconds: float = 0.0

    @property
    def added(self) -> int:
        """Return the number of images that had no tensor before."""
        return self.decoded - self.changed
