"""Run `anomaly-assets excerpt` under its older name, `python -m anomaly_assets.excerpt`."""

from anomaly_assets.cli.excerpt import Excerpt, ExcerptError, main, make_excerpt

__all__ = ["Excerpt", "ExcerptError", "main", "make_excerpt"]

if __name__ == "__main__":
    raise SystemExit(main())
