"""What a folder layout means."""
