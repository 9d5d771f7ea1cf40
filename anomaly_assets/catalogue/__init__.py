"""List a root, compare it with the tables, and load the difference with dlt."""
