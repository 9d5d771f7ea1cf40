"""Inspect a folder before it is loaded, with a declaration."""
