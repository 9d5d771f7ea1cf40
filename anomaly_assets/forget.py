"""Run `anomaly-assets forget` under its older name, `python -m anomaly_assets.forget`."""

import sys

from anomaly_assets.cli.forget import main

if __name__ == "__main__":
    sys.exit(main())
