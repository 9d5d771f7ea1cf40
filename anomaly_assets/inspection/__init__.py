"""Look at a folder before it is loaded: what a declaration makes of it, and which declaration fits."""
