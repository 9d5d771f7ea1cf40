"""Ratios measured side by side in one sitting: `make bench`."""
