"""Run `anomaly-assets` as `python -m anomaly_assets`."""

import sys

from anomaly_assets.cli.start import main

if __name__ == "__main__":
    sys.exit(main())
