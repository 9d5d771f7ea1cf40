"""Define the asset graph: thin Dagster wrappers around the plain Python of the other packages."""
