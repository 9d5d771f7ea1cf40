"""Test declarations in runs of the graph: broken, changed, renamed, switched off and deleted ones."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import dagster as dg
import duckdb
import pytest

from anomaly_assets import settings
from anomaly_assets.cli.app import main
from anomaly_assets.datasets import SOURCE_DATASETS, Known
from anomaly_assets.datasets.known import VARIABLE, read_known
from anomaly_assets.definitions import definitions_for, with_roots
from anomaly_assets.tables import source_datasets
from anomaly_assets_tests.assets.runs import Run
from anomaly_assets_tests.assets.trees import write_image

LINE4 = '[line4]\nroot = "line4"\nimages = ["{label}/{name}"]\n'
LINE5 = LINE4.replace("line4", "line5")

Screen = pytest.CaptureFixture[str]


@dataclass
class Place:
    """A working folder with TOML files; each run reads them again, as a new process would."""

    path: Path
    monkeypatch: pytest.MonkeyPatch
    known: Known = field(default_factory=lambda: Known((), {}, ()))
    logged: list[str] = field(default_factory=list)

    def declare(self, *texts: str) -> None:
        """Write TOML files and read them: a.toml, b.toml and so on."""
        files = [self.path / f"{name}.toml" for name, _ in zip("abc", texts, strict=False)]
        for file, text in zip(files, texts, strict=True):
            file.write_text(text)
        self.read(os.pathsep.join(file.name for file in files))

    def read(self, named: str | None) -> None:
        self.known = read_known({} if named is None else {VARIABLE: named})
        for module in (settings, source_datasets):
            self.monkeypatch.setattr(module, "DECLARATIONS", self.known)
        for name in {*SOURCE_DATASETS} - {*self.known.source_datasets}:
            self.monkeypatch.delitem(SOURCE_DATASETS, name)
        for name, dataset in self.known.source_datasets.items():
            self.monkeypatch.setitem(SOURCE_DATASETS, name, dataset)

    def images(self, *paths: str) -> None:
        for path in paths:
            write_image(self.path, path)

    @property
    def definitions(self) -> dg.Definitions:
        return definitions_for(with_roots(settings.Settings.from_environment()), self.known)

    @property
    def assets(self) -> dict[str, dg.AssetSpec]:
        specs = self.definitions.resolve_all_asset_specs()
        return {spec.key.to_user_string(): spec for spec in specs}

    def run(self, job: str = "refresh_all", config: Mapping[str, Any] | None = None) -> Run:
        quiet = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}
        with dg.DagsterInstance.ephemeral() as instance:
            result = self.definitions.resolve_job_def(job).execute_in_process(
                instance=instance, run_config={**quiet, **(config or {})}, raise_on_error=False
            )
            logs = instance.all_logs(result.run_id)
        self.logged = [entry.user_message for entry in logs if not entry.is_dagster_event]
        return Run(result)

    def warehouse(self, query: str) -> list[tuple[Any, ...]]:
        return self._query("data/warehouse.duckdb", query)

    def published(self, query: str) -> list[tuple[Any, ...]]:
        return self._query("data/anomaly.duckdb", query)

    def _query(self, database: str, query: str) -> list[tuple[Any, ...]]:
        with duckdb.connect(str(self.path / database), read_only=True) as connection:
            return connection.execute(query).fetchall()

    def line_of(self, name: str) -> str:
        """Return the sentence about a source dataset at the end of a run."""
        [line] = [line for line in self.logged if line.startswith(f"{name}: ")]
        return line


COUNTS = "SELECT source_dataset, count(*) FROM anomaly.samples GROUP BY ALL ORDER BY ALL"


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Place:
    monkeypatch.chdir(tmp_path)
    for name in [*os.environ]:
        if name.startswith(("ANOMALY_", "DAGSTER_")) or name.endswith(("_ROOT", "_DEPTH")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("ANOMALY_IMAGE_SIZE", "8")
    return Place(tmp_path, monkeypatch)


def test_a_broken_table_is_one_failing_asset_and_the_others_are_published(place: Place) -> None:
    place.declare(
        LINE4 + '[line5]\nroot = "line5"\nimages = ["{catagory}/{name}"]\nsise = 3\n',
        "[half",
        LINE5.replace("line5", "line6"),
    )
    place.images("line4/ok/1.png", "line4/ng/1.png", "line6/ok/1.png", "line5/a/1.png")
    (place.path / "b.toml").unlink()
    place.read("a.toml:b.toml:c.toml:d/[x].toml")
    broken = {name for name, spec in place.assets.items() if spec.group_name == "declarations"}
    assert len(broken) == 3
    assert "line5/images" not in place.assets
    done = place.run()
    assert not done.success
    assert len(done.failures) == 3
    texts = "\n".join(done.failures.values())
    assert "a.toml:6: [line5] images: unknown placeholder {catagory}. Did you mean" in texts
    assert "a.toml:7: unknown key `sise`" in texts or "a.toml:7: `sise`" in texts
    assert "b.toml: the file cannot be read (No such file or directory). Correct its" in texts
    assert "d/[x].toml: the file cannot be read" in texts
    assert place.published(COUNTS) == [("line4", 2), ("line6", 1)]


def test_the_variables_of_a_broken_table_are_no_misspelled_ones(place: Place) -> None:
    place.declare(LINE4 + LINE5.replace("{label}", "{lable}"))
    place.monkeypatch.setenv("LINE5_ROOT", "line5")
    assert settings.unknown_variables() == []
    place.declare(LINE4)
    [sentence] = settings.unknown_variables()
    assert "Did you mean LINE4_ROOT?" in sentence


def test_a_declaration_that_was_loaded_and_breaks_keeps_its_rows(place: Place) -> None:
    place.declare(LINE4 + LINE5)
    place.images("line4/ok/1.png", "line5/ok/1.png")
    assert place.run().success
    place.declare(LINE4 + LINE5.replace("{label}", "{lable}"))
    place.images("line4/ok/2.png", "line5/ok/2.png")
    done = place.run()
    assert [*done.failures] == ["declarations__line5"]
    assert place.published(COUNTS) == [("line4", 2), ("line5", 1)]
    assert place.line_of("line5").endswith(", kept: its declaration has an error")
    (place.path / "a.toml").write_text("[line4")
    place.read("a.toml")
    assert not place.run().success
    for name in ("line4", "line5"):
        assert place.line_of(name).endswith("no file that can be read declares it (a.toml cannot)")
    assert place.published(COUNTS) == [("line4", 2), ("line5", 1)]


def test_a_dataset_that_is_no_longer_declared_keeps_its_rows_and_is_named(place: Place) -> None:
    place.declare(LINE4, LINE5)
    place.images("line4/ok/1.png", "line5/ok/1.png")
    assert place.run().success
    place.declare(LINE4)
    for _ in range(2):
        assert place.run().success
        assert place.line_of("line5") == (
            f"line5: 1 image from {place.path.as_uri()}/line5, kept: no declaration defines it; name the "
            "TOML file that does in ANOMALY_DATASETS, or remove the dataset with "
            "`anomaly-assets forget line5`"
        )
    assert place.published(COUNTS) == [("line4", 1), ("line5", 1)]
    assert "line5/images" not in place.assets


def test_another_name_for_a_root_is_refused_until_the_old_one_is_forgotten(
    place: Place, capsys: Screen
) -> None:
    place.declare(LINE4)
    place.images(*(f"line4/ok/{n}.png" for n in range(9)))
    assert place.run().success
    renamed = LINE4.replace("[line4]", "[castings]")
    place.declare(renamed)
    done = place.run()
    [failure] = done.failures.values()
    uri = f"{place.path.as_uri()}/line4"
    assert (
        f"9 images below {uri} are loaded as line4 already, and castings would add them" in failure
    )
    assert "run `anomaly-assets forget line4`, and run again. Nothing was changed." in failure
    assert place.published(COUNTS) == [("line4", 9)]
    capsys.readouterr()
    assert main(["forget", "line4"]) == 0
    assert capsys.readouterr().out.startswith("line4: 9 images removed from ")
    assert place.run().success  # without another consent
    assert place.published(COUNTS) == [("castings", 9)]
    ids = place.published("SELECT DISTINCT split_part(image_id, '/', 1) FROM anomaly.samples")
    assert ids == [("castings",)]


@pytest.mark.parametrize("spelling", ["line4/", "./line4", "x/../line4", "link"])
def test_the_same_root_in_another_spelling_is_refused_too(place: Place, spelling: str) -> None:
    place.images("line4/ok/1.png")
    (place.path / "x").mkdir()
    (place.path / "link").symlink_to("line4")
    place.declare(LINE4, LINE5.replace('root = "line5"', f'root = "{spelling}"'))
    done = place.run()
    [failure] = done.failures.values()
    assert "1 images below " in failure
    assert " are loaded as line4 already, and line5 would add them again." in failure


def test_forgetting_a_dataset_that_is_declared_says_what_would_bring_it_back(
    place: Place, capsys: Screen
) -> None:
    place.declare(f"\n{LINE4}")
    place.images("line4/ok/1.png")
    assert place.run().success
    capsys.readouterr()
    assert main(["forget", "line4"]) == 0
    assert capsys.readouterr().out.endswith(
        "Its root would bring it back (a.toml:2 declares it): remove [line4] from the file, or set "
        "LINE4_ROOT to the empty string in every environment that refreshes this warehouse.\n"
    )


def test_a_root_that_does_not_exist_is_reported_with_what_names_it(place: Place) -> None:
    place.declare(f"\n{LINE4}")
    [failure] = place.run().failures.values()
    assert f"line4 (a.toml:2): {place.path}/line4 does not exist. 0 images listed" in failure
    place.monkeypatch.setenv("LINE4_ROOT", "other")
    [failure] = place.run().failures.values()
    assert f"line4 (LINE4_ROOT): {place.path}/other does not exist. 0 images" in failure


def test_a_new_name_with_a_new_root_is_a_new_dataset(place: Place) -> None:
    place.declare(LINE4)
    place.images("line4/ok/1.png", "line5/ok/1.png")
    assert place.run().success
    place.declare(LINE5)
    assert place.run().success
    assert place.published(COUNTS) == [("line4", 1), ("line5", 1)]


def test_a_variable_wins_over_the_root_and_the_run_says_so(place: Place) -> None:
    place.declare(LINE4)
    place.images("line4/ok/1.png", "other/ok/1.png", "other/ok/2.png")
    place.monkeypatch.setenv("LINE4_ROOT", "other")
    assert place.run().success
    assert place.published(COUNTS) == [("line4", 2)]
    assert "LINE4_ROOT names the root, instead of that of a.toml." in place.logged
    place.monkeypatch.delenv("LINE4_ROOT")
    place.run(config={"ops": {"line4": {"config": {"allow_shrink": True}}}})
    assert not any("names the root" in line for line in place.logged)
    assert place.warehouse("SELECT count(*) FROM line4.images") == [(1,)]


def test_an_empty_variable_switches_a_declared_dataset_off(place: Place) -> None:
    place.declare(LINE4, LINE5)
    place.images("line4/ok/1.png", "line5/ok/1.png")
    assert place.run().success
    place.monkeypatch.setenv("LINE5_ROOT", "")
    assert "line4/images" in place.assets
    assert not [name for name in place.assets if name.startswith("line5")]
    assert place.run().success
    assert place.published(COUNTS) == [("line4", 1), ("line5", 1)]
    assert place.line_of("line5").endswith(", kept: LINE5_ROOT is empty")


def test_datasets_without_a_root_are_not_in_the_graph(place: Place) -> None:
    place.declare(LINE4 + '[line5]\nimages = ["{name}"]\n')
    groups = {spec.group_name for spec in place.assets.values()}
    assert groups == {"harmonised", "line4", "published", "summaries"} | (
        groups - {"line4", "line5"}
    )
    assert groups.isdisjoint({"line5", *read_known({VARIABLE: ""}).source_datasets})
    jobs = {job.name for job in place.definitions.get_repository_def().get_all_jobs()}
    assert {name for name in jobs if name.startswith("refresh_")} == {
        "refresh_all",
        "refresh_line4",
    }


def test_the_digest_is_the_code_version_and_a_change_is_named_with_its_keys(place: Place) -> None:
    place.declare(LINE4)
    place.images("line4/ok/1.png")
    assert place.run().success
    version = place.assets["line4/images"].code_version
    digest = place.known.source_datasets["line4"].definition_digest
    assert version is not None
    assert version.endswith(f"-{digest[:12]}")
    assert not any("declaration has changed" in line for line in place.logged)
    place.declare('\n# moved\n[line4]\nimages = ["{label}/{name}"]\nroot = "./line4"\n')
    assert place.assets["line4/images"].code_version == version
    place.declare(LINE4 + 'split = "test"\ntitle = "Line 4"\n')
    assert place.assets["line4/images"].code_version != version
    assert place.run().success
    sentence = "Line 4: its declaration has changed since the last load: split, title."
    assert sentence in place.logged
    assert place.published("SELECT split FROM anomaly.samples") == [("test",)]
    assert place.run().success
    assert sentence not in place.logged


def test_the_declaration_is_in_the_warehouse_and_published_without_its_root(place: Place) -> None:
    query = "SELECT declaration, definition_digest FROM source_datasets"
    place.declare(LINE4 + 'category = "ä"\n')
    place.images("line4/ok/1.png")
    assert place.run().success
    [(text, digest)] = place.warehouse(query)
    assert json.loads(text) == {"images": ["{label}/{name}"], "category": "ä"}
    assert digest == place.known.source_datasets["line4"].definition_digest
    assert place.published(query) == [(text, digest)]
    # No row changes, but the new declaration is published.
    place.declare(LINE4 + 'category = "ä"\nlicence = "internal"\n')
    assert place.run().success
    [(text, _)] = place.warehouse(query)
    assert json.loads(text)["licence"] == "internal"
    assert place.published(query) == place.warehouse(query)


def test_a_relative_root_starts_at_its_file(place: Place) -> None:
    (place.path / "factory").mkdir()
    (place.path / "factory/own.toml").write_text(LINE4)
    place.images("factory/line4/ok/1.png", "line4/ok/1.png", "line4/ok/2.png")
    place.read("factory/own.toml")
    assert place.run().success
    assert place.published(COUNTS) == [("line4", 1)]


def test_the_file_of_the_working_folder_is_read_without_the_variable(place: Place) -> None:
    (place.path / "datasets.toml").write_text(LINE4)
    (place.path / "other.toml").write_text(LINE5)
    for named, files in ((None, ("datasets.toml",)), ("", ()), ("other.toml", ("other.toml",))):
        place.read(named)
        assert place.known.files == files
    (place.path / "datasets.toml").unlink()
    place.read(None)
    assert (place.known.files, place.known.problems) == ((), ())


def test_a_built_in_dataset_with_other_keys_replaces_it(place: Place) -> None:
    built_in = read_known({VARIABLE: ""}).source_datasets["mvtec_ad"]
    place.declare('[mvtec_ad]\nlike = "mvtec_ad"\ndepth = 12\nroot = "own"\n')
    found = place.known.source_datasets["mvtec_ad"]
    assert (found.declaration.depth, found.title) == (12, "MVTec AD")
    assert found.declaration.counts == built_in.declaration.counts
    assert found.definition_digest != built_in.definition_digest
    assert settings.Settings.from_environment().depths == {"mvtec_ad": 12}
    place.images("own/bolt/train/good/1.png")
    assert place.run().success
    assert place.published(COUNTS) == [("mvtec_ad", 1)]


def test_code_links_lead_to_the_line_of_the_declaration(place: Place) -> None:
    place.declare(f"# lines of the factory\n\n{LINE4}", LINE5.replace("{label}", "{lable}"))
    for name in ("line4/images", "line4/files"):
        links = place.assets[name].metadata["dagster/code_references"].code_references
        assert (links[0].file_path, links[0].line_number) == (str(place.path / "a.toml"), 3)
    [broken] = [spec for name, spec in place.assets.items() if name.startswith("declarations/")]
    [link] = broken.metadata["dagster/code_references"].code_references
    assert (link.file_path, link.line_number) == (str(place.path / "b.toml"), 3)


class TestReloadOfOneCategory:
    TOML = """
        [line4]
        root = "line4"
        images = [{ path = "{site}/{product}/{name}", category = "{site}/{product}" }]
        tables = [{ path = "list.csv", columns = { image = "image", category = "part" } }]
        label = "good"
        """
    ROWS = "SELECT relative_path, category FROM line4.images ORDER BY ALL"

    def reload(self, place: Place, *categories: str) -> Run:
        done = place.run(
            "refresh_line4", {"ops": {"line4": {"config": {"categories": [*categories]}}}}
        )
        assert place.warehouse("SELECT count(*), count(DISTINCT image_id) FROM line4.images")[
            0
        ] in {(n, n) for n in range(20)}
        return done

    @pytest.fixture
    def loaded(self, place: Place) -> Place:
        place.declare(self.TOML)
        place.images("line4/siteA/bolt/1.png", "line4/siteB/bolt/1.png", "line4/siteB/nut/1.png")
        (place.path / "line4/list.csv").write_text("image,part\nsiteB/nut/1.png,rivet\n")
        assert place.run().success
        assert place.warehouse(self.ROWS) == [
            ("siteA/bolt/1.png", "siteA/bolt"),
            ("siteB/bolt/1.png", "siteB/bolt"),
            ("siteB/nut/1.png", "rivet"),
        ]
        return place

    def test_only_that_category_changes(self, loaded: Place) -> None:
        loaded.images("line4/siteA/bolt/2.png", "line4/siteB/bolt/2.png", "line4/siteB/nut/2.png")
        assert self.reload(loaded, "siteA/bolt").success
        assert [path for path, _ in loaded.warehouse(self.ROWS)] == [
            "siteA/bolt/1.png",
            "siteA/bolt/2.png",
            "siteB/bolt/1.png",
            "siteB/nut/1.png",
        ]

    def test_a_category_that_only_a_table_gives(self, loaded: Place) -> None:
        loaded.images("line4/siteA/bolt/2.png", "line4/siteB/bolt/2.png", "line4/siteB/nut/2.png")
        (loaded.path / "line4/list.csv").write_text(
            "image,part\nsiteB/nut/1.png,rivet\nsiteA/bolt/2.png,rivet\n"
        )
        assert self.reload(loaded, "rivet").success
        assert loaded.warehouse(self.ROWS) == [
            ("siteA/bolt/1.png", "siteA/bolt"),
            ("siteA/bolt/2.png", "rivet"),
            ("siteB/bolt/1.png", "siteB/bolt"),
            ("siteB/nut/1.png", "rivet"),
        ]

    @pytest.mark.parametrize("reloaded", ["rivet", "siteB/bolt"])
    def test_an_image_whose_category_changes_is_there_once(
        self, loaded: Place, reloaded: str
    ) -> None:
        (loaded.path / "line4/list.csv").write_text(
            "image,part\nsiteB/nut/1.png,rivet\nsiteB/bolt/1.png,rivet\n"
        )
        assert self.reload(loaded, reloaded).success
        assert loaded.warehouse(self.ROWS) == [
            ("siteA/bolt/1.png", "siteA/bolt"),
            ("siteB/bolt/1.png", "rivet"),
            ("siteB/nut/1.png", "rivet"),
        ]
        other = next(name for name in ("rivet", "siteB/bolt") if name != reloaded)
        sentence = "line4: images moved between categories, so these are reloaded too"
        assert f"{sentence}: {other}." in loaded.logged

    def test_a_category_that_does_not_exist_is_refused_with_those_that_do(
        self, loaded: Place
    ) -> None:
        done = self.reload(loaded, "siteA")
        [failure] = [text for text in done.failures.values() if "has no category" in text]
        assert (
            "line4 has no category 'siteA'. Below the root: rivet, siteA/bolt, siteB/bolt."
            in failure
        )
