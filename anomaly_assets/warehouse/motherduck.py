"""MotherDuck, to come."""

from anomaly_assets.warehouse.base import Warehouse


class MotherDuckWarehouse(Warehouse):
    """To come."""
