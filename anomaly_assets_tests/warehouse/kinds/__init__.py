"""Test every kind of warehouse in the same way: a file and a lake."""
