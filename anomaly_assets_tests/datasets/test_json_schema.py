"""Test the JSON schema of declarations: it is up to date, and refuses only what the parser refuses."""

import subprocess
import sys
from importlib import resources
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from anomaly_assets.datasets.declaration_files import (
    BUILT_IN,
    KEYS,
    MISPLACED_KEYS,
    built_in_keys,
    declared,
    tomllib,
)
from anomaly_assets.datasets.json_schema import ENTRIES, SCHEMA_FILE, json_schema, schema_text
from anomaly_assets_tests.datasets.declared import EXAMPLES, any_keys, any_value, table

jsonschema = pytest.importorskip("jsonschema")

PACKAGE = resources.files("anomaly_assets.datasets")

SCHEMA = jsonschema.Draft7Validator(json_schema())


def faults(text: str) -> list[str]:
    """Return what the schema finds in a TOML text."""
    return [error.message for error in SCHEMA.iter_errors(tomllib.loads(text))]


def test_the_file_of_the_package_is_the_schema_of_the_parser() -> None:
    assert PACKAGE.joinpath(SCHEMA_FILE).read_text("utf-8") == schema_text()


def test_the_module_prints_the_schema() -> None:
    command = [sys.executable, "-m", "anomaly_assets.datasets.json_schema"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout == schema_text()


def test_the_schema_is_a_schema_with_every_key() -> None:
    jsonschema.Draft7Validator.check_schema(json_schema())
    assert tuple(json_schema()["definitions"]["declaration"]["properties"]) == KEYS


@pytest.mark.parametrize("kind", ENTRIES)
def test_the_parser_has_every_key_of_an_entry_and_no_other(kind: str) -> None:
    items = json_schema()["definitions"]["declaration"]["properties"][kind]["items"]
    entry = items.get("properties") or items["anyOf"][1]["properties"]
    for key in {"path", "category", "split", "label", "defect_type"} | {
        *("defect", "read", "shapes", "columns", "match", "rows", "reason", "x")
    }:
        text = table("line4", {"images": ["{name}"], kind: [{"path": "a/{name}", key: 0}]})
        problems = declared({"line4.toml": text.encode()}).problems
        is_unknown = any(f"unknown key `{key}`" in problem.message for problem in problems)
        assert is_unknown == (key not in entry), key


@pytest.mark.parametrize("name", BUILT_IN)
def test_built_in_declarations_are_valid(name: str) -> None:
    assert faults(PACKAGE.joinpath(f"built_in/{name}.toml").read_text("utf-8")) == []


def test_the_examples_of_the_language_are_valid() -> None:
    assert len(tomllib.loads(EXAMPLES)) == 6
    assert faults(f"#:schema ./{SCHEMA_FILE}\n{EXAMPLES}") == []


@pytest.mark.parametrize(
    "line",
    [
        "sise = 256",
        *(f"{key} = 256" for key in MISPLACED_KEYS),
        "title = 4",
        'like = "mvtek_ad"',
        'formats = ["gif"]',
        "formats = []",
        "depth = 8",
        "depth = true",
        'links = "all"',
        "folders_around = 3",
        'training_is_good = "yes"',
        'unmasked = "anomalous"',
        'words = { fine = ["ok"] }',
        "words = { good = 1 }",
        'masks = "{name}_mask"',
        'masks = [{ path = "{name}_mask", defekt = "zero" }]',
        'masks = [{ path = "{name}_mask", defect = "black" }]',
        'masks = [{ path = "{name}_mask", defect = ["red"] }]',
        'masks = [{ path = "{name}_mask", defect = [1, "#ff0000"] }]',
        'masks = [{ path = "{name}_mask", shapes = ["scratch"] }]',
        'masks = [{ defect = "zero" }]',
        'tables = ["x.csv"]',
        'tables = [{ path = "x.csv", columns = { split = "s" } }]',
        'tables = [{ path = "x.csv", columns = { image = "i", spilt = "s" } }]',
        'tables = [{ path = "x.csv", read = "xml", columns = { image = "i" } }]',
        'strays = [{ path = "x.csv", reason = "Not needed" }]',
        "counts.totl = 1",
        "counts.images = -1",
        "counts.total = { train = [1] }",
        "counts.total = { tset = [1, 2] }",
        "counts.total = { all = [1, 2], test = [0, 2] }",
        "counts = { images = 9, total = { all = [7, 2] } }",
    ],
)
def test_what_cannot_be_is_refused_by_the_schema_and_by_the_parser(line: str) -> None:
    text = f'[line4]\nimages = ["{{name}}"]\n{line}\n'
    assert faults(text)
    assert declared({"line4.toml": text.encode()}).problems


@pytest.mark.parametrize("text", ['images = ["{name}"]', "[line4]\n", "[line4]\nimages = []"])
def test_a_dataset_is_a_table_with_patterns_of_images(text: str) -> None:
    assert faults(text)


@pytest.mark.slow
@settings(suppress_health_check=[HealthCheck.too_slow])
@given(
    keys=any_keys,
    others=st.dictionaries(st.sampled_from([*KEYS, "x"]), any_value, max_size=2),
)
def test_the_schema_accepts_what_the_parser_accepts(
    keys: dict[str, Any], others: dict[str, Any]
) -> None:
    text = table("line4", others | keys)
    if not declared({"line4.toml": text.encode()}).problems:
        assert faults(text) == []


def test_a_built_in_layout_needs_no_patterns() -> None:
    assert faults('[line4]\nlike = "mvtec_ad"\nroot = "/data"\n') == []
    assert all("images" in built_in_keys()[name] for name in BUILT_IN)
