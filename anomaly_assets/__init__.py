"""Image data of anomaly detection, from any folder into one DuckDB database.

`anomaly_assets.definitions` is what Dagster loads. Everything below `datasets`, `ingest`, `tensors`
and `warehouse` is plain Python that runs and is tested without Dagster.
"""

__version__ = "0.1.0"
