"""Test data quality in the graph: affected files, severities, and checks that block publishing."""

import re
from typing import cast

import dagster as dg
import numpy as np
import pytest
from PIL import Image

from anomaly_assets.decoding import build
from anomaly_assets.decoding.build import BuildReport, build_tensors
from anomaly_assets.definitions import defs
from anomaly_assets.tables.ddl import sql_text
from anomaly_assets.warehouse.base import Warehouse
from anomaly_assets_tests.assets.environment import Environment
from anomaly_assets_tests.assets.runs import Run, offenders, run_job, run_selection
from anomaly_assets_tests.assets.trees import SIDE, grey_png, png, write_image, write_mask
from anomaly_assets_tests.bad_input.files import encoded

GRAPH = defs.resolve_asset_graph()
BLOCKING = {
    f"{key.asset_key.to_user_string()}:{key.name}"
    for key in GRAPH.asset_check_keys
    if GRAPH.get(key).blocking
}
EVALUATION = {"baseline_metrics:detail_is_kept", "suspect_images:labels_fit_the_scores"}
"""Checks of the baseline, which no refresh includes; test_evaluation.py has their tests."""

NOT_BLOCKING = (
    {f"{key.asset_key.to_user_string()}:{key.name}" for key in GRAPH.asset_check_keys}
    - BLOCKING
    - EVALUATION
)


def write_faulty_roots(environment: Environment) -> None:
    """Write roots with at least one affected file for every check that does not block."""
    root = environment.mvtec_ad
    for n in range(3):
        write_image(root, f"bottle/train/good/{n:03}.png")
    for n in range(21):
        write_image(root, f"bottle/test/broken/{n:03}.png")
    write_image(root, "bottle/train/broken/000.png")
    write_mask(root, "bottle/ground_truth/broken/999_mask.png")
    write_image(root, "bottle/labels.csv", b"not an image")
    leaked = write_image(root, "bottle/test/good/000.png")
    write_image(root, "bottle/train/good/003.png", leaked)
    write_image(root, "cable/train/good/000.png", grey_png("bottle/train/good/000.png"))
    write_image(root, "cable/train/good/001.png", grey_png("damaged")[:100])
    write_image(root, "cable/test/good/000.png", encoded(Image.new("L", (SIDE, SIDE), 90), "JPEG"))
    for n in range(4):
        write_image(root, f"cable/test/cut/{n:03}.png")
    write_mask(root, "cable/ground_truth/cut/000_mask.png", side=SIDE // 2)
    write_mask(root, "cable/ground_truth/cut/001_mask.png", values=(255, 128))
    write_mask(root, "cable/ground_truth/cut/002_mask.png", values=())
    write_image(
        root, "cable/ground_truth/cut/003_mask.png", png(np.full((SIDE, SIDE), 255, np.uint8))
    )
    write_image(root, "widget/train/good/000.png")

    root = environment.dagm_2007
    for n in (1, 2, 3):
        write_image(root, f"Class1/Train/000{n}.PNG")
    write_image(root, "Class2/Train/0001.PNG")
    write_mask(root, "Class1/Train/Label/0002_label.PNG")
    write_mask(root, "Class1/Train/Label/0009_label.PNG")
    labels = root / "Class1/Train/Label/Labels.txt"
    labels.write_bytes(
        b"1\n"
        b"0001\t1\t0001.PNG\t0\t0001_label.PNG\n"
        b"0002\t0\t0002.PNG\t0\t0\t\n"
        b"0003\t0\t0003.PNG\t0\t0\t\n"
        b"0004\t0\t0004.PNG\t0\t0\t\n"
    )


@pytest.fixture(scope="module")
def faulty(module_environment: Environment) -> Run:
    """Run over roots with every kind of fault."""
    write_faulty_roots(module_environment)
    return run_job()


MASKLESS = {f"mvtec_ad/bottle/test/broken/{n:03}.png": "broken" for n in range(21)}

FOUND = {
    "samples:training_images_are_good": {"mvtec_ad/bottle/train/broken/000.png": "broken"},
    "mvtec_ad/stray_files:masks_belong_to_an_image": {
        "bottle/ground_truth/broken/999_mask.png": "orphan_mask"
    },
    "mvtec_ad/stray_files:files_are_recognised": {"bottle/labels.csv": "unrecognised_path"},
    "samples:labels_agree": {
        "dagm_2007/Class1/Train/0001.PNG": (
            "label 1 in Labels.txt, but no mask; used: anomalous by labels file"
        ),
        "dagm_2007/Class1/Train/0002.PNG": (
            "label 0 in Labels.txt, but a mask with defective pixels; used: anomalous by mask"
        ),
        "mvtec_ad/cable/test/cut/002.png": (
            "anomalous by its path, but a mask without any defective pixel; used: anomalous by path"
        ),
    },
    "samples:labels_are_known": {
        "dagm_2007/Class2/train": (
            "1 of 1 images: neither the path, a labels file nor a mask gives their label"
        )
    },
    "image_tensors:masks_do_not_cover_everything": {
        "mvtec_ad/cable/test/cut/003.png": "every pixel is defective"
    },
    "dagm_2007/stray_files:masks_belong_to_an_image": {
        "Class1/Train/Label/0009_label.PNG": "orphan_mask"
    },
    "dagm_2007/stray_files:files_are_recognised": {
        "Class1/Train/0004.PNG": ("declared_but_missing: named in Class1/Train/Label/Labels.txt")
    },
    "image_tensors:masks_have_the_size_of_their_image": {
        "mvtec_ad/cable/test/cut/000.png": "mask 8x8, image 16x16"
    },
    "image_tensors:masks_are_binary": {"mvtec_ad/cable/test/cut/001.png": "3 grey values"},
    "image_tensors:masks_are_not_empty": {"mvtec_ad/cable/test/cut/002.png": "no defective pixel"},
    "image_tensors:names_match_formats": {
        "mvtec_ad/cable/test/good/000.png": "000.png is a JPEG file"
    },
    "duplicate_images:contents_stay_in_one_split": {
        "mvtec_ad/bottle/test/good/000.png": "mvtec_ad/bottle/train/good/003.png"
    },
    "duplicate_images:contents_stay_in_one_category": {
        "mvtec_ad/bottle/train/good/000.png": "mvtec_ad/cable/train/good/000.png"
    },
}
"""Affected files and their details by check."""

COUNTED = {
    "samples:anomalous_images_have_masks",
    "samples:counts_equal_the_official_ones",
    "rejected_images:images_are_usable",
}
"""Checks with tests of their own."""

PASSED_HERE = {
    "near_duplicates:near_duplicates_stay_in_one_split",
    "image_tensors:images_have_8_bits",
    "dagm_2007/stray_files:most_files_belong_to_images",
    "mvtec_ad/stray_files:most_files_belong_to_images",
    "samples:corrections_are_applied",
    "splits:folds_do_not_leak",
    "splits:assignment_columns_exist",
}
"""Checks that a first load passes: it refuses such roots, and has no assignment or correction."""


def test_faults_in_the_data_stop_nothing_but_are_told(faulty: Run) -> None:
    assert faulty.success
    assert faulty.failures == {}
    assert faulty.materialized["published_database"]["written"] is True
    assert faulty.failed_checks == NOT_BLOCKING - PASSED_HERE
    assert {name for name, found in faulty.checks.items() if found.passed} == (
        BLOCKING | PASSED_HERE
    )
    assert FOUND.keys() | COUNTED | PASSED_HERE == NOT_BLOCKING


@pytest.mark.parametrize("name", sorted(FOUND))
def test_a_check_names_exactly_the_offenders_and_says_why(faulty: Run, name: str) -> None:
    found = faulty.checks[name]
    assert offenders(found) == FOUND[name]
    assert found.metadata["count"].value == len(FOUND[name])
    assert found.severity is dg.AssetCheckSeverity.WARN
    assert found.description is not None
    assert found.description.startswith(f"{len(FOUND[name])} ")
    assert found.description.count(".") - found.description.count(".txt") >= 2
    assert found.description.endswith(".")


def test_the_published_database_has_the_results_of_all_checks_as_the_events_have_them(
    faulty: Run, module_environment: Environment
) -> None:
    query = "SELECT asset, check_name, passed, severity, affected, sentence FROM quality"
    stored = {f"{row[0]}:{row[1]}": row[2:] for row in module_environment.query(query)}
    assert stored.keys() == NOT_BLOCKING | EVALUATION | BLOCKING - {
        "published_database:published_counts_equal_the_warehouse"
    }
    assert all(stored.pop(name)[0] for name in EVALUATION)  # no image has a score yet
    for name, (passed, severity, affected, sentence) in stored.items():
        found = faulty.checks[name]
        assert (passed, affected) == (found.passed, found.metadata["count"].value), name
        assert severity == ("error" if name in BLOCKING else "warning")
        if not passed:
            assert sentence == str(found.description).replace(" (20 of them are shown)", "")
    query = "SELECT asset || ':' || check_name, list(affected) FROM quality_images GROUP BY ALL"
    for name, affected in module_environment.query(query):
        assert {*affected} >= offenders(faulty.checks[name]).keys(), name


def test_a_run_with_failed_checks_is_told_from_a_clean_one(faulty: Run) -> None:
    """Its tag is in the list of runs, its last line names them, and a page lists all."""
    failed = len(faulty.failed_checks)
    assert faulty.tags["checks"] == f"{failed} failed"
    assert f"Failed checks in this run: {failed}. " in faulty.last_warning
    facts = faulty.materialized["published_database"]
    assert facts["checks_failed"] == failed
    text = facts["failed_checks"]
    for name in faulty.failed_checks:
        asset, _, check = name.partition(":")
        assert f"| [{check}](/assets/{asset}?view=checks&checkDetail={check}) " in text
    assert 1 <= text.count("](data:image/webp;base64,") <= 5
    assert len(text) < 60_000


def test_a_check_counts_all_offenders_and_names_twenty(faulty: Run) -> None:
    found = faulty.checks["samples:anomalous_images_have_masks"]
    expected = {
        "dagm_2007/Class1/Train/0001.PNG": "unspecified",
        **MASKLESS,
        "mvtec_ad/bottle/train/broken/000.png": "broken",
    }
    assert found.metadata["count"].value == len(expected) == 23
    assert list(offenders(found).items()) == list(expected.items())[:20]
    assert found.severity is dg.AssetCheckSeverity.WARN


def test_a_category_is_complete_partial_by_so_many_or_unknown(faulty: Run) -> None:
    found = faulty.checks["samples:counts_equal_the_official_ones"]
    assert found.severity is dg.AssetCheckSeverity.WARN
    assert offenders(found) == {
        "dagm_2007/Class1": (
            "partial: train good 1 of 496, train anomalous 2 of 79, "
            "test good 0 of 504, test anomalous 0 of 71"
        ),
        "dagm_2007/Class2": (
            "partial: train good 0 of 509, train anomalous 0 of 66, "
            "test good 0 of 491, test anomalous 0 of 84"
        ),
        "mvtec_ad/bottle": (
            "partial: train good 4 of 209, train anomalous 1 of 0, "
            "test good 1 of 20, test anomalous 21 of 63"
        ),
        "mvtec_ad/cable": (
            "partial: train good 2 of 224, test good 1 of 58, test anomalous 4 of 92"
        ),
        "mvtec_ad/widget": "unknown category",
    }


def test_a_damaged_file_is_rejected_by_name_and_the_others_are_used(
    faulty: Run, module_environment: Environment
) -> None:
    found = faulty.checks["rejected_images:images_are_usable"]
    assert found.severity is dg.AssetCheckSeverity.WARN
    [(offender, detail)] = offenders(found).items()
    assert offender == "cable/train/good/001.png"
    assert detail.startswith("truncated_image: ")
    assert faulty.materialized["rejected_images"]["reasons_in_this_run"] == {"truncated_image": 1}
    [(images, samples)] = module_environment.query(
        "SELECT (SELECT count(*) FROM images), (SELECT count(*) FROM samples)"
    )
    assert (images, samples) == (39, 38)


@pytest.mark.slow
def test_a_blocking_check_that_fails_stops_publishing_and_fails_the_run(
    tiny: Environment, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DAGM_2007_ROOT", "")
    lost = "mvtec_ad/bolt/train/good/001.png"

    def lose_one(*arguments: object, **options: object) -> BuildReport:
        report = build_tensors(*arguments, **options)  # type: ignore[arg-type]
        with cast("Warehouse", arguments[0]).connect() as connection:
            connection.execute("DELETE FROM image_tensors WHERE image_id = ?", [lost])
        return report

    monkeypatch.setattr(build, "build_tensors", lose_one)
    run = run_job()
    assert not run.success
    assert run.failures.keys() == {"image_tensors_checks"}
    name = "image_tensors:images_have_a_tensor_or_a_rejection"
    assert run.failed_checks == {name}
    found = run.checks[name]
    assert found.severity is dg.AssetCheckSeverity.ERROR
    assert offenders(found) == {lost: "neither decoded nor rejected"}
    assert run.materialized.keys() == {
        "mvtec_ad/images",
        "mvtec_ad/stray_files",
        "dagm_2007/images",
        "dagm_2007/stray_files",
        "images",
        "load_history",
        "corrections",
        "image_tensors",
        "recipe_tensors",
        "rejected_images",
    }
    assert not tiny.database.exists()

    # A run of this asset alone does not publish the database either.
    run = run_selection(dg.AssetSelection.assets("published_database").without_checks())
    assert not run.success
    message = run.failures["published_database"]
    assert (
        "Nothing was published, because blocking checks fail: "
        f"images_have_a_tensor_or_a_rejection (1, first {lost})."
    ) in message
    assert not tiny.database.exists()


def test_checks_of_corrected_values_are_on_assets_that_follow_the_corrections() -> None:
    """Dagster may evaluate a check as soon as its asset is materialized: before corrections are read."""
    after = dg.AssetSelection.assets("corrections").downstream().resolve(GRAPH)
    early = {key.name for key in GRAPH.asset_check_keys if key.asset_key not in after}
    assert early == {
        *("image_ids_are_unique", "most_files_belong_to_images"),
        *("masks_belong_to_an_image", "files_are_recognised"),
    }
    for name in early:
        read = sql_text(f"checks/{name}")
        assert not re.search("effective_images|corrected|samples|splits|label|facts", read)
