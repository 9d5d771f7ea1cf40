"""Draw the sample data: `python -m anomaly_assets.samples`, the old name of `tools.synthetic_samples`."""

from tools.synthetic_samples import DEFAULT_OUT, main, write_samples

__all__ = ["DEFAULT_OUT", "main", "write_samples"]

if __name__ == "__main__":
    main()
