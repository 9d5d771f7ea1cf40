"""Find newcomers that look like images of a split that an assignment does not take."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Mapping

from anomaly_assets.splitting.contents import Line, NearDuplicate


def nearest_of_source(
    newcomers: Collection[str],
    of_source: Mapping[str, Line],
    near_duplicates: Iterable[NearDuplicate],
) -> dict[str, Line]:
    """Return the newcomers that are near duplicates of contents of other splits, each with the nearest.

    Args:
        newcomers: Contents without a line.
        of_source: Lines of contents whose fold is their split in the source.
        near_duplicates: All pairs.
    """
    found: dict[str, tuple[float, str]] = {}
    for pair in near_duplicates:
        for one, other in ((pair.content, pair.other), (pair.other, pair.content)):
            if one in newcomers and other in of_source:
                found[one] = min(found.get(one, (math.inf, "")), (pair.distance, other))
    return {one: of_source[other] for one, (_, other) in found.items()}
