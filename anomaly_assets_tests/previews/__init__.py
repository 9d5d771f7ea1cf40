"""Pictures for people, pixel by pixel."""
