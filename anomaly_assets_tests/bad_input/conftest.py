"""Define the fixtures of this package."""

from pathlib import Path

import pytest

from anomaly_assets_tests.bad_input.loading import DEFECT, DEFECTS_MASK, GOOD
from anomaly_assets_tests.warehouse.project import SIZE, Project, mask, noise


@pytest.fixture
def good_and_defect(tmp_path: Path) -> Project:
    """Create a good image, and a defect with its mask."""
    made = Project.at(tmp_path)
    made.save(
        {
            f"mvtec_ad/{GOOD}": noise(1),
            f"mvtec_ad/{DEFECT}": noise(2),
            f"mvtec_ad/{DEFECTS_MASK}": mask((0, 0, *SIZE)),
        }
    )
    return made
