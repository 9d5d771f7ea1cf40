"""What can go wrong with an export."""

from anomaly_assets.errors import AnomalyAssetsError


class ExportError(AnomalyAssetsError, RuntimeError):
    """There is no new export, and what was there is as it was; the message says what to do."""
