"""Pictures for people: contact sheets, charts, and the images of a failed check.

All are drawn with Pillow, which every run needs anyway. The UI shows a picture 600 pixels wide, and keeps
it in its event log for ever, so a picture is drawn at that width and encoded to fit into so many bytes.
"""
