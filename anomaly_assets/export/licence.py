"""Write the file `LICENSE`: terms of use and citation of the source datasets of an export."""

from __future__ import annotations

from collections import Counter

from anomaly_assets.datasets.licences import UNKNOWN_LICENCE, Terms, licence_url
from anomaly_assets.datasets.names import shown
from anomaly_assets.export.selection import Source

LICENSE = "LICENSE"
"""Name of the file, as Hugging Face and GitHub expect it."""

_HEAD = """\
Licences of the images
======================

The images and masks of this export belong to the authors of the datasets below. The export adds no rights
to them: the terms of its dataset apply to each image. Images and masks were changed: they were decoded,
brought to the size and channels of the recipe {recipe}, and stored without loss.
"""

_USES = {
    "allowed": "allowed",
    "forbidden": "forbidden",
    "unknown": "unknown; ask the authors before any commercial use",
}


def licence_text(source: Source) -> str:
    """Return the content of `LICENSE`: licence, commercial use and citation of each source dataset."""
    return _HEAD.format(recipe=source.recipe) + "".join(
        f"\n{shown(terms.title)} ({name}), {count} {source.things}\n"
        f"    Licence: {licence_with_url(terms)}\n"
        f"    Commercial use: {_USES[terms.commercial_use]}\n"
        f"    Citation: {shown(terms.citation or 'none declared')}\n"
        for name, (terms, count) in terms_and_counts(source).items()
    )


def licence_with_url(terms: Terms) -> str:
    """Return a licence with the address of its text, if it is a known one."""
    url = licence_url(terms.licence)
    return f"{shown(terms.licence)}, {url}" if url else shown(terms.licence)


def terms_and_counts(source: Source) -> dict[str, tuple[Terms, int]]:
    """Return terms of use and number of samples by source dataset, sorted by name."""
    counts = Counter(source.table["source_dataset"].to_pylist())
    unrecorded = {name: Terms(name, UNKNOWN_LICENCE, "unknown") for name in counts}
    terms = {**unrecorded, **source.terms}
    return {name: (terms[name], counts[name]) for name in sorted(counts)}
