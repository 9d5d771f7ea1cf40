"""Build the site of `docs/` once for all its tests."""

from __future__ import annotations

from pathlib import Path

import pytest

from anomaly_assets_tests.conftest import PROJECT_ROOT
from anomaly_assets_tests.site.build import build


@pytest.fixture(scope="package")
def site_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of the built site."""
    pytest.importorskip("material", reason="needs the extra `docs`")
    folder = tmp_path_factory.mktemp("site")
    done = build(PROJECT_ROOT, folder)
    assert done.returncode == 0, done.stderr
    assert "WARNING" not in done.stderr
    return folder
