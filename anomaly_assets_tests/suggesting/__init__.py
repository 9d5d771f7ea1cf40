"""Tests of suggesting declarations."""
