"""Check the project's English: `python -m tools.words [paths]`; the rules are in `RULES`.

It reads docstrings, comments and messages of Python files, comments of SQL files, and Markdown pages.
Text in backticks, code blocks and link targets is not read.
"""

from __future__ import annotations

import ast
import io
import re
import sys
import tokenize
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[1]

LINTED = (
    "anomaly_assets",
    "anomaly_assets_tests",
    "benchmarks",
    "docs",
    "examples",
    "notebooks",
    "tools",
    "CONTRIBUTING.md",
    "README.md",
)
"""Paths without findings, relative to the project; `make lint` checks them."""

EXEMPT = ROOT / "anomaly_assets_tests" / "test_words.py"
"""File that is not read, because it has an example of each finding."""

FIRST_WORDS = re.compile(r"(What|Whether|Where|How|Which|When|Who|Of)\b")
"""Words with which no docstring begins."""

NOUN_PHRASE = re.compile(r"(The|A|An|All|Each|Every|Some)\b")
"""Words with which the docstring of a class may begin, but not that of a function."""

RULES = {
    name: re.compile(pattern, re.IGNORECASE)
    for name, pattern in {
        "personification": r"\b(lies?|stands?(?! for|-in)|tells?|knows|says?|said|understands?|understood"
        r"|(goes|going|went) away)\b",
        "somebody": r"\bsomebody\b",
        "who without antecedent": r"(^|[.;:,]\s+|\b(and|ask|by|for|from|of|that|to)\s+)who\b",
        "package or module, not room": r"\brooms\b|\b(a|each|every|own|that|the|this|which) room\b(?! for)",
        "expensive": r"\bdear(er|est)?\b",
        "affected": r"\boffend(ers?|s|ing)\b",
        "rebuilt": r"\b(made?|making|makes)\b(\s+\w+){0,2}\s+again\b|\banew\b",
        "fixed": r"\bmend(s|ed|ing)?\b",
        "on purpose": r"\bby intent\b",
    }.items()
}
"""Name of each rule, or the word to use, and the pattern of the words that it forbids."""

_CODE = re.compile(r"(`+)(?!`).+?(?<!`)\1(?!`)", re.DOTALL)
_NOT_PROSE_IN_MARKDOWN = re.compile(
    r"^(?P<fence>```+|~~~+).*?^(?P=fence)[ \t]*$|<!--.*?-->|\]\([^)\n]*\)|^\[[^\]\n]+\]:.*$|https?://\S+",
    re.DOTALL | re.MULTILINE,
)
_SQL = re.compile(r"\s*(--|SELECT|WITH|CREATE|INSERT|DELETE|UPDATE|ALTER|ATTACH|FROM|MERGE)\b")
_SQL_COMMENT = re.compile(r"--[^\n]*")
_FEWEST_WORDS = 4
"""Strings with fewer words are taken for names and not for messages."""


class Finding(NamedTuple):
    """Place and name of a rule that a text breaks."""

    path: str
    line: int
    rule: str
    text: str

    def __str__(self) -> str:
        return f"{self.path}:{self.line}: {self.rule}: {self.text}"


def main(arguments: list[str] | None = None) -> int:
    """Print the findings below some paths, or below `LINTED`; return 1 if there are any."""
    found = list(findings(arguments or [str(ROOT / path) for path in LINTED]))
    for finding in found:
        print(finding)
    print(f"{len(found)} findings", file=sys.stderr)
    return 1 if found else 0


def findings(paths: Iterable[str | Path]) -> Iterator[Finding]:
    """Yield the findings in some files and in all files below some folders."""
    for path in map(Path, paths):
        if not path.exists():
            raise FileNotFoundError(f"{path} does not exist.")
        files = [path] if path.is_file() else sorted(path.rglob("*"))
        for file in files:
            if file.suffix in _READERS and not file.is_dir() and file != EXEMPT:
                name = str(file.relative_to(ROOT)) if file.is_relative_to(ROOT) else str(file)
                for line, rule, text in _READERS[file.suffix](file.read_text("utf-8")):
                    yield Finding(name, line, rule, text)


_Broken = Iterator[tuple[int, str, str]]
"""Line, rule and words of each finding in a text."""


def python_findings(source: str) -> _Broken:
    """Yield the findings in the docstrings, comments and messages of a Python module."""
    tree = ast.parse(source)
    documented = {id(text): node for node, text in _docstrings(tree)}
    inside: set[int] = set()
    for node in ast.walk(tree):
        if id(node) in inside:
            continue
        if isinstance(node, ast.JoinedStr):
            inside |= {id(part) for part in node.values}
            constants = [
                part.value if isinstance(part, ast.Constant) else "…" for part in node.values
            ]
            yield from _message_findings("".join(map(str, constants)), node.lineno)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            if id(node) in documented:
                yield from _docstring_findings(documented[id(node)], node.value, node.lineno)
            else:
                yield from _message_findings(node.value, node.lineno)
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.COMMENT:
            yield from _forbidden(token.string.lstrip("# "), token.start[0])


def sql_findings(source: str) -> _Broken:
    """Yield the findings in the comments of SQL."""
    for number, line in enumerate(source.splitlines(), 1):
        for comment in _SQL_COMMENT.findall(line):
            yield from _forbidden(comment.lstrip("- "), number)


def markdown_findings(source: str) -> _Broken:
    """Yield the findings in a Markdown page."""
    return _forbidden(_blanked(source, _NOT_PROSE_IN_MARKDOWN), 1)


def _docstrings(tree: ast.Module) -> Iterator[tuple[ast.AST, ast.Constant]]:
    """Yield what is documented and its docstring; that of an attribute is the string after it."""
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        if not isinstance(body, list):
            continue
        defined = isinstance(
            node, (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
        )
        for before, statement in zip([node if defined else None, *body], body, strict=False):
            if (
                isinstance(statement, ast.Expr)
                and isinstance(statement.value, ast.Constant)
                and isinstance(statement.value.value, str)
                and (before is node or isinstance(before, (ast.Assign, ast.AnnAssign)))
            ):
                yield before, statement.value


def _docstring_findings(documented: ast.AST, text: str, line: int) -> _Broken:
    start = text.lstrip()
    if word := FIRST_WORDS.match(start):
        yield line, "first word of a docstring", word[0]
    is_function = isinstance(documented, (ast.FunctionDef, ast.AsyncFunctionDef))
    if is_function and (word := NOUN_PHRASE.match(start)):
        yield line, "a function's docstring begins with a verb", word[0]
    yield from _forbidden(text, line)


def _message_findings(text: str, line: int) -> _Broken:
    if _SQL.match(text):
        for number, words in enumerate(text.split("\n")):
            for comment in _SQL_COMMENT.findall(words):
                yield from _forbidden(comment, line + number)
    elif len(text.split()) >= _FEWEST_WORDS:
        for _, rule, words in _forbidden(text, line):
            yield line, rule, words


def _forbidden(text: str, line: int) -> _Broken:
    prose = _blanked(text, _CODE)
    for rule, pattern in RULES.items():
        for match in pattern.finditer(prose):
            yield line + prose.count("\n", 0, match.start()), rule, " ".join(match[0].split())


def _blanked(text: str, pattern: re.Pattern[str]) -> str:
    """Return a text of the same lines, with a sign that is no word in place of each match.

    The sign is no backtick, because those are paired afterwards.
    """
    return pattern.sub(lambda match: "¤" + "\n" * match[0].count("\n"), text)


_READERS = {".py": python_findings, ".sql": sql_findings, ".md": markdown_findings}

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
