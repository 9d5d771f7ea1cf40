"""From a root to the tables of one source dataset."""
