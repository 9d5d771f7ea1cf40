"""What only a DuckLake needs: its connection, its locks, its versions."""
