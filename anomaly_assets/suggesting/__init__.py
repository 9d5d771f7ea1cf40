"""Suggest a declaration for a folder that nobody has described."""
