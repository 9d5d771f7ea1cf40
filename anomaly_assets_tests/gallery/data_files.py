"""Read the data files of a gallery as the page does."""

from __future__ import annotations

import base64
import io
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

_CALL = re.compile(r"gallery\.(\w+)\((.*)\);\n", re.DOTALL)


def arguments(script: Path, function: str) -> list[Any]:
    """Return the arguments with which a script calls a function of the page."""
    text = script.read_text("ascii")
    found = _CALL.fullmatch(text)
    assert found is not None
    assert found[1] == function
    return list(json.loads(f"[{found[2]}]"))


def snapshot(folder: Path) -> dict[str, Any]:
    """Return the argument of `snapshot.js`."""
    [found] = arguments(folder / "snapshot.js", "snapshot")
    return dict(found)


def index(folder: Path, path: str | None = None) -> dict[str, Any]:
    """Return the index that `snapshot.js` names, or another one."""
    path = path or snapshot(folder)["index"]
    text = (folder / path).read_text("ascii")
    found = re.fullmatch(r"gallery\.index\(\"([0-9a-f]{16})\",'(.*)'\);\n", text, re.DOTALL)
    assert found is not None
    assert path == f"data/index-{found[1]}.js"
    return dict(json.loads(found[2].replace("\\'", "'").replace("\\\\", "\\")))


def tiles(folder: Path) -> dict[str, Image.Image]:
    """Return the tile of each image by its id."""
    data = index(folder)
    packs = []
    for path in data["packs"]:
        name, content = arguments(folder / path, "tiles")
        assert name == path
        packs.append(content)
    places = zip(*(data["columns"][name] for name in ("image_id", "pack", "slot")), strict=True)
    return {image_id: picture(packs[pack][slot]) for image_id, pack, slot in places}


def details(folder: Path) -> dict[str, dict[str, Any]]:
    """Return the details of each image by its id."""
    data = index(folder)
    found: dict[str, dict[str, Any]] = {}
    for path in data["details"]:
        name, rows = arguments(folder / path, "details")
        assert name == path
        found |= {row["columns"]["image_id"]: row for row in rows}
    assert [*found] == data["columns"]["image_id"]
    return found


def picture(content: str) -> Image.Image:
    """Return a picture from Base64."""
    return Image.open(io.BytesIO(base64.b64decode(content)))


def words(data: dict[str, Any], name: str) -> list[Any]:
    """Return the values of a column of codes; None for null."""
    return [None if code < 0 else data["words"][name][code] for code in data["columns"][name]]


def pixels(image: Image.Image) -> npt.NDArray[np.int16]:
    """Return a picture as signed numbers, height x width x 3."""
    return np.asarray(image.convert("RGB"), np.int16)
