"""Test special and unreadable files below a root: no escape from the root, no hang, and a named reason."""

from __future__ import annotations

import builtins
import os
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from anomaly_assets.catalogue.dlt_source import load
from anomaly_assets.datasets import SOURCE_DATASETS
from anomaly_assets.roots.base import FileUnreadableError, RootError
from anomaly_assets.roots.open import open_root
from anomaly_assets_tests.bad_input.loading import (
    BOTH,
    DEFECT,
    DEFECTS_MASK,
    GOOD,
    Outcome,
    decode_all,
    load_all,
    offenders,
    outcome_of,
)
from anomaly_assets_tests.decoding.pictures import png
from anomaly_assets_tests.warehouse.project import Project, noise


def deny(monkeypatch: pytest.MonkeyPatch, denied: Path) -> None:
    """Refuse to open or list one place, because root, the user of some test runs, ignores permissions."""

    def refusing(function: Callable[..., Any]) -> Callable[..., Any]:
        def call(place: Any = ".", *arguments: Any, **options: Any) -> Any:
            if not isinstance(place, int) and Path(os.fsdecode(place)) == denied:
                raise PermissionError(13, "Permission denied", str(place))
            return function(place, *arguments, **options)

        return call

    for module, name in ((builtins, "open"), (os, "open"), (os, "scandir"), (os, "listdir")):
        monkeypatch.setattr(module, name, refusing(getattr(module, name)))


def test_links_out_of_the_root_and_loops_of_links_are_strays_and_never_followed(
    good_and_defect: Project, tmp_path: Path
) -> None:
    secret = tmp_path / "outside" / "train" / "good" / "000.png"
    secret.parent.mkdir(parents=True)
    secret.write_bytes(png(noise(9)))
    links: dict[str, tuple[str | Path, str]] = {
        "bottle/train/good/secret.png": (secret, "link_out_of_the_root"),
        "bottle/train/good/relative.png": (
            "../../../../outside/train/good/000.png",
            "link_out_of_the_root",
        ),
        "bottle/train/good/passwd.png": ("/etc/passwd", "link_out_of_the_root"),
        "bottle/train/good/memory.png": ("/dev/zero", "not_a_regular_file"),
        "bottle/train/good/self.png": ("self.png", "broken_link"),
        "bottle/train/good/there.png": ("back.png", "broken_link"),
        "bottle/train/good/back.png": ("there.png", "broken_link"),
        "bottle/ground_truth/cut/secret_mask.png": (secret, "link_out_of_the_root"),
        "bottle/test/loop": ("..", "linked_folder"),
        "outside": (tmp_path / "outside", "linked_folder"),
        "root": ("/", "linked_folder"),
        "itself": (".", "linked_folder"),
    }
    for path, (target, _) in links.items():
        good_and_defect.path(f"mvtec_ad/{path}").symlink_to(target)
    outcome = load_all(good_and_defect)
    assert outcome.samples == BOTH
    assert outcome.rejected == {}
    assert outcome.strays == {path: reason for path, (_, reason) in links.items()}


def test_a_folder_whose_name_only_begins_like_that_of_the_root_is_outside(
    good_and_defect: Project,
) -> None:
    beside = {
        "bottle/train/good/private.png": "mvtec_ad_private/000.png",
        "bottle/train/good/plain.png": "mvtec_ad2/000.png",
        "bottle/train/good/file.png": "mvtec_ad.png",
    }
    for path, target in beside.items():
        place = good_and_defect.path(target)
        place.write_bytes(png(noise(9)))
        good_and_defect.path(f"mvtec_ad/{path}").symlink_to(place)
    root = open_root(str(good_and_defect.folder / "mvtec_ad"))
    assert {entry.path: entry.problem for entry in root.files() if entry.problem} == dict.fromkeys(
        beside, "link_out_of_the_root"
    )
    for path in beside:
        with pytest.raises(FileUnreadableError, match="a link that leads out of the root"):
            root.read(path)
    # The path of the root may contain a link, or end with a slash.
    linked = good_and_defect.folder / "linked"
    linked.symlink_to("mvtec_ad")
    assert open_root(f"{linked}/").read(GOOD) == root.read(GOOD)


def test_a_pipe_or_socket_in_the_place_of_any_file_is_a_stray_and_nobody_waits_for_it(
    good_and_defect: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    pipes = [
        "bottle/train/good/pipe.png",
        "bottle/ground_truth/cut/pipe_mask.png",
        "bottle/notes.txt",
    ]
    for path in pipes:
        os.mkfifo(good_and_defect.path(f"mvtec_ad/{path}"))
    monkeypatch.chdir(good_and_defect.path("mvtec_ad/bottle/train/good/socket.png").parent)
    with socket.socket(socket.AF_UNIX) as opened:
        opened.bind("socket.png")
    outcome = decode_all(good_and_defect)
    assert outcome.samples == BOTH
    assert outcome.strays == dict.fromkeys(
        [*pipes, "bottle/train/good/socket.png"], "not_a_regular_file"
    )


def test_a_pipe_in_the_place_of_labels_is_a_stray(tmp_path: Path) -> None:
    project = Project.at(tmp_path)
    project.save({"dagm_2007/Class1/Train/0001.PNG": noise(1, "L")})
    os.mkfifo(project.path("dagm_2007/Class1/Train/Label/Labels.txt"))
    outcome = decode_all(project, "dagm_2007")
    assert outcome.samples == {"Class1/Train/0001.PNG": None}
    assert outcome.strays == {"Class1/Train/Label/Labels.txt": "not_a_regular_file"}


@pytest.mark.parametrize("path", [GOOD, DEFECTS_MASK])
def test_a_file_that_may_not_be_read_is_named_until_it_may(
    good_and_defect: Project, monkeypatch: pytest.MonkeyPatch, path: str
) -> None:
    good_and_defect.list_files()
    with monkeypatch.context() as denying:
        deny(denying, good_and_defect.folder / "mvtec_ad" / path)
        outcome = decode_all(good_and_defect)
    assert outcome.rejected == {path: "unreadable"}
    assert offenders(good_and_defect, "images_are_usable") == {
        path: f"unreadable: {path}: Permission denied"
    }
    without = {GOOD: None} if path == DEFECTS_MASK else {}
    assert outcome.samples == {DEFECT: None if without else BOTH[DEFECT], **without}
    assert decode_all(good_and_defect) == Outcome(BOTH, {}, {})


def test_labels_that_may_not_be_read_are_a_stray_and_the_images_load(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    project, labels = Project.at(tmp_path), "Class1/Train/Label/Labels.txt"
    project.save({"dagm_2007/Class1/Train/0001.PNG": noise(1, "L")})
    project.path(f"dagm_2007/{labels}").write_text("1\n1\t1\t0001.PNG\n")
    with monkeypatch.context() as denying:
        deny(denying, project.folder / "dagm_2007" / labels)
        outcome = decode_all(project, "dagm_2007")
    assert outcome.samples == {"Class1/Train/0001.PNG": None}
    assert outcome.strays == {labels: "unreadable_labels"}


def test_a_folder_that_may_not_be_listed_fails_by_name_and_takes_nothing_away(
    good_and_defect: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    load_all(good_and_defect)
    root = good_and_defect.folder / "mvtec_ad"
    for place in (root, root / "bottle", root / "bottle/train/good"):
        with monkeypatch.context() as denying:
            deny(denying, place)
            with pytest.raises(RootError) as raised:
                load(SOURCE_DATASETS["mvtec_ad"], str(root), good_and_defect.warehouse)
        message = str(raised.value)
        assert str(place) in message
        assert "Permission denied" in message
        assert "MVTEC_AD_ROOT" in message
    assert outcome_of(good_and_defect) == Outcome(BOTH, {}, {})


@pytest.mark.parametrize("seconds", [-(2**40), 2**40, 2**55])
def test_a_file_from_an_impossible_year_is_listed(seconds: int) -> None:
    shared_memory = Path("/dev/shm")
    if not shared_memory.is_dir():
        pytest.skip("no file system here that keeps such times")
    place = shared_memory / f"bad-input-{os.getpid()}" / GOOD
    place.parent.mkdir(parents=True)
    try:
        place.write_bytes(png(noise(1)))
        os.utime(place, (seconds, seconds))
        (entry,) = open_root(str(place.parents[3])).files()
        assert (entry.path, entry.problem) == (GOOD, None)
    finally:
        place.unlink()
        for folder in list(place.parents)[:4]:
            folder.rmdir()
