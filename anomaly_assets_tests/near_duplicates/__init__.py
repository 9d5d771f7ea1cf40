"""Tests of near duplicates."""
