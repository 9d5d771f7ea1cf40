"""Define the fixtures of the tests of assignments: the small warehouse of the tests of warehouses."""

from anomaly_assets_tests.warehouse.conftest import loaded_once, project

__all__ = ["loaded_once", "project"]
