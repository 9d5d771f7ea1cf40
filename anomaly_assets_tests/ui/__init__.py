"""Test the Dagster UI in a browser (`make test-ui`), and take the README's screenshots."""
