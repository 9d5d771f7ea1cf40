"""Test that names with control characters are stored unchanged, and escaped on the screen."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import dagster as dg
import pytest

from anomaly_assets.catalogue.dlt_source import load
from anomaly_assets.catalogue.refusals import ShrunkRootError, UnknownCategoryError
from anomaly_assets.datasets import SOURCE_DATASETS
from anomaly_assets.decoding import batch as decode
from anomaly_assets.decoding.build import TooManyUnreadableError
from anomaly_assets.ingest.__main__ import main
from anomaly_assets.reader import open_samples
from anomaly_assets.roots.base import FileUnreadableError, RootError
from anomaly_assets.roots.open import open_root
from anomaly_assets.warehouse.publication import PublishRefusedError
from anomaly_assets_tests.assets.environment import Environment
from anomaly_assets_tests.assets.runs import offenders, run_job
from anomaly_assets_tests.assets.trees import write_image, write_mask
from anomaly_assets_tests.bad_input.loading import load_all
from anomaly_assets_tests.catalogue.trees import write
from anomaly_assets_tests.warehouse.project import SPEC, Project, noise

MVTEC = SOURCE_DATASETS["mvtec_ad"]

PARTS = ("\x1b]0;mine\x07", "\x1b[2J", "\n2030-01-01 ERROR all is lost", "\u202egnp")
"""Set the title of a terminal, clear it, pretend to be a line of a log, and turn a line around."""

HOSTILE = f"x{''.join(PARTS)}"
PLAIN = "x\\x1b]0;mine\\x07\\x1b[2J\\x0a2030-01-01 ERROR all is lost\\u202egnp"

LOADED = (f"{HOSTILE}/train/good/{HOSTILE}.png", f"{HOSTILE}/test/{HOSTILE}/{HOSTILE}.png")
"""A good image, and an anomalous one without a mask."""


def assert_harmless(text: str) -> None:
    assert [part for part in PARTS if part in text] == []


@pytest.fixture
def project(tmp_path: Path) -> Project:
    made = Project.at(tmp_path)
    made.save({f"mvtec_ad/{path}": noise(seed) for seed, path in enumerate(LOADED)})
    return made


def refusal(error: type[Exception], call: Callable[[], object]) -> str:
    with pytest.raises(error) as caught:
        call()
    # A KeyError is shown by its repr.
    message = str(caught.value.args[0])
    assert_harmless(message)
    return message


@pytest.mark.slow
def test_a_whole_run_writes_them_to_no_log_and_no_check(
    environment: Environment, capfd: pytest.CaptureFixture[str]
) -> None:
    root = environment.mvtec_ad
    for path in LOADED:
        write_image(root, path)
    write_image(root, f"{HOSTILE}/train/good/damaged {HOSTILE}.png", b"no picture")
    write_image(root, f"copy/{LOADED[0]}")
    write_mask(root, f"{HOSTILE}/ground_truth/{HOSTILE}/orphan {HOSTILE}.png")
    write(root, f"{HOSTILE}.txt")
    write_image(environment.dagm_2007, f"{HOSTILE}/Train/{HOSTILE}.PNG")
    labels = f"1\n1\t1\t{HOSTILE.partition(chr(10))[0]}.PNG\n".encode()
    write(environment.dagm_2007, f"{HOSTILE}/Train/Label/Labels.txt", content=labels)

    everything = {"loggers": {"console": {"config": {"log_level": "DEBUG"}}}}
    with dg.DagsterInstance.ephemeral() as instance:
        run = run_job(instance=instance, run_config=everything)
        assert run.success
        events = [record.to_json() for record in instance.all_logs(run.result.run_id)]
    assert_harmless("".join(capfd.readouterr()))
    assert_harmless("".join(events).encode().decode("unicode_escape"))
    for name in (
        "mvtec_ad/stray_files:files_are_recognised",
        "mvtec_ad/stray_files:masks_belong_to_an_image",
        "dagm_2007/stray_files:files_are_recognised",
        "samples:anomalous_images_have_masks",
        "rejected_images:images_are_usable",
    ):
        found = offenders(run.checks[name])
        assert any(PLAIN in offender for offender in found), name
        assert_harmless(f"{found} {run.checks[name].description}")
    rows = environment.query("SELECT relative_path FROM anomaly.images WHERE label = 'good'")
    assert (LOADED[0],) in rows


def test_a_category_that_is_not_there(project: Project, capsys: pytest.CaptureFixture[str]) -> None:
    location = str(project.folder / "mvtec_ad")
    message = refusal(
        UnknownCategoryError,
        lambda: load(MVTEC, location, project.warehouse, categories=[f"no {HOSTILE}"]),
    )
    assert message == f"MVTec AD has no category 'no {PLAIN}'. Below the root: {PLAIN}."


def test_the_command(
    project: Project, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("MVTEC_AD_ROOT", str(project.folder / "mvtec_ad"))
    monkeypatch.setenv("ANOMALY_WAREHOUSE", str(project.warehouse.path))
    assert main(["mvtec_ad", "--category", HOSTILE]) == 0
    assert main(["mvtec_ad", "--category", "other"]) == 1
    printed = "".join(capfd.readouterr())
    assert PLAIN in printed
    assert_harmless(printed)


def test_a_root_without_an_image(tmp_path: Path) -> None:
    write(tmp_path / "root", f"{HOSTILE}/{HOSTILE}.png")
    warehouse = Project.at(tmp_path).warehouse
    message = refusal(ShrunkRootError, lambda: load(MVTEC, str(tmp_path / "root"), warehouse))
    assert f"for example above '{PLAIN}/{PLAIN}.png'." in message


def test_a_root_that_is_not_there(tmp_path: Path) -> None:
    message = refusal(RootError, lambda: open_root(str(tmp_path / HOSTILE)))
    assert message == f"{tmp_path}/{PLAIN} does not exist."


def test_a_folder_that_cannot_be_listed(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    listed, scandir = open_root(str(project.folder / "mvtec_ad")).files(), os.scandir

    def refuse(path: str) -> object:
        if HOSTILE in str(path):
            raise PermissionError(13, "Permission denied")
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refuse)
    assert f"{PLAIN}/' cannot be listed" in refusal(RootError, lambda: list(listed))


def test_a_file_that_cannot_be_read(project: Project) -> None:
    root = open_root(str(project.folder / "mvtec_ad"))
    message = refusal(FileUnreadableError, lambda: root.read(f"{HOSTILE}.png"))
    assert message == f"{PLAIN}.png: No such file or directory"


def test_a_file_that_is_too_large_or_another_one_than_was_listed(project: Project) -> None:
    root = open_root(str(project.folder / "mvtec_ad"))
    too_large = refusal(FileUnreadableError, lambda: root.read(LOADED[0], most_bytes=10))
    assert too_large == f"{PLAIN}/train/good/{PLAIN}.png: larger than 10 bytes"
    changed = refusal(FileUnreadableError, lambda: root.read(LOADED[0], "another version"))
    assert changed.startswith(f"{PLAIN}/train/good/{PLAIN}.png: not the file that was listed")


def test_an_image_that_the_machine_cannot_decode(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise RuntimeError(f"no codec for {HOSTILE}")

    project.list_files()
    monkeypatch.setattr(decode, "decode_image", fail)
    message = refusal(decode.DecodingError, project.build)
    assert message.startswith(f"Decoding mvtec_ad/{PLAIN}/")
    assert f"(RuntimeError: no codec for {PLAIN})" in message


def test_files_that_are_gone_when_they_are_decoded(tmp_path: Path) -> None:
    project = Project.at(tmp_path)
    paths = [f"mvtec_ad/{HOSTILE}/train/good/{number}.png" for number in range(5)]
    project.save({path: noise(0) for path in paths})
    project.list_files()
    for path in paths:
        project.path(path).unlink()
    message = refusal(TooManyUnreadableError, project.build)
    assert f"The last one: {PLAIN}/train/good/4.png" in message


def test_an_image_that_stands_in_the_way_of_publishing(project: Project) -> None:
    load(MVTEC, str(project.folder / "mvtec_ad"), project.warehouse)
    project.refresh_all()
    target = project.folder / "anomaly.duckdb"
    message = refusal(PublishRefusedError, lambda: project.warehouse.publish(target, SPEC))
    assert f"first mvtec_ad/{PLAIN}/test/{PLAIN}/{PLAIN}.png" in message


def test_what_a_reader_is_told(project: Project) -> None:
    load_all(project)
    target = project.folder / "anomaly.duckdb"
    project.warehouse.publish(target, SPEC)
    message = refusal(LookupError, lambda: open_samples(target, category="x"))
    assert f"Categories: mvtec_ad: {PLAIN}." in message
    with open_samples(target) as samples:
        message = refusal(KeyError, lambda: samples["x"])
        assert f"the first is mvtec_ad/{PLAIN}/test/{PLAIN}/{PLAIN}.png" in message
        assert_harmless(repr(samples))
    anomalous = open_samples(target, label="anomalous")
    with anomalous:
        assert_harmless(repr(anomalous.normalised()))
