"""Keep the warehouse in a DuckDB file, and publish another file."""
