"""Define the error that exports raise."""

from anomaly_assets.errors import AnomalyAssetsError


class ExportError(AnomalyAssetsError, RuntimeError):
    """Failed export: the destination is unchanged, and the message explains what to do."""
