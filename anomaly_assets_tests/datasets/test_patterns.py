"""Test patterns: their text, and what they match, compared with a naive matcher that tries everything."""

from collections.abc import Iterator

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from anomaly_assets.datasets.pattern_text import Pattern, Token, Wild, parsed, template
from anomaly_assets.datasets.patterns import Matcher, Texts, Vocabulary, folded

WORDS = Vocabulary(
    exact={"split": {"train", "test", "hold_out", "hold"}}, folded={"label": {"ok", "not_ok", "ng"}}
)


def pattern(text: str) -> Pattern:
    found, errors = parsed(text)
    assert errors == []
    assert found is not None
    return found


def matched(text: str, path: str, *, ignore_case: bool = False) -> Texts | None:
    matcher = Matcher(pattern(text), WORDS, ignore_case=ignore_case)
    parts = path.split("/")
    return matcher.match(parts) if matcher.fits(len(parts)) else None


@pytest.mark.parametrize(
    ("text", "path", "texts"),
    [
        ("a/b", "a/b", {}),
        ("a/b", "a/c", None),
        ("{category}/{name}", "bolt/1", {"category": "bolt", "name": "1"}),
        ("{category}/{name}", "bolt/x/1", None),
        ("{name}_mask", "1_mask", {"name": "1"}),
        ("{name}_mask", "_mask", None),
        ("{name}_mask", "a_mask_mask", {"name": "a_mask"}),
        ("pre_{name}", "pre_1", {"name": "1"}),
        ("pre_{name}_re", "pre_re", None),
        ("*/{name}", "any/1", {"name": "1"}),
        ("a*/{name}", "a/1", {"name": "1"}),
        ("a*b*c/{name}", "abxbc/1", {"name": "1"}),
        ("a*b*c/{name}", "abx/1", None),
        ("{label}/**/{name}", "ok/1", {"label": "ok", "name": "1"}),
        ("{label}/**/{name}", "ok/x/y/1", {"label": "ok", "name": "1"}),
        ("{label}/**/{name}", "odd/x/y/1", None),
        ("**", "a/b/c", {}),
        ("**/{name}", "a/b/c", {"name": "c"}),
        ("{x}/{x}/{name}", "a/a/1", {"x": "a", "name": "1"}),
        ("{x}/{x}/{name}", "a/b/1", None),
        ("{x}/{name}", "metal_nut/metal_nut_1", {"x": "metal_nut", "name": "metal_nut_1"}),
        ("{x}/{x}_{name}", "metal_nut/metal_nut_1", {"x": "metal_nut", "name": "1"}),
        ("{x}_{name}/{x}", "metal_nut_1/metal_nut", {"x": "metal_nut", "name": "1"}),
        ("{x}/{x}_{name}", "metal_nut/metal_1", None),
    ],
)
def test_a_pattern_matches_part_by_part(text: str, path: str, texts: Texts | None) -> None:
    assert matched(text, path) == texts


@pytest.mark.parametrize(
    ("text", "path", "texts"),
    [
        ("{x}_{name}", "a_b_c", {"x": "a", "name": "b_c"}),
        ("{x}_{name}_{y}", "a_b_c_d", {"x": "a", "name": "b", "y": "c_d"}),
        ("{x}_{name}", "_a_b", {"x": "_a", "name": "b"}),
        ("{name}_{split}", "IMG_1_train", {"name": "IMG_1", "split": "train"}),
        ("{split}_{name}", "hold_out_1", {"split": "hold", "name": "out_1"}),
        ("{name}_{label}", "a_not_ok", {"name": "a", "label": "not_ok"}),
        ("{name}_{label}_{x}", "a_b_NG_c", {"name": "a_b", "label": "NG", "x": "c"}),
        ("{name}_{split}", "a_Train", None),
    ],
)
def test_the_earlier_placeholder_takes_the_shortest_text_that_matches(
    text: str, path: str, texts: Texts | None
) -> None:
    assert matched(text, path) == texts


def test_the_case_of_folders_and_splits_counts_but_not_that_of_file_names_and_labels() -> None:
    assert matched("Data/{split}/{label}/{name}_GT", "Data/train/OK/1_gt") == {
        "split": "train",
        "label": "OK",
        "name": "1",
    }
    assert matched("Data/{split}/{name}", "data/train/1") is None
    assert matched("Data/{split}/{name}", "Data/Train/1") is None


def test_all_is_matched_ignoring_case_on_request() -> None:
    assert matched("Data/{split}/{x}/{x}_{name}", "data/TRAIN/Bolt/bolt_1", ignore_case=True) == {
        "split": "TRAIN",
        "x": "Bolt",
        "name": "1",
    }


def test_texts_keep_their_length_in_lower_case() -> None:
    assert folded("İX") == "İx"
    assert matched("{name}_x", "İ_X") == {"name": "İ"}


def test_composed_and_decomposed_letters_are_the_same_in_patterns() -> None:
    assert pattern("re\u0301sume\u0301/{name}").text == "r\u00e9sum\u00e9/{name}"


@pytest.mark.parametrize(
    ("text", "suffix"),
    [
        ("{name}", None),
        ("{name}.JSON", ".json"),
        ("v1.0/{name}", None),
        ("{name}.nii.gz", ".gz"),
        ("{name}.*", ".*"),
        ("v1.{name}", None),
        ("**", None),
    ],
)
def test_a_dot_in_the_file_name_gives_its_suffix(text: str, suffix: str | None) -> None:
    assert pattern(text).suffix == suffix


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("{a}{b}", '"{a}{b}": two placeholders need text between them.'),
        ("{a}*", '"{a}*": two placeholders need text between them.'),
        ("../x.csv", 'path "../x.csv" leaves the root.'),
        ("a/../x.csv", 'path "a/../x.csv" leaves the root.'),
        ("/x", 'path "/x" leaves the root.'),
        ("C:\\x", 'path "C:\\x" leaves the root.'),
        ("s3://x/y", 'path "s3://x/y" leaves the root.'),
        ("**/**/{name}", '"**/**/{name}": ** may be used once in a pattern.'),
        ("a**/{name}", '"a**/{name}": ** is a part of its own, such as {label}/**/{name}.'),
        ("{a}_{a}", '"{a}_{a}": {a} occurs twice in one part. Use it once in each part.'),
        (
            "a//b",
            '"a//b": a part is empty. Write folders and the file name with one / between.',
        ),
    ],
)
def test_a_pattern_with_an_error_is_explained(text: str, error: str) -> None:
    assert parsed(text) == (None, [error])


@pytest.mark.parametrize("text", ["{}", "{Name}", "{na me}", "{name", "name}", "{a{b}}"])
def test_a_brace_belongs_to_a_placeholder(text: str) -> None:
    found, errors = parsed(text)
    assert found is None
    assert "is not a placeholder" in errors[0]


def test_all_errors_of_a_pattern_are_found_at_once() -> None:
    assert len(parsed("{a}{b}/x**/{C}")[1]) == 3


def test_a_value_is_filled_with_the_texts_of_placeholders() -> None:
    value = template("{site}/{product}!")
    assert value is not None
    assert value.fields == ("site", "product")
    assert value.text == "{site}/{product}!"
    assert value.filled({"site": "a", "product": "b"}) == "a/b!"
    assert template("{site") is None


@pytest.mark.parametrize(
    "text",
    [
        "{x}_{name}_{y}_*_z",
        "{x}_{split}_{name}_{label}_z",
        "*a*a*a*a*a*a*a*a*a*z",
        "{x}aa{y}aa{name}z",
    ],
)
def test_matching_takes_no_time_that_grows_faster_than_the_path(text: str) -> None:
    # A backtracking search would need years for this name of 300,000 letters.
    assert matched(text, "a_" * 50_000 + "a" * 100_000 + "_" * 100_000) is None


# A naive matcher, as docs/declarations.md describes patterns: it tries every text for every placeholder.


def naive(found: Pattern, parts: list[str], *, ignore_case: bool) -> Texts | None:
    shape = list(found.parts)
    if None in shape:
        at = shape.index(None)
        more = len(parts) - (len(shape) - 1)
        if more < 0:
            return None
        shape[at : at + 1] = [(Wild(),)] * more
    if len(shape) != len(parts):
        return None
    texts: Texts = {}
    is_whole = [
        bool(part) and len(part) == 1 and isinstance(part[0], Wild) for part in shape if part
    ]
    for wholes in (True, False):
        for place, (tokens, part) in enumerate(zip(shape, parts, strict=True)):
            assert tokens is not None
            if is_whole[place] is wholes:
                # The file name is the last part of the pattern, unless the pattern ends with `**`.
                loose = ignore_case or (place == len(parts) - 1 and found.parts[-1] is not None)
                first = next(assignments(tokens, part, texts, loose, ignore_case), None)
                if first is None:
                    return None
                texts = texts | first
    return texts


def assignments(
    tokens: tuple[Token, ...], part: str, known: Texts, loose: bool, ignore_case: bool
) -> Iterator[Texts]:
    """Yield all texts of the placeholders, those with the shortest first text first."""
    if not tokens:
        if not part:
            yield {}
        return
    first, rest = tokens[0], tokens[1:]
    if isinstance(first, str):
        if same(part[: len(first)], first, loose):
            yield from assignments(rest, part[len(first) :], known, loose, ignore_case)
        return
    for length in range(bool(first.name), len(part) + 1):
        text = part[:length]
        if first.name and not may_be(first.name, text, known, ignore_case):
            continue
        for others in assignments(rest, part[length:], known, loose, ignore_case):
            yield ({first.name: known.get(first.name, text)} if first.name else {}) | others


def may_be(name: str, text: str, known: Texts, ignore_case: bool) -> bool:
    if name in known:
        return same(text, known[name], ignore_case)
    if name == "split":
        return any(same(text, word, ignore_case) for word in WORDS.exact["split"])
    return name != "label" or any(same(text, word, True) for word in WORDS.folded["label"])


def same(one: str, other: str, ignore_case: bool) -> bool:
    return one == other or (ignore_case and one.lower() == other.lower())


piece = st.sampled_from(["a", "b", "_", "A", "_b", "train", "hold", "out", "ok", "é", "É"])
wild = st.sampled_from(
    ["{name}", "{category}", "{split}", "{label}", "{x}", "{y}", "*", "{x}", "{name}"]
)
mixed_part = st.tuples(
    st.lists(st.tuples(piece, wild).map("".join), min_size=1, max_size=3, unique=True),
    st.sampled_from(["", "a", "_", "_b", "train"]),
    st.booleans(),
).map(lambda drawn: ("".join(drawn[0])[len(drawn[0][0]) * drawn[2] :] + drawn[1]) or "a")
pattern_part = st.one_of(st.just("**"), wild, piece, mixed_part, mixed_part)
pattern_text = st.lists(pattern_part, min_size=1, max_size=4).map("/".join)
path_part = st.lists(
    st.one_of(piece, st.sampled_from(["hold_out", "not_ok", "NG", "Train", "test"])),
    max_size=5,
).map("".join)


@st.composite
def patterns_and_paths(draw: st.DrawFn) -> tuple[Pattern, list[str]]:
    """Draw a pattern and a path, mostly one that was filled into the pattern."""
    found, _ = parsed(draw(pattern_text))
    assume(found is not None)
    assert found is not None
    if draw(st.integers(0, 3)) == 0:
        return found, draw(st.lists(path_part, min_size=1, max_size=5))
    texts = {name: draw(path_part) for name in found.fields}
    if draw(st.booleans()):
        texts["split"] = draw(st.sampled_from(["train", "hold_out", "hold", "Test"]))
        texts["label"] = draw(st.sampled_from(["ok", "not_ok", "NG"]))
    parts: list[str] = []
    for part in found.parts:
        if part is None:
            parts += draw(st.lists(path_part, max_size=2))
        else:
            parts.append(
                "".join(
                    token
                    if isinstance(token, str)
                    else texts[token.name]
                    if token.name
                    else draw(path_part)
                    for token in part
                )
            )
    if draw(st.integers(0, 4)) == 0:
        parts = [part.swapcase() for part in parts]
    return found, parts or ["a"]


@pytest.mark.slow
@given(drawn=patterns_and_paths(), ignore_case=st.booleans())
def test_compiled_patterns_agree_with_a_naive_matcher(
    drawn: tuple[Pattern, list[str]], ignore_case: bool
) -> None:
    found, parts = drawn
    # Folders are never empty: `is_unsafe` is asked first.
    parts = [*(part or "a" for part in parts[:-1]), parts[-1]]
    matcher = Matcher(found, WORDS, ignore_case=ignore_case)
    compiled = matcher.match(parts) if matcher.fits(len(parts)) else None
    assert compiled == naive(found, parts, ignore_case=ignore_case)


@pytest.mark.slow
@given(patterns_and_paths())
def test_the_texts_filled_into_the_pattern_give_the_path_again(
    drawn: tuple[Pattern, list[str]],
) -> None:
    found, parts = drawn
    matcher = Matcher(found, WORDS)
    texts = matcher.match(parts) if matcher.fits(len(parts)) else None
    if texts is None or found.has_star or None in found.parts:
        return
    filled = [
        "".join(token if isinstance(token, str) else texts[token.name] for token in part or ())
        for part in found.parts
    ]
    assert filled[:-1] == parts[:-1]
    assert filled[-1].lower() == parts[-1].lower()
