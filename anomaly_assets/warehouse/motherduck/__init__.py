"""Keep the warehouse in MotherDuck."""
