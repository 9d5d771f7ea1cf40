"""Copies of a whole database in another kind of place, and the comparison afterwards."""
