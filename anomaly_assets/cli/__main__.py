"""Run `anomaly-assets` as `python -m anomaly_assets.cli`."""

import sys

from anomaly_assets.__main__ import main

if __name__ == "__main__":
    sys.exit(main())
