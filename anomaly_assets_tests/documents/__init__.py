"""What the documents say is what happens: their commands, their output, their tables, their messages."""
