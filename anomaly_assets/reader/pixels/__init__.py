"""Sources of pixels: a query, blocks of the file, a lake."""
