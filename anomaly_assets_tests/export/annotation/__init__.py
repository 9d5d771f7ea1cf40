"""Test exports for annotation tools, and the way back."""
