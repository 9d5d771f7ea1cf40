"""A warehouse in MotherDuck."""
