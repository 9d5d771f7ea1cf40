"""DuckLake: its connection, locks, publications and expiry."""
