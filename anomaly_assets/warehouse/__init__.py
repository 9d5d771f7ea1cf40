"""The database: opening and locking it, its tables and views, checks, publishing."""
