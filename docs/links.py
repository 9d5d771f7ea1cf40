"""Rewrite links from pages to files of the project that are no pages, such as `../examples/dask/README.md`.

In the repository, such a link leads to the file. In the site, every file that a page links to becomes a
page: Markdown as it is, with its own links followed in turn, and source code in a block. A link to a
missing file stays as it is, and MkDocs warns of it.
"""

from __future__ import annotations

import posixpath
import re
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

FOLDER = "project"
"""Folder of the site for files outside of `docs/`."""

_LINK = re.compile(r"(?<=\]\()(?![a-z]+:|[#/])[^)\s#]+(?=[)#])")
_FENCED = re.compile(r"(^ *(?:```|~~~).*?^ *(?:```|~~~) *$)", re.MULTILINE | re.DOTALL)
_LANGUAGES = {
    "": "text",
    ".env": "bash",
    ".json": "json",
    ".py": "python",
    ".sql": "sql",
    ".toml": "toml",
    ".yaml": "yaml",
    ".yml": "yaml",
}
"""Suffixes of files that a page shows in a block; the site offers other files for download."""

_PAGE = """---
search:
  exclude: true
---

# {path}

````{language}
{code}
````
"""


def on_files(files: Files, *, config: MkDocsConfig) -> Files:
    """Add the files outside of `docs/` that pages link to, and those that these link to."""
    project = Path(config.docs_dir).parent
    todo = [file.src_uri for file in files.documentation_pages()]
    while todo:
        page = files.src_uris[todo.pop()]
        for link in _links(page.content_string):
            path = _target(project, page.src_uri, link)
            uri = path and _uri_of(path)
            if path is None or uri is None or uri in files.src_uris:
                continue
            added = _file(config, project / path, uri, path)
            files.append(added)
            if added.is_documentation_page():
                todo.append(uri)
    return files


def on_page_markdown(markdown: str, *, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Point the links of a page at what was added."""
    project, here = Path(config.docs_dir).parent, page.file.src_uri

    def in_site(found: re.Match[str]) -> str:
        path = _target(project, here, found[0])
        return (
            posixpath.relpath(_uri_of(path), posixpath.dirname(here) or ".") if path else found[0]
        )

    parts = _FENCED.split(markdown)
    parts[::2] = [_LINK.sub(in_site, part) for part in parts[::2]]
    return "".join(parts)


def _links(markdown: str) -> list[str]:
    return [link for part in _FENCED.split(markdown)[::2] for link in _LINK.findall(part)]


def _target(project: Path, page: str, link: str) -> str | None:
    """Return the file of the project that a link on a page names; for a folder, its first page."""
    origin = page.removeprefix(f"{FOLDER}/") if page.startswith(f"{FOLDER}/") else f"docs/{page}"
    path = posixpath.normpath(posixpath.join(posixpath.dirname(origin), link))
    for first in ("README.md", "index.md"):
        if (project / path / first).is_file():
            path = posixpath.join(path, first)
    return path if not path.startswith("..") and (project / path).is_file() else None


def _uri_of(path: str) -> str:
    """Return the path of a file in the site, which has no names that begin with a dot."""
    if path.startswith("docs/"):
        return path.removeprefix("docs/")
    return posixpath.join(FOLDER, path.replace("/.", "/").lstrip(".")) + (
        ".md" if _is_code(path) else ""
    )


def _is_code(path: str) -> bool:
    return posixpath.splitext(path)[1] in _LANGUAGES


def _file(config: MkDocsConfig, source: Path, uri: str, path: str) -> File:
    if not _is_code(path):
        return File.generated(config, uri, abs_src_path=str(source))
    language = _LANGUAGES[source.suffix]
    code = source.read_text("utf-8").rstrip()
    return File.generated(
        config, uri, content=_PAGE.format(path=path, language=language, code=code)
    )
