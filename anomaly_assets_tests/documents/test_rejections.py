"""Test that the table of rejected files lists every reason that decoding can give, and each is provoked."""

from __future__ import annotations

import ast
import inspect
import re
from types import ModuleType

import numpy as np
import pytest
from PIL import Image

from anomaly_assets.decoding import batch, content, transform
from anomaly_assets.decoding.transform import MAX_PIXELS, MAX_SIDE, UnusableImageError, decode_image
from anomaly_assets.recipes import Recipe
from anomaly_assets.roots.base import MAX_FILE_BYTES
from anomaly_assets_tests.bad_input.files import encoded
from anomaly_assets_tests.decoding.pictures import chunk, header, picture, png
from anomaly_assets_tests.documents.markdown import PROJECT

SPEC = Recipe(8, 6, 3)
WHOLE = png(picture("RGB", (24, 16)))
NO_PIXELS = chunk(b"IDAT", b"") + chunk(b"IEND", b"")

FILES = {
    "git_lfs_pointer": b"version https://git-lfs.github.com/spec/v1\n",
    "git_annex_pointer": b"/annex/objects/SHA256E-s1--00.png\n",
    "html_page": b"<!DOCTYPE html><title>404</title>",
    "text_file": b"The picture is in the other folder.\n",
    "empty_file": b"",
    "only_zero_bytes": bytes(1000),
    "truncated_image": WHOLE[:-40],
    "damaged_image": WHOLE.replace(b"\r\n", b"\n"),
    "unsupported_format": encoded(picture("RGB", (24, 16)), "GIF"),
    "not_an_image": bytes(range(7, 200)),
    "needs_bit_depth": png(picture("I;16", (24, 16))),
    "unsupported_bit_depth": encoded(Image.fromarray(np.full((8, 6), -1, np.int32)), "TIFF"),
    "too_many_pixels": header(MAX_PIXELS, 2) + NO_PIXELS,
    "too_long": header(MAX_SIDE + 1, 1) + NO_PIXELS,
}
"""A small file for each reason that the bytes of a file can give."""

NEVER_STORED = {transform._METADATA_TOO_LARGE}
"""Only used inside: such a file is decoded once more, without its metadata."""


@pytest.mark.parametrize("reason", FILES)
@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
def test_a_small_file_gives_the_reason(reason: str) -> None:
    with pytest.raises(UnusableImageError) as raised:
        decode_image(FILES[reason], SPEC)
    assert raised.value.reason == reason


def test_the_page_lists_the_reasons_that_the_code_can_give() -> None:
    page = (PROJECT / "docs/troubleshooting.md").read_text("utf-8")
    table = page.partition("<!-- reasons of rejected files -->")[2].partition("<!-- end -->")[0]
    listed = re.findall(r"^\| `(\w+)` \|", table, re.M)
    assert len(listed) == len(set(listed))
    assert {*listed} == {*FILES, *batch.TRANSIENT}
    assert {*FILES, *NEVER_STORED} == _reasons_in(transform) | _reasons_in(content)
    assert f"{MAX_PIXELS:,} pixels" in table
    assert f"{MAX_SIDE:,} pixels" in table
    assert f"above {MAX_FILE_BYTES // 2**20} MB" in table


def _reasons_in(module: ModuleType) -> set[str]:
    """Return the first arguments of `UnusableImageError`, and what the function `named` returns first."""
    found: set[str] = set()
    for function in ast.walk(ast.parse(inspect.getsource(module))):
        for node in ast.walk(function):
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "UnusableImageError":
                found |= _text(node.args[0], module)
            is_named = isinstance(function, ast.FunctionDef) and function.name == "named"
            if is_named and isinstance(node, ast.Return) and isinstance(node.value, ast.Tuple):
                found |= _text(node.value.elts[0], module)
    return found


def _text(node: ast.expr, module: ModuleType) -> set[str]:
    if isinstance(node, ast.Constant):
        return {str(node.value)}
    if isinstance(node, ast.Name):
        return {str(getattr(module, node.id))}
    assert isinstance(node, ast.Starred), ast.dump(node)  # of what `named` returns
    return set()
