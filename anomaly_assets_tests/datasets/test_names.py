"""Test forms of a name: for ids and pairs, for tables, for messages."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from anomaly_assets.datasets.names import (
    as_text,
    canonical_path,
    normalized_forms_of,
    shown,
    spelled,
)

NFC, NFD = "gr\u00f6\u00dfe/caf\u00e9.png", "gro\u0308\u00dfe/cafe\u0301.png"


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("bottle/train/good/000.png", "bottle/train/good/000.png"),
        (NFC, NFC),
        (NFD, NFC),
        ("bottle\\train\\good\\000.png", "bottle/train/good/000.png"),
        ("cafe\u0301\\train\\000.png", "caf\u00e9/train/000.png"),
        ("back\\slash/train/good/000.png", "back\\slash/train/good/000.png"),
        ("C:\\bottle\\train\\000.png", "C:\\bottle\\train\\000.png"),
        ("\\\\server\\share\\000.png", "\\\\server\\share\\000.png"),
        ("caf\udce9/e\u0301.png", "caf\udce9/\u00e9.png"),
        ("\N{KELVIN SIGN}/0.png", "K/0.png"),
        ("", ""),
    ],
)
def test_a_path_has_one_canonical_spelling(path: str, expected: str) -> None:
    assert canonical_path(path) == expected


@given(st.text())
@example("\\a\\")
@example("a\\e\u0301")
def test_a_canonical_path_stays_as_it_is(path: str) -> None:
    once = canonical_path(path)
    assert canonical_path(once) == once
    assert unicodedata.is_normalized("NFC", once)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("plain.png", "plain.png"),
        ("\N{GRINNING FACE}\N{ZERO WIDTH JOINER}\N{CROCODILE} größe",) * 2,
        ("\x1b[31mred", "\\x1b[31mred"),
        ("two\nlines\r\t", "two\\x0alines\\x0d\\x09"),
        ("\x7f\x9b", "\\x7f\\x9b"),
        ("gpj.\u202egnp", "gpj.\\u202egnp"),
        ("\u2066\u2069\u200e\u200f\u061c", "\\u2066\\u2069\\u200e\\u200f\\u061c"),
        ("a\u2028b\u2029c\ufeff", "a\\u2028b\\u2029c\\ufeff"),
        ("caf\udce9", "caf\\xe9"),
    ],
)
def test_a_name_in_a_message_moves_no_terminal_and_begins_no_line(name: str, expected: str) -> None:
    assert shown(name) == expected
    assert shown(expected) == expected


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_no_name_in_a_message_holds_a_control_character(name: str) -> None:
    assert not {"Cc", "Zl", "Zp"} & {unicodedata.category(letter) for letter in shown(name)}
    assert not {"RLO", "LRO", "RLE", "LRE", "PDF", "RLI", "LRI", "FSI", "PDI"} & {
        unicodedata.bidirectional(letter) for letter in shown(name)
    }


def test_names_in_tables_keep_their_characters() -> None:
    assert as_text("\x1b\n\u202e\u00e9") == "\x1b\n\u202e\u00e9"
    assert as_text("caf\udce9") == "caf\\xe9"


def test_two_names_that_look_alike_are_spelled_differently() -> None:
    assert spelled("caf\u00e9\n") == "caf\\u00e9\\x0a"
    assert spelled("cafe\u0301\n") == "cafe\\u0301\\x0a"


@pytest.mark.parametrize(
    ("before", "now"),
    [
        ("bottle/000.png", {"bottle/000.png"}),
        (NFD, {NFC}),
        # The bytes of NFC and of NFD in UTF-8, read as cp437.
        ("caf\u251c\u2310/0.png", {"caf\u251c\u2310/0.png", "caf\u00e9/0.png"}),
        ("cafe\u2560\u00fc/0.png", {"cafe\u2560\u00fc/0.png", "caf\u00e9/0.png"}),
    ],
)
def test_a_name_of_the_first_release_is_known_again(before: str, now: set[str]) -> None:
    assert normalized_forms_of(before) == now
