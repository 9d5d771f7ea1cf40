"""Recognize licences by name, and derive whether they allow commercial use.

A declaration has a licence as people write it, such as `CC BY-NC-SA 4.0`. Only names of the list of SPDX
are recognized; everything else needs the key `commercial_use`, because a guess could break a contract.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, TypeAlias, get_args

CommercialUse: TypeAlias = Literal["allowed", "forbidden", "unknown"]

COMMERCIAL_USES: tuple[CommercialUse, ...] = get_args(CommercialUse)

UNKNOWN_LICENCE = "unknown"

_CREATIVE_COMMONS = re.compile(r"cc-by(?P<terms>(-nc)?(-sa|-nd)?)-(?P<version>[1-4]\.[05])")

_OTHERS: Mapping[str, str] = {
    "apache-2.0": "Apache-2.0",
    "bsd-2-clause": "BSD-2-Clause",
    "bsd-3-clause": "BSD-3-Clause",
    "cc0-1.0": "CC0-1.0",
    "cdla-permissive-1.0": "CDLA-Permissive-1.0",
    "cdla-permissive-2.0": "CDLA-Permissive-2.0",
    "cdla-sharing-1.0": "CDLA-Sharing-1.0",
    "mit": "MIT",
}
"""Other licences of data, all of which allow commercial use, with their identifiers of SPDX."""


@dataclass(frozen=True)
class Terms:
    """Terms of use of a source dataset.

    Attributes:
        title: Display name of the dataset.
        licence: Licence as declared; `unknown` if none is.
        commercial_use: `allowed`, `forbidden` or `unknown`.
        citation: Publication to cite; None if none is declared.
    """

    title: str
    licence: str
    commercial_use: CommercialUse
    citation: str | None = None


def spdx_id(licence: str) -> str | None:
    """Return the identifier of SPDX, such as `CC-BY-NC-SA-4.0`; None if not recognized."""
    name = "-".join(licence.casefold().replace("_", " ").split())
    return name.upper() if _CREATIVE_COMMONS.fullmatch(name) else _OTHERS.get(name)


def licence_url(licence: str) -> str | None:
    """Return the address of the text of a recognized licence; None for another one."""
    identifier = spdx_id(licence)
    return f"https://spdx.org/licenses/{identifier}.html" if identifier else None


def commercial_use_of(licence: str) -> CommercialUse:
    """Return whether a licence allows commercial use; `unknown` for one that is not recognized."""
    identifier = spdx_id(licence)
    if identifier is None:
        return "unknown"
    return "forbidden" if "-NC" in identifier else "allowed"
