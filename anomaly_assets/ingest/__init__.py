"""From a root to the dlt tables of one source dataset: listing, layout, reconciliation."""
