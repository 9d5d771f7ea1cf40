"""Provide declarations for tests: examples of the language, any declarations, and a writer of TOML."""

import json
from typing import Any

from hypothesis import strategies as st

from anomaly_assets.datasets.classify import Classifier
from anomaly_assets.datasets.declaration import Declaration
from anomaly_assets.datasets.declaration_files import declared
from anomaly_assets.datasets.source_dataset import SourceDataset
from anomaly_assets_tests.datasets.paths import WORDS

EXAMPLES = """
[housing]                       # MVTec-like, any format
root   = "/data/housing"
images = ["{category}/{split}/{defect_type}/{name}"]
masks  = [{ path = "{category}/ground_truth/{defect_type}/{name}_mask", split = "test" }]
training_is_good = true

[screws]                        # ok/ and ng/, any depth, no split
root   = "screws"
images = ["{label}/**/{name}"]

[own_visa]                      # labels by path and table, split by table alone
root   = "/data/VisA"
licence = "CC BY 4.0"
images = ["{category}/Data/Images/{label}/{name}"]
masks  = ["{category}/Data/Masks/{label}/{name}"]
tables = [
  { path = "split_csv/1cls.csv", columns = { image = "image", category = "object", split = "split", \
label = "label", mask = "mask" } },
]
strays = [{ path = "{category}/image_anno.csv", reason = "not_needed" }]
counts.total = { train = [8659, 0], test = [962, 1200] }

[own_kolektor]                  # train/10000.png beside train/10000_GT.png
root   = "/data/KolektorSDD2"
images = ["{split}/{name}"]
masks  = ["{split}/{name}_GT"]

[mvtec_loco]                    # ground_truth/<kind>/<stem>/000.png, united
root   = "/data/mvtec_loco"
images = ["{category}/{split}/{defect_type}/{name}"]
masks  = [{ path = "{category}/ground_truth/{defect_type}/{name}/*", split = "test" }]
training_is_good = true

[castings]                      # siteA/bolt/1.jpg and 1.json beside it
root     = "/data/castings"
images   = [{ path = "{site}/{product}/{name}", category = "{site}/{product}" }]
masks    = [{ path = "{site}/{product}/{name}.json", read = "labelme" }]
unmasked = "good"
"""
"""The six examples of the language."""


def declarations(text: str, file: str = "own/line4.toml") -> dict[str, Declaration]:
    """Return the declarations of a text without errors, by name."""
    found = declared({file: text.encode()})
    assert [str(problem) for problem in found.problems] == []
    return {declaration.name: declaration for declaration in found.declarations}


def classifier(text: str, name: str = "line4", *, ignore_case: bool = False) -> Classifier:
    """Return the classifier of a table."""
    return Classifier(declarations(text)[name], ignore_case=ignore_case)


def source_dataset(text: str, name: str) -> SourceDataset:
    """Return the source dataset of a table."""
    return SourceDataset(declarations(text)[name])


def toml(value: Any) -> str:
    """Write a value as TOML."""
    if isinstance(value, dict):
        return (
            "{"
            + ", ".join(f"{json.dumps(key)} = {toml(each)}" for key, each in value.items())
            + "}"
        )
    if isinstance(value, list):
        return "[" + ", ".join(map(toml, value)) + "]"
    return json.dumps(value, ensure_ascii=False)


def table(name: str, keys: dict[str, Any]) -> str:
    """Write a table."""
    return f"[{name}]\n" + "".join(f"{key} = {toml(value)}\n" for key, value in keys.items())


_part = st.one_of(
    st.sampled_from(
        ["{category}", "{split}", "{label}", "{defect_type}", "{name}", "*", "{name}_mask", "a{x}"]
    ),
    st.sampled_from([word for word in WORDS if word.strip(".")]),
)
_path = st.builds(
    lambda folders, many, name: "/".join([*folders, *many, name]),
    st.lists(_part, max_size=3, unique=True),
    st.sampled_from([[], [], ["**"]]),
    st.sampled_from(["{name}", "{name}_mask", "{name}.json", "*", "{name}.*", "Labels.txt"]),
)


def _entries(**options: Any) -> st.SearchStrategy[Any]:
    entry = st.fixed_dictionaries({"path": _path}, optional=options)
    return st.lists(st.one_of(_path, entry), max_size=4)


_split = st.sampled_from(["train", "test", "validation"])
_label = st.sampled_from(["good", "ok", "NG"])
any_keys = st.fixed_dictionaries(
    {"images": _entries(split=_split, label=_label, category=st.just("{name}!")).filter(bool)},
    optional={
        "masks": _entries(
            split=_split,
            defect=st.sampled_from(["zero", [1, 3], ["#ff0000"]]),
            read=st.sampled_from(["picture", "labelme"]),
        ),
        "tables": _entries(read=st.just("dagm_labels"), split=_split),
        "strays": _entries(reason=st.just("known")),
        "formats": st.sampled_from([["png"], ["jpeg", "tiff"]]),
        "folders_around": st.sampled_from([0, 1, 2]),
        "words": st.just({"good": ["bottle"], "train": ["Train"]}),
    },
)
"""Keys of a declaration; some have an error, such as two values for one thing."""

any_value = st.recursive(
    st.one_of(
        st.booleans(),
        st.integers(-3, 70000),
        st.floats(0, 9, allow_nan=False),
        st.text(st.characters(codec="ascii", categories=("L", "N", "P", "S")), max_size=9),
        st.sampled_from(
            ["{name}", "{x}", "**", "../x", "file", "good", "csv", "labelme", "#ffffff"]
        ),
    ),
    lambda values: st.one_of(
        st.lists(values, max_size=3),
        st.dictionaries(
            st.sampled_from(["path", "split", "train", "total", "category", "read", "x", "image"]),
            values,
            max_size=3,
        ),
    ),
    max_leaves=6,
)
"""Any value that TOML has."""
