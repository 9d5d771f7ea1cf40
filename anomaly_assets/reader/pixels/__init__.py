"""Three ways to read pixels: a query, blocks of the file, a lake."""
