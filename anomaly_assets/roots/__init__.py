"""Roots: folders, zip archives and stores that hold the files of a source dataset."""
