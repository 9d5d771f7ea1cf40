"""What the pipeline does when it is killed, crowded, starved or cancelled: `make faults`.

Not part of the tests that pytest collects: it runs the real command some two hundred times.
"""
