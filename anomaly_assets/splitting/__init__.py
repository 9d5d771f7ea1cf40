"""Assign images to folds, and keep the assignment in a file and in the warehouse."""
