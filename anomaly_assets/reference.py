"""Write the page of tables: `python -m anomaly_assets.reference`, the old name of `tools.tables_page`."""

import sys
from pathlib import Path

try:
    from tools.tables_page import main
except ModuleNotFoundError as error:
    if (error.name or "").partition(".")[0] != "tools":
        raise
    REASON = (
        "anomaly_assets.reference works only in a checkout of this project: its code is in tools/, "
        "which is not installed. Run it in the folder of the checkout."
    )
    if __name__ == "__main__":
        sys.exit(f"error: {REASON}")
    raise ModuleNotFoundError(REASON, name=error.name) from None

if __name__ == "__main__":
    if not Path("docs", "tables.md").is_file():
        sys.exit("error: there is no docs/tables.md here. Run it in the folder of the checkout.")
    sys.exit(main())
