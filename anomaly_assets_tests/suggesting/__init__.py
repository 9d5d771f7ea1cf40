"""Test suggested declarations."""
