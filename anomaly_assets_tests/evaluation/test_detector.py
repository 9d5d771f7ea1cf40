"""Test the evaluation of a category with a network that needs no PyTorch."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pytest

from anomaly_assets.evaluation.detector import CategoryResult, evaluate_category
from anomaly_assets.evaluation.maps import full_size, small_map
from anomaly_assets.evaluation.pixels import picture_parts
from anomaly_assets.evaluation.protocol import roles_of
from anomaly_assets.evaluation.suspects import suspects_of
from anomaly_assets_tests.evaluation.generated import Generated, category, row

UInt8 = npt.NDArray[np.uint8]
Floats = npt.NDArray[np.float32]


class Blocks:
    """Stand-in for a network: mean and deviation of blocks of 8 x 8 pixels."""

    name = "blocks"
    digest = "0" * 64

    def __init__(self) -> None:
        self.images = 0

    def features(self, images: UInt8) -> Floats:
        self.images += len(images)
        count, height, width, channels = images.shape
        blocks = images.reshape(count, height // 8, 8, width // 8, 8, channels).astype(np.float32)
        parts = [blocks.mean((2, 4)), blocks.std((2, 4))]
        return np.concatenate(parts, -1)

    def place(self, array: Floats) -> Floats:
        return array


@pytest.fixture(scope="module")
def generated() -> Generated:
    return category(side=64, detail=4, train=30, test=12)


@pytest.fixture(scope="module")
def result(generated: Generated) -> CategoryResult:
    return evaluate_category(generated.read(), roles_of(generated.rows), Blocks())


def values(result: CategoryResult) -> dict[str, float | None]:
    return {row.metric: row.value for row in result.metrics if not row.defect_type}


@pytest.mark.slow
def test_defects_are_found_and_located(result: CategoryResult) -> None:
    found = values(result)
    assert list(found) == [
        *("image_auroc", "image_average_precision", "image_best_f1", "false_alarm_rate", "recall"),
        *("pixel_auroc", "aupro"),
    ]
    assert all(value is not None for value in found.values())
    assert (found["image_auroc"] or 0) > 0.95
    assert (found["pixel_auroc"] or 0) > 0.9
    assert {row.defect_type for row in result.metrics} == {"", "stripes"}
    assert result.no_number is None


def test_each_image_has_a_score_a_map_and_a_vector(
    generated: Generated, result: CategoryResult
) -> None:
    assert [each.use.image.image_id for each in result.scores] == sorted(generated.images)
    for each in result.scores:
        assert each.score is not None
        assert each.map is not None
        assert each.map.values.shape == (8, 8)
        assert each.map.high == pytest.approx(each.score)
        assert each.vector.shape == (2,)
        is_bank = each.use.role == "bank"
        assert each.out_of_fold_score == (each.score if is_bank else None)
        assert each.is_above_threshold == (each.score > (result.threshold or 0))


def test_the_threshold_is_a_quantile_of_scores_out_of_fold(result: CategoryResult) -> None:
    assert result.threshold_source == "out_of_fold"
    scores = [each.score or 0 for each in result.scores if each.use.role == "bank"]
    assert result.threshold == max(scores)  # the 99th percentile of 30


@pytest.mark.slow
def test_good_validation_images_make_the_threshold_if_there_are_ten(generated: Generated) -> None:
    for count, source in ((10, "validation"), (9, "out_of_fold")):
        rows = [
            replace(each, split="validation") if number < count else each
            for number, each in enumerate(generated.rows)
        ]
        found = evaluate_category(generated.read(), roles_of(rows), Blocks())
        assert found.threshold_source == source
        assert found.counts["validation"] == count


@pytest.mark.slow
def test_batches_and_their_order_change_nothing(
    generated: Generated, result: CategoryResult
) -> None:
    def backwards(image_ids: object) -> object:
        return generated.read(5)(list(image_ids)[::-1])  # type: ignore[call-overload]

    other = evaluate_category(backwards, roles_of(generated.rows), Blocks())  # type: ignore[arg-type]
    assert result.bank is not None
    assert other.bank is not None
    np.testing.assert_array_equal(other.bank.patches, result.bank.patches)
    assert other.threshold == result.threshold
    assert other.metrics == result.metrics


@pytest.mark.slow
def test_a_kept_bank_is_used_again_only_if_it_was_made_from_the_same(
    generated: Generated, result: CategoryResult
) -> None:
    roles = roles_of(generated.rows)
    network = Blocks()
    progress: list[tuple[int, int]] = []
    again = evaluate_category(
        generated.read(),
        roles,
        network,
        kept=result.bank,
        progress=lambda done, total: progress.append((done, total)),
    )
    assert again.bank_is_kept
    assert again.bank is result.bank
    assert again.metrics == result.metrics
    assert network.images == 54
    assert progress[0] == (8, 54)
    assert progress[-1] == (54, 54)
    for changed in (roles_of(generated.rows[1:]), roles):
        pixels = "" if changed is not roles else "other size"
        rebuilt = evaluate_category(
            generated.read(), changed, Blocks(), kept=result.bank, pixels=pixels
        )
        assert not rebuilt.bank_is_kept


def test_unknown_and_empty_masks_are_counted_and_left_out_of_pixels(generated: Generated) -> None:
    names = sorted(generated.masks)
    masks = dict(generated.masks)
    del masks[names[0]]
    masks[names[1]] = np.zeros_like(masks[names[1]])
    changed = Generated(generated.rows, generated.images, masks)
    found = evaluate_category(changed.read(), roles_of(changed.rows), Blocks(), weak_labels=True)
    assert (found.counts["test_masks_unknown"], found.counts["test_masks_empty"]) == (1, 1)
    by_metric = {row.metric: row for row in found.metrics if not row.defect_type}
    assert by_metric["image_auroc"].images_anomalous == 12
    assert by_metric["aupro"].images_anomalous == 10
    assert by_metric["aupro"].note == "weak labels"
    assert by_metric["image_auroc"].note == ""


def test_padding_around_a_picture_is_not_measured(generated: Generated) -> None:
    around = [(8, 184), (0, 0)]
    images = {name: np.pad(each, [*around, (0, 0)]) for name, each in generated.images.items()}
    masks = {name: np.pad(each, around) for name, each in generated.masks.items()}
    padded = Generated(generated.rows, images, masks)
    parts = dict.fromkeys(images, (slice(8, 72), slice(0, 64)))
    found, with_padding = (
        values(evaluate_category(padded.read(), roles_of(padded.rows), Blocks(), parts=each))
        for each in (parts, None)
    )
    assert (found["aupro"] or 0) < (with_padding["aupro"] or 0)


def test_the_part_of_a_picture_is_known_for_recipes_that_keep_the_aspect_ratio() -> None:
    samples = pa.table({"image_id": ["a"], "original_width": [400], "original_height": [100]})
    assert picture_parts("64x64x3/fit", samples) == {"a": (slice(24, 40), slice(0, 64))}
    assert picture_parts("64x64x3", samples) == {}


@pytest.mark.slow
def test_unknown_labels_are_scored_and_change_no_metric(
    generated: Generated, result: CategoryResult
) -> None:
    copy = row("unknown", "test", -1)
    images = {**generated.images, "unknown": generated.images["test/1/0050"]}
    more = Generated((*generated.rows, copy), images, generated.masks)
    found = evaluate_category(more.read(), roles_of(more.rows), Blocks())
    assert found.metrics == result.metrics
    [scored] = [each for each in found.scores if each.use.role == "scored"]
    [same] = [each for each in found.scores if each.use.image.image_id == "test/1/0050"]
    assert scored.score == same.score


def test_a_bank_of_one_image_has_no_score_out_of_fold(generated: Generated) -> None:
    rows = [each for each in generated.rows if each.split == "test"] + [generated.rows[0]]
    found = evaluate_category(generated.read(), roles_of(rows), Blocks())
    [bank] = [each for each in found.scores if each.use.role == "bank"]
    assert (bank.score, bank.map, bank.is_above_threshold) == (None, None, None)
    assert (found.threshold, found.threshold_source) == (None, None)
    assert {row.note for row in found.metrics if row.metric == "recall"} == {"no threshold"}
    assert values(found)["image_auroc"] is not None


def test_without_good_training_images_nothing_is_read() -> None:
    def none(image_ids: object) -> list[object]:
        raise AssertionError

    found = evaluate_category(none, roles_of([row("a", "test")]), Blocks())  # type: ignore[arg-type]
    assert (found.scores, found.metrics, found.bank) == ((), (), None)
    assert "no good training image" in (found.no_number or "")


def test_without_test_images_there_are_scores_and_no_metrics(generated: Generated) -> None:
    rows = [each for each in generated.rows if each.split == "train"]
    found = evaluate_category(generated.read(), roles_of(rows), Blocks())
    assert len(found.scores) == 30
    assert found.metrics == ()
    assert found.threshold is not None


@pytest.mark.slow
def test_planted_label_errors_are_the_first_suspects() -> None:
    planted = category(side=64, detail=4, train=100, test=10, planted=5)
    found = suspects_of(evaluate_category(planted.read(), roles_of(planted.rows), Blocks()))
    first = [each for each in found if each.kind == "good_like_anomalous"]
    assert len(first) == 10
    assert len({f"train/0/{number:04}" for number in range(5)} & {e.image_id for e in first}) >= 4


def test_validation_images_have_a_score_without_patches_of_suspects(generated: Generated) -> None:
    rows = [replace(each, split="validation") for each in generated.rows[:10]]
    found = evaluate_category(generated.read(), roles_of([*rows, *generated.rows[10:]]), Blocks())
    for each in found.scores:
        assert (each.unmasked_score is not None) == (each.use.role in ("bank", "validation"))


def test_maps_are_interpolated_and_blurred_between_the_centers_of_patches() -> None:
    distances = np.zeros((8, 6), np.float32)
    distances[2, 3] = 1
    found = full_size(distances, (64, 48))
    assert found.shape == (64, 48)
    row, column = divmod(int(found.argmax()), 48)
    assert (row in (19, 20), column in (27, 28)) == (True, True)
    np.testing.assert_allclose(
        found[:, ::-1][::-1], full_size(distances[::-1, ::-1], (64, 48)), atol=1e-6
    )
    np.testing.assert_allclose(full_size(np.full((3, 5), 7, np.float32), (24, 41)), 7, rtol=1e-6)


def test_small_maps_keep_their_scale() -> None:
    distances = np.asarray([[1, 2], [3, 6]], np.float32)
    found = small_map(distances)
    assert found.values.dtype == np.uint8
    shown = found.low + (found.high - found.low) * found.values / 255
    np.testing.assert_allclose(shown, distances, atol=5 / 255)
    assert small_map(np.full((2, 2), 4, np.float32)).values.tolist() == [[0, 0], [0, 0]]
