"""Make images take longer, or kill the worker: preloaded by workers of tests and benchmarks."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping

from anomaly_assets.decoding import batch as decode
from anomaly_assets.roots.base import Root

_decode_image = decode.decode_image
_read = decode._read
_DEADLY = os.environ.get("ANOMALY_TEST_DIES_AT")
_SECONDS = float(os.environ.get("ANOMALY_TEST_SECONDS_PER_IMAGE", "0"))


def decode_image(*arguments: object, **options: object) -> decode.DecodedImage:
    """Decode after a pause that lets other threads run, like decoding itself."""
    time.sleep(_SECONDS)
    return _decode_image(*arguments, **options)  # type: ignore[arg-type]


def read(
    roots: Mapping[str, Root],
    image: decode.StaleImage,
    uri: str,
    version: str | None,
    most_bytes: int,
) -> bytes:
    """Read a file, or end the process."""
    if _DEADLY and uri.endswith(_DEADLY):
        os._exit(1)
    return _read(roots, image, uri, version, most_bytes)


decode.decode_image = decode_image
decode._read = read
