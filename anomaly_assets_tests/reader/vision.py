"""Make torchvision importable beside a PyTorch that was built without CUDA."""

from __future__ import annotations

import sys
from importlib.util import find_spec


def make_importable() -> None:
    """Declare two operators that torchvision's library would define, if that library cannot be loaded.

    The wheels on PyPI are built for CUDA. Beside a build of PyTorch for processors, their library does not
    load, and the import ends with `operator torchvision::nms does not exist`. Transforms do not use it:
    they are written in Python. So these tests run the real transforms; only operators on boxes are missing.
    """
    if find_spec("torch") is None or find_spec("torchvision") is None:
        return
    import torch

    try:
        import torchvision
    except RuntimeError as error:
        if "operator torchvision::nms does not exist" not in str(error):
            raise
        for name in [name for name in sys.modules if name.partition(".")[0] == "torchvision"]:
            del sys.modules[name]
        for name in ("nms", "qnms"):
            boxes = "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor"
            torch.library.define(f"torchvision::{name}", boxes)
        import torchvision
    assert torchvision.__version__
