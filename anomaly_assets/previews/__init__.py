"""Pictures for people: contact sheets, charts, and what a failed check complains about.

All are drawn with Pillow, which every run needs anyway. The UI shows a picture 600 pixels wide, and keeps
it in its event log for ever, so a picture is drawn at that width and encoded to fit into so many bytes.
"""

from anomaly_assets.previews.drawing import as_jpeg, as_webp
from anomaly_assets.previews.sheets import contact_sheet

__all__ = ["as_jpeg", "as_webp", "contact_sheet"]
