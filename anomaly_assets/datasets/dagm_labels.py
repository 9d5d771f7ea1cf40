"""Parse the `Labels.txt` files of DAGM 2007."""

from __future__ import annotations

from anomaly_assets.datasets.record import DeclaredLabels
from anomaly_assets.datasets.text import decode_text

_LONGEST_NAME = 255


def parse_labels(content: bytes) -> DeclaredLabels:
    r"""Parse the content of a `Labels.txt`.

    Any Unicode encoding, byte order marks, CRLF, blank lines and trailing tabs are accepted. A line is
    malformed if it has bytes that are not text, or a name too long for a file.

    Args:
        content: The file's bytes.

    Returns:
        The declared labels. An image declared twice with different values counts as anomalous.
    """
    declared: dict[str, int] = {}
    malformed: list[int] = []
    decoded = decode_text(content)
    for number, line in enumerate(decoded.text.splitlines(), start=1):
        if not (text := line.strip()) or (number == 1 and text == "1"):
            continue
        fields = [field.strip() for field in line.split("\t")]
        if (
            len(fields) < 3
            or fields[1] not in ("0", "1")
            or "�" in line
            or not 0 < len(fields[2]) <= _LONGEST_NAME
        ):
            malformed.append(number)
        else:
            declared[fields[2]] = max(int(fields[1]), declared.get(fields[2], 0))
    return DeclaredLabels(declared, tuple(malformed), () if decoded.is_clean else decoded.tried)
