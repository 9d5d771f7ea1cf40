"""Test the excerpt command."""

import errno
import os
import zipfile
from pathlib import Path

import pytest

from anomaly_assets.catalogue.listing import list_catalog
from anomaly_assets.cli.excerpt import ExcerptError, main, make_excerpt
from anomaly_assets.datasets import SOURCE_DATASETS
from anomaly_assets.roots.open import open_root

SAMPLES = Path(__file__).parents[1] / "data" / "samples"


def contents(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def test_an_excerpt_takes_so_many_images_of_every_kind_with_their_masks(tmp_path: Path) -> None:
    made = make_excerpt(open_root(str(SAMPLES / "mvtec_ad")), tmp_path / "out", 2, 0)
    catalog = list_catalog(SOURCE_DATASETS["mvtec_ad"], open_root(str(tmp_path / "out")))
    rows = catalog.images.to_pylist()
    kinds = [(row["category"], row["split"], row["defect_type"]) for row in rows]
    assert {kind: kinds.count(kind) for kind in kinds} == {
        (category, split, defect): 2
        for category, defects in {
            "bolt": ("bent_thread", "scratch"),
            "woven": ("stain", "tear"),
        }.items()
        for split, defect in [
            ("train", None),
            ("test", None),
            *(("test", defect) for defect in defects),
        ]
    }
    assert (made.images, made.masks) == (16, 8)
    assert catalog.stray_files.num_rows == 0


def test_labels_are_cut_to_the_images_that_were_taken(tmp_path: Path) -> None:
    make_excerpt(open_root(str(SAMPLES / "dagm_2007")), tmp_path / "out", 1, 0)
    labels = (tmp_path / "out/Class1/Train/Label/Labels.txt").read_bytes()
    names = sorted(path.name for path in (tmp_path / "out/Class1/Train").glob("*.PNG"))
    assert labels.splitlines()[0].strip() == b"1"
    assert [line.split(b"\t")[2].decode() for line in labels.splitlines()[1:]] == names
    assert not (tmp_path / "out/Class2/Train/Label").exists()
    catalog = list_catalog(SOURCE_DATASETS["dagm_2007"], open_root(str(tmp_path / "out")))
    assert catalog.stray_files.num_rows == 0


def test_the_same_seed_gives_the_same_files_from_a_folder_and_from_a_zip(tmp_path: Path) -> None:
    source = SAMPLES / "dagm_2007"
    with zipfile.ZipFile(tmp_path / "dagm.zip", "w") as archive:
        for path in sorted(source.rglob("*")):
            archive.write(path, f"DAGM_KaggleUpload/{path.relative_to(source).as_posix()}")
    make_excerpt(open_root(str(source)), tmp_path / "a", 2, 0)
    make_excerpt(open_root(str(tmp_path / "dagm.zip")), tmp_path / "b", 2, 0)
    make_excerpt(open_root(str(source)), tmp_path / "c", 2, 1)
    assert contents(tmp_path / "a") == contents(tmp_path / "b")
    assert contents(tmp_path / "a").keys() != contents(tmp_path / "c").keys()


def test_a_folder_that_is_not_empty_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("keep")
    with pytest.raises(ExcerptError, match="is not empty"):
        make_excerpt(open_root(str(SAMPLES / "mvtec_ad")), tmp_path, 1, 0)
    assert contents(tmp_path) == {"mine.txt": b"keep"}


def test_the_command_says_what_it_copied_or_why_not(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = str(tmp_path / "out")
    assert main(["--root", str(SAMPLES / "dagm_2007"), "--out", out, "--per-kind", "1"]) == 0
    assert capsys.readouterr().out.startswith("dagm_2007: 7 images, 3 masks, 2 labels files")
    assert main(["--root", str(tmp_path / "none"), "--out", out + "2"]) == 1
    assert "does not exist" in capsys.readouterr().err


@pytest.mark.parametrize("dataset", ["mvtec_ad", "dagm_2007"])
def test_a_category_folder_is_answered_with_its_parent(
    dataset: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = SAMPLES / dataset
    category = next(path for path in sorted(root.iterdir()) if path.is_dir())
    assert main(["--root", str(category), "--out", str(tmp_path / "out")]) == 1
    assert capsys.readouterr().err == (
        f"error: {category.as_uri()} contains no images in the layout of a built-in or declared source "
        f"dataset. Name the folder of the category folders: --root {root}\n"
    )
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("place", ["file", "file/below", "full", "closed"])
def test_a_folder_that_cannot_be_written_is_one_sentence_and_leaves_nothing(
    place: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("mine")

    def fail(path: Path, content: bytes) -> int:
        number = errno.ENOSPC if place == "full" else errno.EROFS
        raise OSError(number, os.strerror(number), str(path))

    if place in ("full", "closed"):
        monkeypatch.setattr(Path, "write_bytes", fail)
    arguments = ["--root", str(SAMPLES / "mvtec_ad"), "--out", str(tmp_path / place)]
    assert main(arguments) == 1
    [line] = capsys.readouterr().err.splitlines()
    assert line.startswith(f"error: {tmp_path / place} ")
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_an_interrupted_excerpt_leaves_nothing_and_can_be_repeated(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out, write_bytes = tmp_path / "out", Path.write_bytes
    left = [None] * 3

    def interrupt(path: Path, content: bytes) -> int:
        if not left:
            raise KeyboardInterrupt
        left.pop()
        return write_bytes(path, content)

    with monkeypatch.context() as patched:
        patched.setattr(Path, "write_bytes", interrupt)
        with pytest.raises(KeyboardInterrupt):
            make_excerpt(open_root(str(SAMPLES / "mvtec_ad")), out, 1, 0)
    assert not [*tmp_path.iterdir()]
    assert make_excerpt(open_root(str(SAMPLES / "mvtec_ad")), out, 1, 0).images
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
