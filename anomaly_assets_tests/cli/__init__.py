"""Test the console command `anomaly-assets`, its sub-commands, and what `materialize` prints."""
