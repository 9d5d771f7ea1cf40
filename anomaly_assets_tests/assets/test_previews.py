"""Contact sheets in the graph: files beside the published database, small pictures in the UI."""

import base64
import io

import dagster as dg
import pytest
from PIL import Image

from anomaly_assets_tests.assets.environment import Environment
from anomaly_assets_tests.assets.runs import run_selection

SHEETS = dg.AssetSelection.assets("contact_sheets", "rejected_images").upstream().without_checks()


def test_the_sheets_of_both_source_datasets_together_stay_below_100_kilobytes_in_the_event_log(
    samples: Environment, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ANOMALY_IMAGE_SIZE", "256")
    run = run_selection(SHEETS)
    assert run.success
    facts = run.materialized["contact_sheets"]
    folder = samples.database.parent / "contact_sheets"
    assert facts["folder"] == str(folder)
    assert sorted(path.name for path in folder.iterdir()) == ["dagm_2007.jpg", "mvtec_ad.jpg"]
    texts = {name: facts[name] for name in samples.roots}
    assert sum(len(text) for text in texts.values()) < 100_200
    for name, title in (("mvtec_ad", "MVTec AD"), ("dagm_2007", "DAGM 2007")):
        before, _, after = texts[name].partition("base64,")
        assert before == f"![{title}](data:image/jpeg;"
        picture = Image.open(io.BytesIO(base64.b64decode(after.removesuffix(")"))))
        with Image.open(folder / f"{name}.jpg") as full:
            assert (picture.format, full.format) == ("JPEG", "JPEG")
            assert picture.width * full.height == pytest.approx(
                full.width * picture.height, rel=0.05
            )


def test_a_source_dataset_without_images_has_no_sheet(
    tiny: Environment, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DAGM_2007_ROOT", "")
    run = run_selection(SHEETS)
    assert run.success
    assert run.materialized["contact_sheets"].keys() == {"folder", "mvtec_ad"}
    folder = tiny.database.parent / "contact_sheets"
    assert [path.name for path in folder.iterdir()] == ["mvtec_ad.jpg"]
