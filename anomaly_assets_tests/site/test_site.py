"""Test the site of `docs/`: it builds without a warning, needs no network, and has no broken link."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

from anomaly_assets_tests.conftest import PROJECT_ROOT
from anomaly_assets_tests.site.build import build

pytest.importorskip("material", reason="needs the extra `docs`")
pytestmark = pytest.mark.timeout(300)

DOCS = PROJECT_ROOT / "docs"
PAGES = sorted(page.relative_to(DOCS).as_posix() for page in DOCS.rglob("*.md"))
LOADED = {"script": "src", "img": "src", "iframe": "src", "link": "href", "source": "srcset"}


@dataclass
class Html(HTMLParser):
    """The links, resources and anchors of a page."""

    path: Path
    links: list[str] = field(default_factory=list)
    loaded: list[str] = field(default_factory=list)
    anchors: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        super().__init__()
        self.feed(self.path.read_text("utf-8"))

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        values = {name: value or "" for name, value in attributes}
        self.anchors |= {values[name] for name in ("id", "name") if name in values}
        if tag == "a" and "href" in values:
            self.links.append(values["href"])
        elif tag in LOADED and LOADED[tag] in values:
            self.loaded.append(values[LOADED[tag]])


@pytest.fixture(scope="module")
def site(site_folder: Path) -> dict[Path, Html]:
    """Return the pages of the built site."""
    return {path: Html(path) for path in site_folder.rglob("*.html")}


def test_every_page_is_in_the_site(site: dict[Path, Html], site_folder: Path) -> None:
    built = {path.relative_to(site_folder).as_posix() for path in site}
    assert {f"{page.removesuffix('.md')}.html" for page in PAGES} <= built


def test_nothing_is_loaded_from_elsewhere(site: dict[Path, Html]) -> None:
    elsewhere = {url for page in site.values() for url in page.loaded if urlsplit(url).netloc}
    assert not elsewhere
    assert any(url.endswith(".css") for url in next(iter(site.values())).loaded)


def test_every_link_leads_to_a_place_that_is_there(site: dict[Path, Html]) -> None:
    assert list(broken_links(site)) == []


def broken_links(site: dict[Path, Html]) -> Iterator[tuple[str, str]]:
    for path, page in site.items():
        if path.name == "404.html":
            continue  # served for any address, so its links begin at the server's root
        for url in {*page.links, *page.loaded}:
            parts = urlsplit(url)
            if parts.scheme:
                continue
            target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            if target.is_dir():
                target /= "index.html"
            anchor = unquote(parts.fragment)
            if not target.is_file() or (
                anchor and target in site and anchor not in site[target].anchors
            ):
                yield path.name, url


@pytest.mark.parametrize(
    ("added", "complaint"),
    [
        ("[a page](nowhere.md)", "nowhere.md"),
        ("[a heading](glossary.md#no-such-heading)", "no-such-heading"),
        ("[a source file](../anomaly_assets/nowhere.py)", "nowhere.py"),
        ("![a picture](nowhere.png)", "nowhere.png"),
    ],
)
def test_a_mistake_on_a_page_fails_the_build(tmp_path: Path, added: str, complaint: str) -> None:
    project = copy_of_the_project(tmp_path)
    with (project / "docs" / "sharing.md").open("a", encoding="utf-8") as page:
        page.write(f"\n\n{added}\n")
    done = build(project, tmp_path / "site")
    assert done.returncode != 0
    assert complaint in done.stderr


def test_a_page_that_nothing_leads_to_fails_the_build(tmp_path: Path) -> None:
    project = copy_of_the_project(tmp_path)
    (project / "docs" / "alone.md").write_text("# Alone\n")
    done = build(project, tmp_path / "site")
    assert done.returncode != 0
    assert "alone.md" in done.stderr


def copy_of_the_project(folder: Path) -> Path:
    """Copy the project, with pages that may be changed; all other files are links."""
    project = folder / "project"
    project.mkdir()
    for entry in PROJECT_ROOT.iterdir():
        if entry.name not in ("docs", "data"):
            (project / entry.name).symlink_to(entry)
    shutil.copytree(DOCS, project / "docs")
    return project


def test_every_decision_is_in_the_list_of_decisions() -> None:
    listed = re.findall(
        r"\]\((\d{4}-[a-z0-9-]+\.md)\)", (DOCS / "decisions/index.md").read_text("utf-8")
    )
    assert listed == sorted(path.name for path in (DOCS / "decisions").glob("0*.md"))


@pytest.mark.parametrize("page", PAGES)
def test_every_source_file_that_a_page_names_is_there(page: str) -> None:
    """Find each test by the end of its path, as in `faults/kills.py`; other files name their package."""
    text = (DOCS / page).read_text("utf-8")
    text = re.sub(r"^```.*?^```$", "", text, flags=re.MULTILINE | re.DOTALL)
    named = set(re.findall(r"`([\w./]+\.(?:py|sql|md|toml))`", text)) - ELSEWHERE
    missing = {name for name in named if not any(path.endswith(f"/{name}") for path in OURS)}
    assert not missing


ELSEWHERE = {"distributed/cfexecutor.py", "datasets.toml"}  # of a package, and of the user
OURS = [
    f"/{path.relative_to(PROJECT_ROOT).as_posix()}"
    for folder in ("anomaly_assets", "anomaly_assets_tests", "benchmarks", "docs", "examples")
    for path in (PROJECT_ROOT / folder).rglob("*.*")
] + [f"/{path.name}" for path in PROJECT_ROOT.iterdir()]
