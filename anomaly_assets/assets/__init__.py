"""The asset graph: thin Dagster frames around the plain Python of the other rooms."""
