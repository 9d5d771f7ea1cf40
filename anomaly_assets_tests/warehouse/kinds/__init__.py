"""Tests that run on every kind of warehouse: on a file and on a lake."""
