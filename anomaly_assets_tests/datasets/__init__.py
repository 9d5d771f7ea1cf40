"""Tests of folder layouts."""
