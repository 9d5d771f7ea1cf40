"""Test the functions of the page that need no page: filters, counts, order, addresses, comparison."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from anomaly_assets_tests.gallery.scripts import evaluated
from anomaly_assets_tests.gallery.synthetic import PAGE

IDS = ["a/x/test/good/0.png", "a/x/test/hole/1.png", "a/y/test/hole/2.png", "b/x/train/good/3.png"]
VIEW = "viewOf(input.address ?? '', table)"
SELECTED = f"""(() => {{
  const table = tableOf(input.index);
  const result = selected(table, {VIEW});
  return {{ ids: Array.from(result.rows, (row) => table.ids[row]),
    counts: Object.fromEntries([...result.counts].map(([key, counts]) => [key, [...counts]])) }};
}})()"""


def an_index(**changes: Any) -> dict[str, Any]:
    """Return the index of four images of two datasets."""
    columns = {
        "image_id": IDS,
        "source_dataset": [0, 0, 0, 1],
        "category": [0, 0, 1, 2],
        "split": [0, 0, 0, 1],
        "label": [1, 0, 0, 1],
        "label_source": [0, 0, 0, 0],
        "defect_type": [-1, 0, 0, -1],
        "defect_area": [0.0, 0.05, 0.02, None],
        "score": [0.2, 0.1, 0.9, None],
        "loaded_at": [100, 300, 200, 300],
        "content": ["c0", "c1", "c2", "c3"],
        "pack": [0, 0, 1, 2],
        "slot": [0, 1, 0, 0],
    }
    return {
        "format": 1,
        "snapshot": {"id": "s2", "published_at": "2026-11-29T10:00:00Z"},
        "count": 4,
        "recipe": None,
        "words": {
            "source_dataset": ["a", "b"],
            "category": [
                {"source_dataset": d, "name": name} for d, name in ((0, "x"), (0, "y"), (1, "x"))
            ],
            "split": ["test", "train"],
            "label": ["anomalous", "good"],
            "label_source": ["path"],
            "defect_type": ["hole"],
            "check": [{"name": "pairs", "sentence": "s", "asset": "t"}, {"name": "masks"}],
        },
        "columns": {**columns, **changes},
        "checks": [[1, 2], [2]],
        "attributes": {"camera": {"type": "text", "words": ["L", "R"], "codes": [0, 1, 0, -1]}},
        "packs": ["tiles/a.js", "tiles/b.js", "tiles/c.js"],
    }


SELECTIONS = {
    "": "0123",
    "label=anomalous": "12",
    "dataset=a&category=a/x&category=a/y&label=good": "0",
    "category=a/x&category=b/x": "013",
    "defect=": "03",
    "check=pairs": "12",
    "check=": "03",
    "check=pairs&check=masks&label=good": "",
    "a.camera=R": "1",
    "a.camera=": "3",
    "area=0.03..": "1",
    "area=..0.02": "02",
    "loaded=150..250": "2",
    "search=HOLE x/": "1",
    "search=3.png": "3",
    "sort=-score": "2013",
    "sort=score": "1023",
    "sort=-loaded": "1320",
    "sort=rank": "0123",
    "sort=unheard&other=1&area=x..y": "0123",
    "label=unheard": "",
}
"""Map of the addresses of views to the last digits of the ids of their images, in order."""


def test_an_address_selects_images() -> None:
    expression = (
        f"input.addresses.map((address) => {{ input.address = address; return {SELECTED}.ids; }})"
    )
    answers = evaluated(expression, {"index": an_index(), "addresses": list(SELECTIONS)})
    found = ["".join(image_id[-5] for image_id in ids) for ids in answers]
    assert dict(zip(SELECTIONS, found, strict=True)) == SELECTIONS


def test_counts_of_a_field_ignore_its_own_choice() -> None:
    counts = evaluated(SELECTED, {"index": an_index(), "address": "label=anomalous&area=0.03.."})[
        "counts"
    ]
    assert counts["label"] == [0, 1, 0]
    counts = evaluated(SELECTED, {"index": an_index(), "address": "label=anomalous&category=a/x"})[
        "counts"
    ]
    assert counts["label"] == [0, 1, 1]
    assert counts["category"] == [0, 1, 1, 0]
    assert counts["defect"] == [0, 1]
    assert counts["check"] == [0, 1, 0]


def test_a_rank_is_the_share_of_good_images_with_a_lower_score() -> None:
    """Images that a detector was trained on are left out: their own scores are low."""
    columns = {
        "label": [1, 1, 0, 1],
        "category": [0, 0, 0, 0],
        "source_dataset": [0, 0, 0, 0],
        "split": [0, 0, 0, 1],
        "score": [0.2, 0.4, 0.3, 0.01],
    }
    ranks = evaluated("[...measure(tableOf(input), 'rank').values]", an_index(**columns))
    assert ranks == [0.0, 0.5, 0.5, 0.0]


def test_a_view_survives_its_address() -> None:
    view = "label=good&label=anomalous&a.camera=R%26%22&area=0.03..0.5&search=a+b&sort=-area&image=x%2Fy"
    answer = evaluated(
        "addressOf(viewOf(input.address, tableOf(input.index)))",
        {"index": an_index(), "address": view},
    )
    assert answer == view


def test_two_snapshots_are_compared_by_image_id() -> None:
    older = an_index(
        image_id=[IDS[0], IDS[1], "a/y/test/hole/9.png", IDS[3]],
        label=[1, 1, 0, 1],
        defect_type=[-1, -1, 0, -1],
        content=["c0", "c1", "c9", "other"],
    )
    older["words"]["defect_type"] = ["stain"]
    answer = evaluated(
        """(() => {
          const table = compared(tableOf(input.now), tableOf(input.then));
          const result = selected(table, emptyView());
          const all = selected(table, { ...emptyView(), chosen: { change: [""] } });
          const words = (row) => ["change", "defect"].map((key) => wordOf(table, key, row));
          const shown = (row) => [table.ids[row].at(-5), ...words(row), table.before[row], table.pack[row]];
          return { rows: Array.from(result.rows, shown),
            same: Array.from(all.rows), count: table.count, checks: checksOf(table, 4) };
        })()""",
        {"now": an_index(), "then": older},
    )
    assert answer == {
        "rows": [
            ["1", "relabelled", "hole", 1, 0],
            ["2", "added", "hole", -1, 1],
            ["3", "other content", "", 3, 2],
            ["9", "removed", "stain", 2, -1],
        ],
        "same": [0],
        "count": 5,
        "checks": [],
    }


def test_lines_for_corrections_are_csv() -> None:
    images = [{"id": 'a/x,"y"\n.png', "content": "ab"}, {"id": "a/b.png", "content": ""}]
    line = {
        "field": "label",
        "value": "good",
        "reason": 'no "stain", dust',
        "by": "ada",
        "at": "2026-11-29T10:00:00",
    }
    text = evaluated("correctionsOf(input.images, input.line)", {"images": images, "line": line})
    assert text == (
        "image_id,content_sha256,field,value,reason,by,at\n"
        '"a/x,""y""\n.png",ab,label,good,"no ""stain"", dust",ada,2026-11-29T10:00:00\n'
        'a/b.png,,label,good,"no ""stain"", dust",ada,2026-11-29T10:00:00\n'
    )


def test_the_scripts_take_text_as_text() -> None:
    """Names of files and folders reach the page: they never become markup or code."""
    forbidden = re.compile(
        r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\b|new Function|DOMParser"
    )
    for path in PAGE.glob("*.js"):
        assert not forbidden.search(path.read_text("utf-8")), path.name
    assert "script-src 'self' file:" in (PAGE / "index.html").read_text("utf-8")


def test_every_script_is_loaded_once() -> None:
    page = (PAGE / "index.html").read_text("utf-8")
    assert sorted(re.findall(r'<script src="([^"]+)"', page)) == sorted(
        path.name for path in PAGE.glob("*.js")
    )
    assert not re.findall(r"https?://|//[a-z]", page)


def test_no_script_is_long() -> None:
    lengths = {
        path.name: len(path.read_text("utf-8").splitlines()) for path in Path(PAGE).glob("*.js")
    }
    assert max(lengths.values()) <= 300, lengths
