"""Older name of `anomaly-assets copy` and `anomaly-assets expire`: `python -m anomaly_assets.warehouse`."""

import sys

from anomaly_assets.cli.copy import main

if __name__ == "__main__":
    sys.exit(main())
