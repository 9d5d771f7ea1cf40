"""What is in a database: tables, views, checks, and the SQL that makes them."""
