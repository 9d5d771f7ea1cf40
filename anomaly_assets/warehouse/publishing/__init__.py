"""From a warehouse to what people open: a file beside it, or a clone in MotherDuck; and which there are."""
