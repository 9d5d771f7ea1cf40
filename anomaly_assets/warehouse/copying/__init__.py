"""Copy a whole database to another kind of place, and compare both."""
