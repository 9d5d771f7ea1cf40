"""Test which licences are recognized, and which datasets allow commercial use."""

from __future__ import annotations

import pytest

from anomaly_assets.datasets import SOURCE_DATASETS
from anomaly_assets.datasets.declaration_files import built_in_declaration, declared
from anomaly_assets.datasets.licences import commercial_use_of, licence_url, spdx_id
from anomaly_assets_tests.datasets.declared import declarations

IMAGES = 'images = ["{name}"]\n'


@pytest.mark.parametrize(
    ("licence", "identifier", "use"),
    [
        ("CC BY-NC-SA 4.0", "CC-BY-NC-SA-4.0", "forbidden"),
        ("cc-by-nc-nd-3.0", "CC-BY-NC-ND-3.0", "forbidden"),
        ("CC BY 4.0", "CC-BY-4.0", "allowed"),
        ("CC-BY-SA-2.5", "CC-BY-SA-2.5", "allowed"),
        ("CC BY-ND 4.0", "CC-BY-ND-4.0", "allowed"),
        ("CC0 1.0", "CC0-1.0", "allowed"),
        ("mit", "MIT", "allowed"),
        ("Apache 2.0", "Apache-2.0", "allowed"),
        ("CDLA-Permissive-2.0", "CDLA-Permissive-2.0", "allowed"),
        ("unknown", None, "unknown"),
        ("internal", None, "unknown"),
        ("CC BY", None, "unknown"),
        ("not MIT", None, "unknown"),
        ("CC BY-NC-SA 4.0 or a contract", None, "unknown"),
        ("", None, "unknown"),
    ],
)
def test_only_licences_of_the_list_of_spdx_are_recognized(
    licence: str, identifier: str | None, use: str
) -> None:
    assert spdx_id(licence) == identifier
    assert commercial_use_of(licence) == use
    url = f"https://spdx.org/licenses/{identifier}.html" if identifier else None
    assert licence_url(licence) == url


def test_the_built_in_datasets_allow_what_their_licences_allow() -> None:
    built_in = (name for name, each in SOURCE_DATASETS.items() if each.declaration.is_built_in)
    found = {name: built_in_declaration(name) for name in built_in}
    assert {name: each.commercial_use for name, each in found.items()} == {
        "mvtec_ad": "forbidden",
        "dagm_2007": "allowed",
        "visa": "allowed",
        "btad": "unknown",
        "mpdd": "unknown",
        "kolektor_sdd": "forbidden",
        "kolektor_sdd2": "forbidden",
        "mvtec_loco_ad": "forbidden",
        "mvtec_ad_2": "forbidden",
        "real_iad": "forbidden",
    }
    assert all(each.citation for each in found.values())


def test_a_declaration_overrides_what_its_licence_says() -> None:
    text = f'[line4]\nlicence = "CC BY-NC 4.0"\n{IMAGES}'
    assert declarations(text)["line4"].commercial_use == "forbidden"
    assert declarations(f'{text}commercial_use = "allowed"\n')["line4"].commercial_use == "allowed"
    own = '[mvtec_ad]\nlike = "mvtec_ad"\nlicence = "contract 7"\n'
    assert declarations(own)["mvtec_ad"].commercial_use == "unknown"


def test_a_copy_of_a_layout_has_no_terms_of_the_other_dataset() -> None:
    other = {"other": {"images": ["{name}"], "commercial_use": "allowed"}}
    [own] = declared({"a.toml": b'[line4]\nlike = "other"\n'}, other).declarations
    assert own.commercial_use == "unknown"


def test_another_value_is_an_error_with_the_three_values() -> None:
    found = declared({"line4.toml": f"[line4]\n{IMAGES}commercial_use = true\n".encode()})
    assert [str(problem) for problem in found.problems] == [
        'line4.toml:3: commercial_use: expected "allowed" or "forbidden" or "unknown".'
    ]
