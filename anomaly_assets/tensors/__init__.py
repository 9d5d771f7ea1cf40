"""From the bytes of a file to a uniform tensor, and from a catalogue to a table of tensors."""
