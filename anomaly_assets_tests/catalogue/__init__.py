"""Test the catalogue: from a root to the tables of one source dataset."""
