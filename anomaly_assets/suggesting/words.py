"""List words by which people name splits, labels, masks and images, in folders, file names and tables.

More words than a declaration has by default: a suggestion writes those that it met into `words`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Literal

from anomaly_assets.datasets.declaration import DEFAULT_WORDS
from anomaly_assets.datasets.patterns import folded

Kind = Literal[
    "train", "test", "validation", "good", "anomalous", "unlabelled", "images", "masks", ""
]

_SPLITS = {
    "train": "train training trainset trn entrainement entrenamiento 训练 訓練",
    "test": "test testing testset tst holdout eval evaluation prova prueba 测试 テスト",
    "validation": "validation valid val validierung dev 验证 検証",
}
_WORDS: Mapping[Kind, str] = {
    "good": "good ok normal io gut gutteil gutteile pass passed intact clean defectfree nodefect "
    "nodefects nondefective nondefect undamaged nocrack uncracked negative fine "
    "healthy flawless bon bueno buono conforme fehlerfrei 正常 良品 合格 양품",
    "anomalous": "anomalous anomaly anomalies abnormal bad ko ng nok nio notok notgood defect defects "
    "defective def fail failed faulty reject rejected rejects scrap schlecht schlechtteil schlechtteile "
    "ausschuss fehler fehlerhaft defekt positive "
    "mauvais malo difettoso 不良 不良品 不合格 异常 異常 缺陷 불량",
    "unlabelled": "unlabeled unlabelled unknown unsorted unsortiert unbekannt todo misc pending review "
    "inconnu",
    "images": "images image imgs img jpegimages pictures pics bilder bild photos fotos rgb input inputs "
    "originals original data",
    "masks": "mask masks maske masken gt groundtruth label labels annotation annotations anno seg segs "
    "segmentation segmentations masque masques",
}
_OF_A_SET = "set|data|images|imgs|split|public|private|mixed|[0-9]+"

_KIND_OF: dict[str, Kind] = {word: kind for kind, words in _WORDS.items() for word in words.split()}
_SPLIT_OF: dict[str, Kind] = {}
for _kind in ("train", "test", "validation"):
    _SPLIT_OF |= dict.fromkeys(_SPLITS[_kind].split(), _kind)

_SEPARATORS = re.compile(r"[\s_.\-]+")
_TOKENS = re.compile(r"[\s_.\-]+|(?<=[a-z])(?=[A-Z])")
_SPLIT_WITH_MORE = re.compile(rf"([a-z]+?)(?:{_OF_A_SET})+")


def squeezed(text: str) -> str:
    """Return a text in lower case, without spaces, dots, hyphens and underscores."""
    return _SEPARATORS.sub("", folded(text))


@lru_cache(100_000)
def kind_of(text: str) -> Kind:
    """Return the meaning of a whole text, such as the name of a folder; empty for none.

    A number alone means nothing here, although 0 and 1 are words for labels: it may be a camera or a shift.
    """
    word = squeezed(text)
    if word in _SPLIT_OF:
        return _SPLIT_OF[word]
    if word in _KIND_OF:
        return _KIND_OF[word]
    more = _SPLIT_WITH_MORE.fullmatch(word)
    if more and more[1] in _SPLIT_OF:
        return _SPLIT_OF[more[1]]
    if begins_with_ok(text):
        return "good"
    tokens = [folded(token) for token in _TOKENS.split(text)]
    if "groundtruth" in word or any(_KIND_OF.get(token) == "masks" for token in tokens):
        return "masks"
    return ""


def begins_with_ok(text: str) -> bool:
    """Return whether a text is the word `OK` followed by more text, such as `OK_cam1`."""
    first, *others = _SEPARATORS.split(text)
    return folded(first) == "ok" and any(others)


def is_split(kind: Kind) -> bool:
    """Return whether a meaning is a split."""
    return kind in ("train", "test", "validation")


def is_label(kind: Kind) -> bool:
    """Return whether a meaning is a label."""
    return kind in ("good", "anomalous")


_AFFIX = re.compile(
    r"(?P<name>.*?[^\s_.\-])(?P<ending>[\s_.\-]+(?:defect[\s_.\-]*)?(?P<word>[^\W\d_]+))"
    r"(?P<number>[\s_.\-]*\d+)?"
)
_PREFIX = re.compile(r"(?P<prefix>(?P<word>[^\W\d_]+)[\s_.\-]+)(?P<name>.+)")


def without_mask_word(stem: str) -> tuple[str, str, str] | None:
    """Split a stem such as `001_mask` into prefix, name and ending; None if no word for masks is in it."""
    found = _AFFIX.fullmatch(stem)
    if found and _KIND_OF.get(folded(found["word"])) == "masks":
        separator = (found["number"] or "").rstrip("0123456789")
        ending = found["ending"] + (f"{separator}*" if found["number"] else "")
        return "", found["name"], ending
    found = _PREFIX.fullmatch(stem)
    if found and _KIND_OF.get(folded(found["word"])) == "masks":
        return found["prefix"], found["name"], ""
    return None


def unknown_words(used: Iterable[str]) -> dict[str, list[str]]:
    """Return the words for splits and labels that are not default words, by their meaning."""
    found: dict[str, set[str]] = {}
    for word in used:
        kind = kind_of(word)
        known = DEFAULT_WORDS.get(kind, frozenset())
        if (is_split(kind) and word not in known) or (is_label(kind) and folded(word) not in known):
            found.setdefault(kind, set()).add(word)
    return {kind: sorted(found[kind]) for kind in DEFAULT_WORDS if kind in found}
