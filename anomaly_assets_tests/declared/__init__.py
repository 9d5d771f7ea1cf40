"""Test datasets of users, from their TOML to published rows."""
