"""What can go wrong with an export."""


class ExportError(RuntimeError):
    """There is no new export, and what was there is as it was; the message says what to do."""
