"""Run `anomaly-assets export` under its older name, `python -m anomaly_assets.export`."""

import sys

from anomaly_assets.cli.export import main

if __name__ == "__main__":
    sys.exit(main())
