"""Run `anomaly-assets load` under its older name, `python -m anomaly_assets.ingest`."""

import sys

from anomaly_assets.cli.load import main

if __name__ == "__main__":
    sys.exit(main())
