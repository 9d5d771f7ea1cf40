from __future__ import annotations

from pathlib import Path

import pytest

from tools.words import LINTED, ROOT, findings, main, markdown_findings, python_findings

BROKEN = {
    "What a file holds.": "first word of a docstring",
    "Whether it is open.": "first word of a docstring",
    "Of each file, the size.": "first word of a docstring",
    "The size of a file.": "a function's docstring begins with a verb",
    "Return the folder where the file lies.": "personification",
    "Return the rows that the parser understood.": "personification",
    "Wait until the scheduler goes away.": "personification",
    "Return what the header may say.": "personification",
    "Return the name that somebody gave.": "somebody",
    "Wait for the lock; who holds it may be gone.": "who without antecedent",
    "Return the rooms of the project.": "package or module, not room",
    "Import it late, because this room may not know Dagster.": "package or module, not room",
    "Decode once, because decoding is dear.": "expensive",
    "Count the offenders.": "affected",
    "Build the tables anew.": "rebuilt",
    "Rebuild all tensors: they are made again.": "rebuilt",
    "Drop the row when the file is mended.": "fixed",
    "Refuse fewer images, unless by intent.": "on purpose",
}

KEPT = [
    "Return what a file holds.",
    "Return the size of a file.",
    "Return `lies`, ``who lies``, and the column `offender`.",
    "Replace the name that stands for the union.",
    "Start a stand-in on this machine.",
    "Return the user who made the request.",
    "Return early if there is no room for more.",
    "Rewrite the database; run the command again.",
]


def rules(source: str) -> list[tuple[int, str]]:
    return [(line, rule) for line, rule, _ in python_findings(source)]


@pytest.mark.parametrize("text", BROKEN)
def test_each_rule_finds_its_example_in_a_docstring(text: str) -> None:
    assert rules(f'def f():\n    """{text}"""\n') == [(2, BROKEN[text])]


@pytest.mark.parametrize("text", KEPT)
def test_no_rule_finds_what_is_allowed(text: str) -> None:
    assert rules(f'def f():\n    """{text}"""\n') == []


def test_docstrings_of_modules_classes_and_attributes_are_read() -> None:
    source = '"""What a module is."""\n\nX = 1\n"""Whether."""\n\n\nclass A:\n    """The A."""\n\n'
    source += '    y: int\n    """How many."""\n\n\nif X:\n    """Where it is not a docstring."""\n'
    assert rules(source) == [(line, "first word of a docstring") for line in (1, 4, 11)]


def test_comments_and_messages_are_read_and_names_are_not() -> None:
    source = (
        "import re  # nobody says\n"
        'raise ValueError(f"{name} lies in another folder: name one.")\n'
        'rows = table(("offender", "detail"), found["offenders"])\n'
        'query = "SELECT image_id AS offender, detail FROM lies"\n'
        'commented = """\nSELECT 1\n-- Given by somebody.\n"""\n'
    )
    assert sorted(rules(source)) == [
        (1, "personification"),
        (2, "personification"),
        (7, "somebody"),
    ]


def test_a_line_of_a_long_docstring_is_named() -> None:
    assert rules('"""A module.\n\nOne line.\nIt lies here.\n"""\n') == [(4, "personification")]


def test_pages_are_read_without_their_code_and_links() -> None:
    page = (
        "# What it is\n\nIt lies here, and `offenders` do not.\n\n```\nsomebody says\n```\n"
        "[words](who-lies.md#somebody-knows) of <https://example.org/somebody>\n<!-- who tells -->\n"
        "Decoding\nis dear.\n"
    )
    assert [(line, rule) for line, rule, _ in markdown_findings(page)] == [
        (3, "personification"),
        (11, "expensive"),
    ]


def test_the_command_prints_findings_and_fails(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "a.sql").write_text("SELECT 'lies'; -- it says no\n")
    (tmp_path / "b.md").write_text("Fine.\n")
    assert main([str(tmp_path)]) == 1
    printed = capsys.readouterr()
    assert printed.out == f"{tmp_path}/a.sql:1: personification: says\n"
    assert printed.err == "1 findings\n"
    assert main([str(tmp_path / "b.md")]) == 0
    with pytest.raises(FileNotFoundError):
        main([str(tmp_path / "none")])


@pytest.mark.slow
@pytest.mark.parametrize("path", LINTED)
def test_a_linted_path_has_no_findings(path: str) -> None:
    assert [str(finding) for finding in findings([ROOT / path])] == []
