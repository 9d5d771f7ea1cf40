"""Collect the comparison with anomalib only where it is installed."""

from __future__ import annotations

from importlib.util import find_spec

collect_ignore = [] if find_spec("anomalib") else ["test_with_anomalib.py"]
"""`make test-anomalib` runs this module, in the environment that has anomalib."""
