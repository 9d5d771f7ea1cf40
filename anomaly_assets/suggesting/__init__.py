"""Suggest a declaration for a folder that has none."""
