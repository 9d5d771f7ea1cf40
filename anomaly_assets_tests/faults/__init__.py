"""Inject faults: killed, concurrent, starved and cancelled runs (`make faults`).

pytest does not collect it, because it runs the real command some two hundred times.
"""
