"""Parse whole numbers with a lower bound, in commands and settings, and times."""

from __future__ import annotations

import argparse
import re
from collections.abc import Callable
from datetime import datetime

_MOST_DIGITS = 9
"""Maximum digits; a larger number is a typing error, and could overflow later."""


_TIME = re.compile(
    r"""
    (?P<day>[0-9]{4}-[0-9]{2}-[0-9]{2})
    (?:[T ](?P<clock>[0-9]{2}:[0-9]{2}(?::[0-9]{2})?)(?:\.(?P<fraction>[0-9]{1,9}))?
    (?P<zone>Z|[+-][0-9]{2}:?[0-9]{2})?)?
    """,
    re.IGNORECASE | re.VERBOSE,
)


def iso_time(text: str) -> datetime:
    """Parse a time in ISO 8601, in the same way on every version of Python.

    A date alone is its first moment. A time without zone has no zone. Digits after the sixth of a fraction
    are cut.

    Raises:
        ValueError: The text is no such time, or not in the calendar.
    """
    found = _TIME.fullmatch(text)
    if found is None or (found["fraction"] and found["clock"].count(":") < 2):
        raise ValueError(text)
    fraction = f".{(found['fraction'] or '0')[:6]:0<6}"
    zone = (found["zone"] or "").upper().replace("Z", "+00:00")
    if zone and ":" not in zone:
        zone = f"{zone[:3]}:{zone[3:]}"
    clock = found["clock"] or "00:00"
    seconds = clock if clock.count(":") == 2 else f"{clock}:00"
    return datetime.fromisoformat(f"{found['day']}T{seconds}{fraction}{zone}")


def whole_number(text: str, least: int) -> int:
    """Parse a whole number.

    Args:
        text: An argument, or the value of a variable.
        least: Smallest allowed number.

    Raises:
        ValueError: Not a number, too small or too long; the message quotes the text and gives the limits.
    """
    is_number = text.isascii() and text.isdecimal()
    if not is_number or len(text) > _MOST_DIGITS or int(text) < least:
        most = f" and at most {_MOST_DIGITS} digits" if len(text) > _MOST_DIGITS else ""
        raise ValueError(f"{text!r}: use a whole number of at least {least}{most}.")
    return int(text)


def at_least(least: int) -> Callable[[str], int]:
    """Return a type for `argparse`: a whole number with this lower bound."""

    def parse(text: str) -> int:
        try:
            return whole_number(text, least)
        except ValueError as error:  # argparse would not show the message of a ValueError
            raise argparse.ArgumentTypeError(str(error)) from None

    return parse
