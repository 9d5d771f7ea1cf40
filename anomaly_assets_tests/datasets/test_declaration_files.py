"""Test reading declarations: their errors with file and line, their defaults, `like`, and their digest."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from anomaly_assets.datasets.declaration import Counts, Declaration
from anomaly_assets.datasets.declaration_files import (
    BUILT_IN,
    KEYS,
    built_in_declaration,
    built_in_keys,
    declared,
    read,
)
from anomaly_assets_tests.datasets.declared import EXAMPLES, any_value, declarations, table

IMAGES = 'images = ["{name}"]\n'


def errors(text: str, file: str = "line4.toml") -> list[str]:
    """Return the errors of a text; each makes its declaration unusable."""
    found = declared({file: text.encode()})
    broken = {problem.name for problem in found.problems}
    assert not broken & {declaration.name for declaration in found.declarations}
    return [str(problem) for problem in found.problems]


def line4(text: str) -> Declaration:
    return declarations(f"[line4]\n{text}")["line4"]


def test_a_misspelt_placeholder_is_an_error_at_its_line() -> None:
    text = """# our lines

[housing]
root = "/data/housing"
images = [
  "{category}/{split}/{name}",
  "{catagory}/{name}",
]
"""
    assert errors(text) == [
        "line4.toml:7: [housing] images: unknown placeholder {catagory}. Did you mean {category}? A free "
        "one must be used twice."
    ]


def test_a_free_placeholder_must_be_used_twice() -> None:
    assert errors('[line4]\nimages = ["{line}/{name}"]\n') == [
        "line4.toml:2: [line4] images: placeholder {line} is used once. A free one must be used again, in "
        "another pattern or in a value. Write * for text without a meaning."
    ]
    assert errors('[line4]\nimages = ["{line}/{name}"]\nmasks = ["{line}/m/{name}"]\n') == []
    assert errors('[line4]\nimages = [{ path = "{line}/{name}", category = "{line}" }]\n') == []


@pytest.mark.parametrize(
    ("name", "message"),
    [
        (
            "order",
            "[order] is a word of SQL and cannot name a schema. Call it order_1, for example.",
        ),
        (
            "images",
            "[images] is the name of an asset of this project. Call it images_line4, for example.",
        ),
        (
            "summaries",
            "[summaries] is a name of this project and cannot name a schema. Call it summaries_line4, for "
            "example.",
        ),
        (
            "pg_catalog",
            "[pg_catalog] is a schema or a database of DuckDB and cannot name a schema. Call it "
            "pg_catalog_1, for example.",
        ),
        (
            "Line-4",
            "[Line-4] cannot be the name of a source dataset: use lower-case words joined by single "
            "underscores, such as pill_inspection, with at most 40 characters and no _staging at the end.",
        ),
        (
            "mvtec_ad",
            '[mvtec_ad] is a built-in dataset. Write like = "mvtec_ad" below it to replace some of its '
            "keys, or choose another name.",
        ),
    ],
)
def test_a_name_that_is_taken_is_an_error(name: str, message: str) -> None:
    assert errors(f"\n\n[{name}]\n{IMAGES}") == [f"line4.toml:3: {message}"]


def test_a_name_suggested_is_one_that_can_be_used() -> None:
    [error] = errors(f"[images]\n{IMAGES}", "My Lines.toml")
    assert "Call it images_1, for example." in error


@pytest.mark.parametrize("name", ["a" * 41, "line__4", "4line", "line_staging"])
def test_a_name_that_is_no_schema_is_an_error(name: str) -> None:
    assert "cannot be the name of a source dataset" in errors(f"[{name}]\n{IMAGES}")[0]


def test_a_name_declared_in_two_files_is_an_error_of_the_second() -> None:
    text = f"[line4]\n{IMAGES}".encode()
    found = declared({"a.toml": text, "b.toml": text})
    assert [str(problem) for problem in found.problems] == [
        "b.toml:1: [line4] is declared in a.toml:1 as well. Rename one of them."
    ]
    assert [declaration.file for declaration in found.declarations] == ["a.toml"]


@pytest.mark.parametrize(
    "root",
    [
        "https://user:geheim@host/data",
        "https://host/data?sig=geheim",
        "az://store/data?AccountKey=geheim",
        "s3://bucket/data?X-Amz-Signature=geheim",
        "https://user:ge/heim@host/data",
        "s3://key:geheim@bucket/data",
        "https:/user:geheim@host/data",
        "user:geheim@host/data",
        "u:geheim@host/data",
    ],
)
def test_a_password_in_the_root_is_refused_and_not_shown(root: str) -> None:
    assert errors(f'[line4]\n{IMAGES}\nroot = "{root}"\n') == [
        "line4.toml:4: root holds a password. Take it out, and set LINE4_ROOT or the store's own variables "
        "instead."
    ]


@pytest.mark.parametrize(
    "root",
    [
        *("s3://bucket/data", "https://user@host:8080/data", "/data/a@b:c", "memory://a?b=c"),
        *(
            "C:/data/a@b",
            "C:\\\\data\\\\a@b",
            "https://host:8080/@scope/x",
            "https://host:8080/a/b@c",
        ),
    ],
)
def test_a_root_without_a_password_is_none(root: str) -> None:
    assert line4(f'{IMAGES}root = "{root}"').root == root.replace("\\\\", "\\")


def test_two_placeholders_without_text_between_are_an_error() -> None:
    text = '[line4]\nimages = [\n  "{name}",\n  "{category}{split}",\n]\n'
    assert errors(text) == [
        'line4.toml:4: "{category}{split}": two placeholders need text between them.'
    ]


def test_a_path_that_leaves_the_root_is_an_error() -> None:
    text = f'[line4]\n{IMAGES}tables = [{{ path = "../x.csv", columns = {{ image = "i" }} }}]\n'
    assert errors(text) == ['line4.toml:3: tables: path "../x.csv" leaves the root.']


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("sise = 256", "unknown key `sise`. Did you mean `size`?"),
        ("attributes = 256", "`attributes` belongs into an entry of `tables`, beside `columns`."),
        ('liecnce = "own"', "unknown key `liecnce`. Did you mean `licence`?"),
        ("zzz = 1", "unknown key `zzz`."),
        (
            'masks = [{ path = "m/{name}", defekt = "zero" }]',
            "unknown key `defekt`. Did you mean `defect`?",
        ),
        ('masks = [{ path = "m/{name}", columns = {} }]', "unknown key `columns`."),
        ('words = { god = ["fine"] }', "unknown key `god`. Did you mean `good`?"),
        ("counts.totl = {}", "unknown key `totl`. Did you mean `total`?"),
    ],
)
def test_an_unknown_key_is_an_error_with_the_one_that_was_meant(line: str, message: str) -> None:
    assert errors(f"[line4]\n{IMAGES}{line}\n") == [f"line4.toml:3: {message}"]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("title = 4", 'title: expected text in quotation marks, such as "a".'),
        ('citation = ""', 'citation: expected text in quotation marks, such as "a".'),
        ("root = 7", 'root: expected a folder, an archive or a URL, such as "/data/line4".'),
        ('formats = ["gif"]', "formats: expected a list of png, jpeg, bmp, tiff, webp."),
        ("formats = [[1]]", "formats: expected a list of png, jpeg, bmp, tiff, webp."),
        ("depth = 8", 'depth: expected a number from 9 to 16, or "file".'),
        ("depth = true", 'depth: expected a number from 9 to 16, or "file".'),
        ('unmasked = "bad"', 'unmasked: expected "good" or "unknown".'),
        ("links = true", 'links: expected "inside" or "follow".'),
        ("folders_around = true", "folders_around: expected 0 or 1 or 2."),
        ("folders_around = 3", "folders_around: expected 0 or 1 or 2."),
        ("training_is_good = 1", "training_is_good: expected true or false."),
        ('split = "tset"', "split: expected unassigned or a word for a split, such as train."),
        ('label = "maybe"', "label: expected a word for a label, such as good."),
        (
            "counts = 7",
            "counts: expected one of counts.total, counts.category.NAME and counts.images.",
        ),
        (
            "counts.total = { train = [7] }",
            "counts.total: expected numbers of good and of anomalous images by split, such as "
            "{ train = [100, 0], test = [20, 30] }, or of all splits together, { all = [120, 30] }.",
        ),
        (
            "counts.category.a = { all = [7, 1], test = [2, 1] }",
            "counts.category.a: expected numbers of good and of anomalous images by split, such as "
            "{ train = [100, 0], test = [20, 30] }, or of all splits together, { all = [120, 30] }.",
        ),
        ("counts.images = true", "counts.images: expected a number of images, such as 1200."),
        ("counts.images = -1", "counts.images: expected a number of images, such as 1200."),
        (
            "counts = { images = 9, total = { all = [7, 2] } }",
            "counts: expected one of counts.total, counts.category.NAME and counts.images.",
        ),
        (
            'words = { good = ["ng"] }',
            'words: "ng" means good and anomalous. Write it into one list.',
        ),
        (
            'words = { good = ["Train"] }',
            'words: "train" means good and train. Write it into one list.',
        ),
        ("words = { good = 1 }", "words.good: expected a list of words."),
        ("masks = 1", 'masks: expected a list of patterns, such as ["{name}"].'),
        ("masks = [1]", 'masks: expected a pattern, or { path = "a pattern", .. }.'),
        (
            'masks = [{ path = "{split}/{name}", split = "test" }]',
            "masks: split is given by {split} and by a value. Remove one of them.",
        ),
        (
            'masks = [{ path = "m/{name}", split = "tset" }]',
            'masks: "tset" is no word for a split. Words are test, testing, train, training, val, valid, '
            "validation; more can be added in words.",
        ),
        (
            'masks = [{ path = "m/{name}", category = "{site}" }]',
            '"{site}": {site} is not in "m/{name}".',
        ),
        (
            'masks = [{ path = "m/{name}", category = "{site" }]',
            '"{site": a brace belongs to no placeholder.',
        ),
        (
            'masks = [{ path = "m/{name}", label = "ok", defect_type = "cut" }]',
            "masks: an image that is good has no defect_type.",
        ),
        ('masks = [{ path = "m/{name}", split = 1 }]', "masks: split must be text."),
        (
            'masks = [{ path = "m/{name}", defect = "#ff0000" }]',
            'masks: defect is "nonzero", "zero", numbers such as [1, 3], or colours such as ["#ff0000"].',
        ),
        (
            'masks = [{ path = "m/{name}", read = "coco" }]',
            "masks: read is one of picture, labelme.",
        ),
        (
            'masks = [{ path = "m/{name}", shapes = ["a"] }]',
            'masks: shapes needs read = "labelme".',
        ),
        (
            'tables = ["x.csv"]',
            "tables: columns needs image, the column with the path of the image, such as columns = { image "
            '= "file" }.',
        ),
        (
            'tables = [{ path = "x.csv", read = "xml", columns = { image = "i" } }]',
            "tables: read is one of csv, json, coco, dagm_labels.",
        ),
        (
            'tables = [{ path = "x.csv", columns = { image = "i", spilt = "s" } }]',
            "unknown key `spilt`. Did you mean `split`?",
        ),
        (
            'strays = [{ path = "x.csv", reason = "Not needed!" }]',
            "strays: reason is lower-case words joined by underscores, such as not_needed.",
        ),
        (
            'like = "mvtek_ad"',
            'like: "mvtek_ad" is not a built-in declaration. Did you mean mvtec_ad?',
        ),
    ],
)
def test_a_value_that_cannot_be_is_an_error_at_its_line(line: str, message: str) -> None:
    assert errors(f"[line4]\n{IMAGES}{line}\n") == [f"line4.toml:3: {message}"]


def test_a_declaration_has_patterns_of_images() -> None:
    [error] = errors('[line4]\nroot = "x"\n')
    assert error.startswith("line4.toml:1: images is missing: write at least one pattern")


def test_the_placeholders_of_a_category_are_in_every_pattern_of_images() -> None:
    text = '[line4]\ncategory = "{site}"\nimages = [\n  "{site}/{name}",\n  "{name}",\n]\n'
    assert errors(text) == ['line4.toml:5: category: {site} is not in the pattern "{name}".']


def test_all_errors_of_all_files_are_found_at_once() -> None:
    found = declared(
        {
            "a.toml": b'[order]\nimages = ["{a}{b}"]\nsise = 1\n\n[fine]\nimages = ["{name}"]\n',
            "b.toml": b"[line4]\nimages = [\n",
            "c.toml": b'root = "x"\n[line5]\nimages = ["{nam}"]\n',
            "d.toml": b"\xff\xfe\x00",
        }
    )
    places = [str(problem).partition(": ")[0] for problem in found.problems]
    assert places == [
        "a.toml:1",
        "a.toml:2",
        "a.toml:3",
        "b.toml:3",
        "c.toml:1",
        "c.toml:3",
        "d.toml",
    ]
    assert [declaration.name for declaration in found.declarations] == ["fine"]


def test_what_is_not_toml_is_an_error_with_its_line() -> None:
    [error] = errors("[line4]\nimages = [,]\n")
    assert error.startswith("line4.toml:2: the file is not TOML: ")
    [twice] = errors(f"[line4]\n{IMAGES}[line4]\n{IMAGES}")
    assert twice.startswith("line4.toml:3: the file is not TOML: ")


@pytest.mark.parametrize("text", ["", "\n", "# [line4]\n"])
def test_a_file_that_declares_nothing_is_an_error(text: str) -> None:
    assert errors(text) == [
        "line4.toml: the file declares nothing. Write a table: [name], a name of your own, and its keys."
    ]


def test_a_file_that_cannot_be_read_leaves_the_others(tmp_path: Path) -> None:
    good = tmp_path / "good.toml"
    good.write_text(f"[line4]\n{IMAGES}")
    found = read([tmp_path / "missing.toml", good, tmp_path])
    assert [declaration.name for declaration in found.declarations] == ["line4"]
    assert [problem.file for problem in found.problems] == [
        str(tmp_path / "missing.toml"),
        str(tmp_path),
    ]
    assert "the file cannot be read (No such file or directory)" in str(found.problems[0])


def test_a_control_character_is_not_printed() -> None:
    [error] = errors('[line4]\nimages = ["{name}"]\n"k\\u001by" = 1\n')
    assert "\x1b" not in error


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-8"])
def test_a_file_may_have_a_mark_and_lines_of_windows(encoding: str) -> None:
    text = '[line4]\r\ntitle = "Größe"\r\nimages = ["{name}"]\r\n'
    [declaration] = declared({"a.toml": text.encode(encoding)}).declarations
    assert (declaration.title, declaration.line) == ("Größe", 1)


def test_lines_are_found_behind_strings_and_lists_over_several_lines() -> None:
    text = '''[line4] # = [
title = """
[line5]
sise = 1
"""
"images" = [ # ]
  "{name}", "]",
]
counts.total = {}

[line4.words]
good = [1]
'''
    assert [error.partition(": ")[0] for error in errors(text)] == ["line4.toml:9", "line4.toml:12"]


def test_defaults() -> None:
    declaration = line4(IMAGES)
    assert declaration.title == declaration.category == "line4"
    assert declaration.licence == "unknown"
    assert declaration.split == "unassigned"
    assert declaration.unmasked == "unknown"
    assert declaration.links == "inside"
    assert declaration.folders_around == 0
    assert declaration.formats == ("png", "jpeg", "bmp", "tiff", "webp")
    assert declaration.suffixes == {".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp"}
    assert not declaration.training_is_good
    for absent in ("citation", "root", "like", "label", "depth", "counts"):
        assert getattr(declaration, absent) is None
    assert (*declaration.masks, *declaration.tables, *declaration.strays) == ()


def test_the_values_of_the_keys_are_kept() -> None:
    declaration = line4(
        """
        title = "Line 4"
        licence = "own"
        citation = "none"
        category = "bolts"
        split = "training"
        label = "OK"
        images = ["{name}"]
        masks = [
          { path = "{name}.json", read = "labelme", shapes = ["scratch"] },
          { path = "{name}_mask", defect = [1, 3] },
          { path = "{name}_colour", defect = ["#ff0000"] },
        ]
        tables = [{ path = "all.json", rows = "split", match = "name", columns = { image = "file" } }]
        depth = 12
        links = "follow"
        folders_around = 1
        unmasked = "good"
        training_is_good = true
        counts.category.bolts = { train = [7, 0] }
        """
    )
    assert (declaration.category, declaration.split, declaration.label) == (
        "bolts",
        "train",
        "good",
    )
    assert [mask.defect for mask in declaration.masks] == ["nonzero", (1, 3), ("#ff0000",)]
    assert declaration.masks[0].shapes == ("scratch",)
    [rows] = declaration.tables
    assert (rows.read, rows.rows, rows.match, rows.columns) == (
        "json",
        "split",
        "name",
        {"image": "file"},
    )
    assert (declaration.depth, declaration.links, declaration.folders_around) == (12, "follow", 1)
    assert declaration.counts == Counts(None, {"bolts": {"train": (7, 0)}})


def test_the_examples_have_the_line_of_their_table_and_their_counts() -> None:
    found = declarations(EXAMPLES)
    lines = EXAMPLES.split("\n")
    for name, declaration in found.items():
        assert declaration.line is not None
        assert lines[declaration.line - 1].startswith(f"[{name}]")
    assert found["own_visa"].counts == Counts({"train": (8659, 0), "test": (962, 1200)})


@pytest.mark.parametrize(
    ("key", "expected"),
    [
        ("counts.total = { all = [2979, 356] }", Counts({"all": (2979, 356)})),
        ("counts.total = { unassigned = [347, 52] }", Counts({"unassigned": (347, 52)})),
        ("counts.images = 151050", Counts(images=151050)),
        ("counts.images = 0", Counts(images=0)),
    ],
)
def test_counts_are_stated_as_far_as_they_are_known(key: str, expected: Counts) -> None:
    assert line4(f"{IMAGES}{key}\n").counts == expected


@pytest.mark.parametrize(
    ("file", "root", "expected"),
    [
        ("own/line4.toml", "screws", "own/screws"),
        ("/etc/line4.toml", "../screws", "/etc/../screws"),
        ("line4.toml", "screws", "screws"),
        ("/line4.toml", "screws", "/screws"),
        ("own/line4.toml", "/data", "/data"),
        ("own/line4.toml", "~/data", "~/data"),
        ("own/line4.toml", "s3://bucket/x", "s3://bucket/x"),
        ("own/line4.toml", "D:/data", "D:/data"),
    ],
)
def test_a_relative_root_starts_at_the_file(file: str, root: str, expected: str) -> None:
    [declaration] = declarations(f'[line4]\n{IMAGES}root = "{root}"\n', file).values()
    assert declaration.root == expected


def test_like_takes_the_layout_of_a_built_in_dataset_and_not_its_facts() -> None:
    own, base = line4('like = "mvtec_ad"\nroot = "/data"\n'), built_in_declaration("mvtec_ad")
    assert own.images == base.images
    assert own.masks == base.masks
    assert own.unmasked == "good"
    assert (own.title, own.licence, own.citation, own.counts) == ("line4", "unknown", None, None)


def test_keys_replace_those_of_like_one_by_one() -> None:
    own, base = (
        line4('like = "mvtec_ad"\nmasks = ["{category}/m/{name}"]\n'),
        built_in_declaration("mvtec_ad"),
    )
    assert own.images == base.images
    assert [mask.pattern.text for mask in own.masks] == ["{category}/m/{name}"]


def test_a_built_in_name_is_kept_with_like_of_the_same_name() -> None:
    text = '[mvtec_ad]\nlike = "mvtec_ad"\ndepth = 12\n'
    own, base = declarations(text)["mvtec_ad"], built_in_declaration("mvtec_ad")
    assert own.depth == 12
    assert (own.title, own.licence, own.counts) == (base.title, base.licence, base.counts)
    assert own.digest != base.digest


def test_the_digest_is_that_of_every_key_but_the_root() -> None:
    one = line4(f'root = "a"\nlicence = "x"\n{IMAGES}')
    other = line4(f'{IMAGES}\n# a comment\nlicence = "x"\nroot = "b"\n')
    assert one.digest == other.digest
    assert one.digest != line4(f'licence = "y"\n{IMAGES}').digest
    assert json.loads(one.canonical_json) == {"licence": "x", "images": ["{name}"]}
    assert one.canonical_json == '{"images":["{name}"],"licence":"x"}'


def test_like_of_the_same_name_without_other_keys_changes_no_digest() -> None:
    own = declarations('[dagm_2007]\nlike = "dagm_2007"\nroot = "/data"\n')["dagm_2007"]
    assert own.digest == built_in_declaration("dagm_2007").digest


def test_a_built_in_declaration_may_have_the_layout_of_another() -> None:
    mpdd, base = built_in_declaration("mpdd"), built_in_declaration("mvtec_ad")
    assert (mpdd.images, mpdd.masks, mpdd.unmasked) == (base.images, base.masks, base.unmasked)
    assert (mpdd.title, mpdd.licence) == ("MPDD", "unknown")
    assert mpdd.counts == Counts({"train": (888, 0), "test": (176, 282)})
    own = line4('like = "mpdd"\n')
    assert (own.images, own.like, own.counts) == (base.images, "mpdd", None)


@pytest.mark.parametrize("name", BUILT_IN)
def test_a_built_in_declaration_has_no_error(name: str) -> None:
    text = table(name, {**built_in_keys()[name], "like": name})
    assert declarations(text)[name].images == built_in_declaration(name).images


@settings(suppress_health_check=[HealthCheck.too_slow])
@given(
    keys=st.dictionaries(st.sampled_from([*KEYS, "attributes", "x"]), any_value, max_size=4),
    images=st.booleans(),
)
def test_any_values_are_a_declaration_or_errors_of_its_file(
    keys: dict[str, Any], images: bool
) -> None:
    if images:
        keys["images"] = ["{name}"]
    found = declared({"line4.toml": table("line4", keys).encode()})
    assert bool(found.problems) is not bool(found.declarations)
    for problem in found.problems:
        assert problem.line is not None
        assert problem.name == "line4"


@given(st.text() | st.binary().map(lambda content: content.decode("latin-1")))
def test_any_text_is_read_without_an_exception(text: str) -> None:
    declared({"line4.toml": text.encode("utf-8", "surrogatepass")})
