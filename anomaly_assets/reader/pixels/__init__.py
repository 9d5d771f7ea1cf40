"""Read pixels by queries, from the blocks of a file, or from a lake."""
