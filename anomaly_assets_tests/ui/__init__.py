"""The Dagster UI in a real browser: `make test-ui`, and `make screenshots` for the README's pictures."""
