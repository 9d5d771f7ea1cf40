"""Checks that run with `make lint`."""
