"""Test the documents against the behaviour: their commands, output, tables and messages."""
