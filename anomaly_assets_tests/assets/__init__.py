"""Test the asset graph, executed in process on small roots."""
