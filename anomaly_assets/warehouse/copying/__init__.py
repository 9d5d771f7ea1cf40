"""Moving a whole database to another kind of place, and comparing what came out."""
