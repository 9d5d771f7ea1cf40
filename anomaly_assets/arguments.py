"""Parse whole numbers with a lower bound, in commands and settings."""

from __future__ import annotations

import argparse
from collections.abc import Callable

_MOST_DIGITS = 9
"""Maximum digits; a larger number is a typing error, and could overflow later."""


def whole_number(text: str, least: int) -> int:
    """Parse a whole number.

    Args:
        text: An argument, or the value of a variable.
        least: Smallest allowed number.

    Raises:
        ValueError: Not a number, too small or too long; the message quotes the text and gives the limits.
    """
    if not text.isdecimal() or len(text) > _MOST_DIGITS or int(text) < least:
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
