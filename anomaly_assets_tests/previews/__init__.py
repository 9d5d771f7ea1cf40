"""Test pictures pixel by pixel."""
