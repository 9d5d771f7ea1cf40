"""List source datasets with samples in the repository: those of the graph if nothing is configured."""

from anomaly_assets.datasets import SOURCE_DATASETS

SAMPLED = {name: each for name, each in SOURCE_DATASETS.items() if each.default_root is not None}
