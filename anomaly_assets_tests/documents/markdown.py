"""What a page of Markdown holds: fenced blocks, commands inside of sentences, links."""

from __future__ import annotations

import itertools
import re
import textwrap
from dataclasses import dataclass
from pathlib import Path

PROJECT = Path(__file__).parents[2]
PAGES = (
    "README.md",
    "CONTRIBUTING.md",
    "docs/reading.md",
    "docs/settings.md",
    "docs/troubleshooting.md",
    "examples/ci/README.md",
)
"""The pages whose commands are executed, in this order."""

_FENCE = re.compile(
    r"^(?P<indent> *)```(?P<language>\S*)\n(?P<text>.*?)^(?P=indent)```$", re.M | re.S
)


@dataclass(frozen=True)
class Block:
    """A fenced block.

    Attributes:
        page: The file, relative to the project.
        line: The line of the page at which it begins.
        language: What stands behind the fence.
        text: What is in it.
        output: What the block without a language says that follows, with nothing in between.
    """

    page: str
    line: int
    language: str
    text: str
    output: str | None

    @property
    def first_line(self) -> str:
        """Its name: the first line, without the comment behind it."""
        return self.text.partition("\n")[0].partition("  #")[0].rstrip()


def blocks(project: Path, page: str) -> list[Block]:
    """The fenced blocks of a page that are not the output of another one."""
    text = (project / page).read_text("utf-8")
    found = [*_FENCE.finditer(text)]
    outputs = {}
    for fence, following in itertools.pairwise(found):
        between = text[fence.end() : following.start()]
        if fence["language"] and not following["language"] and not between.strip():
            outputs[fence.start()] = _content(following)
    return [
        Block(
            page,
            text.count("\n", 0, fence.start()) + 1,
            fence["language"],
            _content(fence),
            outputs.get(fence.start()),
        )
        for fence in found
        if _content(fence) not in outputs.values()
    ]


def prose(project: Path, page: str) -> str:
    """A page without its fenced blocks."""
    return _FENCE.sub("", (project / page).read_text("utf-8"))


def inline_code(project: Path, page: str) -> list[str]:
    """The code inside of sentences and tables."""
    return [" ".join(code.split()) for code in re.findall(r"`([^`]+)`", prose(project, page))]


def links(project: Path, page: str) -> list[str]:
    """The targets of links and pictures."""
    return re.findall(r"\]\(([^)\s]+)\)", prose(project, page))


def _content(fence: re.Match[str]) -> str:
    return textwrap.dedent(fence["text"])
