"""Pictures for people, compared pixel by pixel."""
