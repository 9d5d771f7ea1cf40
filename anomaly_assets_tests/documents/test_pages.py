"""Test that names on the pages exist: make targets, extras, files, headings, settings."""

from __future__ import annotations

import re
from collections import Counter

import pytest

from anomaly_assets.datasets import SOURCE_DATASETS
from anomaly_assets.datasets.record import ImageFile, MaskFile, key_of
from anomaly_assets_tests.documents.checkout import Checkout
from anomaly_assets_tests.documents.markdown import PAGES, PROJECT, inline_code, links, prose


@pytest.mark.parametrize("page", PAGES)
def test_commands_inside_of_sentences_exist(page: str, checkout: Checkout) -> None:
    extras = _extras()
    for code in inline_code(PROJECT, page):
        if re.search(r"(^|= )make ", code) and "…" not in code:
            # Not run here: commands with their own block are run by `test_commands.py` and by CI.
            assert checkout.run(re.sub(r"\bmake ", "make -n ", code)), code
        for names in re.findall(r"(?:anomaly_assets|\.)\[([a-z0-9,]+)\]", code):
            assert set(names.split(",")) <= extras, code


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_to_files_and_headings(page: str) -> None:
    for target in links(PROJECT, page):
        path, _, heading = target.partition("#")
        found = (PROJECT / page).parent / path
        assert found.exists(), target
        if heading:
            titles = re.findall(r"^#+ (.*)$", found.read_text("utf-8"), re.M)
            slugs = {re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-") for title in titles}
            assert heading in slugs, target


def test_the_settings_are_those_that_are_read() -> None:
    read = set(
        re.findall(r'"(ANOMALY_[A-Z_]+)"', (PROJECT / "anomaly_assets/settings.py").read_text())
    )
    documented = set(
        re.findall(r"^\| `(ANOMALY_[A-Z_]+)`", prose(PROJECT, "docs/settings.md"), re.M)
    )
    assert documented == read
    for page in PAGES:
        assert set(re.findall(r"ANOMALY_[A-Z_]+[A-Z]", (PROJECT / page).read_text("utf-8"))) <= read


@pytest.mark.parametrize(
    ("name", "images", "masks", "labels"), [("mvtec_ad", 3, 1, 0), ("dagm_2007", 2, 2, 2)]
)
def test_the_folders_of_a_root_are_those_that_its_dataset_reads(
    name: str, images: int, masks: int, labels: int
) -> None:
    dataset = SOURCE_DATASETS[name]
    page = (PROJECT / "docs/settings.md").read_text("utf-8")
    tree = page.partition(f"\n{dataset.title}:\n\n```\n")[2].partition("```")[0]
    for first in (0, 1):  # from the folder above the root, and from the root
        records = [dataset.classify("/".join(parts[first:])) for parts in _files(tree)]
        kinds = Counter(type(record).__name__ for record in records)
        expected = Counter(ImageFile=images, MaskFile=masks, TableFile=labels)
        assert kinds == +expected
        made = [each for each in records if isinstance(each, ImageFile)]
        for mask in (each for each in records if isinstance(each, MaskFile)):
            key = key_of(mask, mask.fields)
            assert [key_of(image, mask.fields) for image in made].count(key) == 1


def _files(tree: str) -> list[list[str]]:
    """Return the parts of the path of each file in a drawing of folders."""
    found, folders = [], [""]
    for line in tree.splitlines():
        drawn, name = re.findall(r"^([│├└─ ]*)(\S+)", line)[0]
        folders[len(drawn) // 4 :] = [name.rstrip("/")]
        if not name.endswith("/"):
            found.append([*folders])
    return found


def _extras() -> set[str]:
    text = (PROJECT / "pyproject.toml").read_text("utf-8")
    section = text.partition("[project.optional-dependencies]")[2].partition("\n[")[0]
    return set(re.findall(r"^([a-z0-9]+) = \[", section, re.M))
