"""Documents are checked against the behaviour: their commands, output, tables and messages."""
