"""Test folder layouts."""
