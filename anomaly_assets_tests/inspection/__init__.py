"""Test the inspection of a root before it is loaded."""
