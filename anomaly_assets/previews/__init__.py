"""Draw pictures for the UI: contact sheets, charts, and the affected images of a failed check.

All are drawn with Pillow, which every run needs anyway. The UI shows a picture 600 pixels wide, and its
event log is never cleaned. So a picture is drawn at that width and encoded to fit into a byte budget.
"""
