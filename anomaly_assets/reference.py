"""Write the page of tables: `python -m anomaly_assets.reference`, the old name of `tools.tables_page`."""

import sys

from tools.tables_page import main

if __name__ == "__main__":
    sys.exit(main())
