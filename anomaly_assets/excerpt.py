"""Older name of `anomaly-assets excerpt`: `python -m anomaly_assets.excerpt`."""

import sys

from anomaly_assets.cli.excerpt import main

if __name__ == "__main__":
    sys.exit(main())
