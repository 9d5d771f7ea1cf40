"""Run `anomaly-assets copy` or `expire` under the older name, `python -m anomaly_assets.warehouse`."""

import sys

from anomaly_assets.cli.copy import main

if __name__ == "__main__":
    sys.exit(main())
