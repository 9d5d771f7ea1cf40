"""Run `anomaly-assets info` under its older name, `python -m anomaly_assets.reader`."""

import sys

from anomaly_assets.cli.described import main

if __name__ == "__main__":
    sys.exit(main())
