"""Define tables, views and checks of a database, and the SQL that creates them."""
