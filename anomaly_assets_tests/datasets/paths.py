"""Define strategies for paths that a layout may get."""

import os

from hypothesis import strategies as st

WORDS = [
    *("train", "test", "ground_truth", "good", "broken", "bottle", "000.png", "000_mask.png"),
    *("Train", "Test", "Label", "Class1", "0001.PNG", "0001_label.PNG", "Labels.txt"),
    *("readme.txt", "Thumbs.db", ".DS_Store", "__MACOSX", "", ".", "..", ".png", "_mask.png"),
]

any_name = st.one_of(
    st.sampled_from(WORDS), st.text(max_size=8), st.binary(max_size=8).map(os.fsdecode)
)
"""Words of the layouts, any text, and any bytes as a file system hands them to Python."""

any_path = st.lists(any_name, max_size=6).map("/".join)

folder_name = st.one_of(
    st.sampled_from(["bottle", "Class1", "train", "Train", "test", "Test", "Label", "good", "x\n"]),
    st.text(st.characters(exclude_characters="/"), min_size=1, max_size=6),
).filter(lambda name: not name.startswith("."))
"""A category, defect or wrapper folder; hidden ones are junk."""

stem = st.from_regex(r"[0-9]{3,4}(\([0-9]\))?", fullmatch=True)
