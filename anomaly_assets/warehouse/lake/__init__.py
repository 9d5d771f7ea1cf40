"""Keep the warehouse in a DuckLake: connection, locks, publications and expiry."""
