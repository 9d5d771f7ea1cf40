"""Looking at a root before it is loaded."""
