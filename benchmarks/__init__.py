"""Measure ratios of two things, measured in turn (`make bench`)."""
