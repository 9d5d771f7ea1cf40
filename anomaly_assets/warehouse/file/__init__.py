"""A warehouse that is a DuckDB file, and the file that it publishes."""
