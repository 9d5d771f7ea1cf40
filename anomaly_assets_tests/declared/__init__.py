"""Datasets of users, from their TOML to published rows."""
