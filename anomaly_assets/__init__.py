"""Image data for anomaly detection, from any folder into one DuckDB database.

Dagster loads `anomaly_assets.definitions`. All packages but `assets` are plain Python, and run and are
tested without Dagster.
"""

__version__ = "0.1.0"
