"""Find the parts of a Markdown page: fenced blocks, inline commands, links."""

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
        language: Language behind the fence.
        text: Content of the block.
        output: Content of a following block without a language, if nothing is in between.
    """

    page: str
    line: int
    language: str
    text: str
    output: str | None

    @property
    def first_line(self) -> str:
        """Return its name: the first line without its comment."""
        return self.text.partition("\n")[0].partition("  #")[0].rstrip()


def blocks(project: Path, page: str) -> list[Block]:
    """Return the fenced blocks of a page that are not the output of another one."""
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
    """Return a page without its fenced blocks."""
    return _FENCE.sub("", (project / page).read_text("utf-8"))


def inline_code(project: Path, page: str) -> list[str]:
    """Return the code inside of sentences and tables."""
    return [" ".join(code.split()) for code in re.findall(r"`([^`]+)`", prose(project, page))]


def links(project: Path, page: str) -> list[str]:
    """Return the targets of links and pictures."""
    return re.findall(r"\]\(([^)\s]+)\)", prose(project, page))


def _content(fence: re.Match[str]) -> str:
    return textwrap.dedent(fence["text"])


def blocks_on_training(root: Path) -> list[str]:
    """Return the Python of `docs/reading.md` on training, block by block."""
    text = (root / "docs/reading.md").read_text("utf-8")
    section = text.partition("\n## Train with PyTorch\n")[2].partition("\n## ")[0]
    return re.findall(r"```python\n(.*?)```", section, re.DOTALL)
