"""Write `README.md`: the description of an export for people, after the metadata of Hugging Face."""

from __future__ import annotations

import json
from collections import Counter
from typing import Any

from anomaly_assets.datasets.licences import spdx_id
from anomaly_assets.datasets.names import shown
from anomaly_assets.export.licence import LICENSE, licence_with_url, terms_and_counts
from anomaly_assets.export.selection import Source

README = "README.md"
"""File that describes an export to people, and is the dataset card of Hugging Face."""

_HEAD = """\
Exported from a database of anomaly_assets. [`LICENSE`](LICENSE) has the terms of use, `croissant.json` the
description in Croissant.
"""

_FACTS = """\
`filters` is the selection (`{}`: all samples), and `recipe` the height, width and channels of each image.
"""

_SIZES = {1_000: "n<1K", 10_000: "1K<n<10K", 100_000: "10K<n<100K", 1_000_000: "100K<n<1M"}
"""Names of Hugging Face for numbers of samples below a limit."""


def card_text(source: Source, facts: dict[str, Any], left_out: str, loading: str) -> str:
    """Return the content of `README.md`.

    Args:
        source: The samples.
        facts: What the marker of the export holds.
        left_out: Which samples are left out and why, without a full stop; empty for none.
        loading: Lines in YAML from which `datasets` loads the export; empty if it loads no such format.
    """
    of_datasets = terms_and_counts(source)
    datasets = [
        f"| {_cell(terms.title)} (`{name}`) | {count} | {_cell(licence_with_url(terms))} | "
        f"{terms.commercial_use} | {_cell(terms.citation or '')} |"
        for name, (terms, count) in of_datasets.items()
    ]
    kinds = Counter(
        zip(*(source.table[name].to_pylist() for name in ("split", "label")), strict=True)
    )
    counts = [f"| {split} | {label} | {count} |" for (split, label), count in sorted(kinds.items())]
    return "\n".join(
        [
            f"---\n{_metadata(source)}{loading}---\n",
            f"# {_cell(source.title)}\n",
            _HEAD,
            f"| source dataset | {source.things} | licence | commercial use | citation |",
            *("| --- | --- | --- | --- | --- |", *datasets, ""),
            f"| split | label | {source.things} |",
            *("| --- | --- | --- |", *counts, ""),
            *([f"{left_out}.\n"] if left_out else []),
            _FACTS,
            f"```json\n{json.dumps(facts, indent=2, ensure_ascii=False)}\n```\n",
        ]
    )


def _metadata(source: Source) -> str:
    """Return licence, tags and size in YAML, as the Hub shows them."""
    licences = sorted({_hub_name(terms.licence) for terms, _ in terms_and_counts(source).values()})
    size = next((name for limit, name in _SIZES.items() if len(source) < limit), "1M<n<10M")
    lines = [
        f"pretty_name: {json.dumps(source.title, ensure_ascii=False)}",
        f"license: {json.dumps(licences[0] if len(licences) == 1 else licences)}",
        *([f"license_link: {LICENSE}"] if "other" in licences else []),
        "task_categories: [image-classification, image-segmentation]",
        "tags: [anomaly-detection, defect-detection, industrial-inspection]",
        f'size_categories: ["{size}"]',
    ]
    return "".join(f"{line}\n" for line in lines)


def _hub_name(licence: str) -> str:
    """Return the name of a licence on the Hub."""
    identifier = spdx_id(licence)
    return identifier.lower() if identifier else "unknown" if licence == "unknown" else "other"


def _cell(text: str) -> str:
    return shown(text).replace("|", "\\|")
