"""A warehouse in a DuckDB file, and the file that it publishes."""
