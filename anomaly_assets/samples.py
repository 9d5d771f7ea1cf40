"""Draw the sample data: `python -m anomaly_assets.samples`, the old name of `tools.synthetic_samples`."""

import sys

try:
    from tools.synthetic_samples import DEFAULT_OUT, main, write_samples
except ModuleNotFoundError as error:
    if (error.name or "").partition(".")[0] != "tools":
        raise
    REASON = (
        "anomaly_assets.samples works only in a checkout of this project: its code is in tools/, "
        "which is not installed. Run it in the folder of the checkout."
    )
    if __name__ == "__main__":
        sys.exit(f"error: {REASON}")
    raise ModuleNotFoundError(REASON, name=error.name) from None

__all__ = ["DEFAULT_OUT", "main", "write_samples"]

if __name__ == "__main__":
    main()
