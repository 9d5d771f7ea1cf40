"""Measure how well a baseline detector finds the anomalies of each category."""
