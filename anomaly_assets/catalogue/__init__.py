"""From a root to the tables of the catalogue."""
