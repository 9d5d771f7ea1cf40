"""Read numbers that people give to commands and settings: a whole number with a lower bound."""

from __future__ import annotations

import argparse
from collections.abc import Callable

_MOST_DIGITS = 9
"""A larger number is a slip, and overflows where it is added to something."""


def whole_number(text: str, least: int) -> int:
    """Return the number that a text is.

    Args:
        text: An argument, or the value of a variable.
        least: The smallest number that makes sense.

    Raises:
        ValueError: It is none, too small or too long; the message repeats it and says what to use.
    """
    if not text.isdecimal() or len(text) > _MOST_DIGITS or int(text) < least:
        most = f" and at most {_MOST_DIGITS} digits" if len(text) > _MOST_DIGITS else ""
        raise ValueError(f"{text!r}: use a whole number of at least {least}{most}.")
    return int(text)


def at_least(least: int) -> Callable[[str], int]:
    """Return a type of `argparse` for a whole number with this lower bound."""

    def parse(text: str) -> int:
        try:
            return whole_number(text, least)
        except ValueError as error:  # of which argparse would show nothing
            raise argparse.ArgumentTypeError(str(error)) from None

    return parse
