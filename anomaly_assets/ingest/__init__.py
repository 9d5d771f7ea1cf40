"""Keep the older name of `anomaly-assets load`, `python -m anomaly_assets.ingest`."""
