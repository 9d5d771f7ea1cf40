"""Test `anomaly-assets datasets`: list, check and suggest, on folders, archives and URLs."""

from __future__ import annotations

import io
import os
import zipfile
from pathlib import Path

import pytest

from anomaly_assets import settings
from anomaly_assets.cli import datasets
from anomaly_assets.cli.app import main
from anomaly_assets.datasets.declaration_files import BUILT_IN, declared
from anomaly_assets.datasets.known import VARIABLE, Known, read_known
from anomaly_assets.inspection.check import MOST_MASKS
from anomaly_assets_tests.stores.site import served
from anomaly_assets_tests.warehouse.project import mask, noise

Screen = pytest.CaptureFixture[str]

BOX = (2, 2, 6, 5)
LINE4 = '[line4]\nroot = "line4"\nimages = ["{label}/{name}"]\n'


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return an empty working folder, without any variable of this project."""
    monkeypatch.chdir(tmp_path)
    for name in [*os.environ]:
        if name.startswith("ANOMALY_") or name.endswith(("_ROOT", "_LINKS", "_DEPTH")):
            monkeypatch.delenv(name)
    return tmp_path


def write(folder: Path, *paths: str) -> None:
    """Write a picture to each path, or a mask if `mask` is in its name."""
    for number, path in enumerate(paths):
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        picture = mask(BOX) if "mask" in path else noise(number)
        picture.save(folder / path)


def declare(monkeypatch: pytest.MonkeyPatch, *files: str) -> Known:
    """Define the datasets of these files in this process, as ANOMALY_DATASETS at its start would."""
    known = read_known({VARIABLE: os.pathsep.join(files)})
    for module in (datasets, settings):
        monkeypatch.setattr(module, "DECLARATIONS", known)
        monkeypatch.setattr(module, "SOURCE_DATASETS", known.source_datasets)
    return known


def report_of(capsys: Screen, *arguments: str, code: int = 0) -> list[str]:
    """Return the lines of a check without empty ones; nothing is written to stderr."""
    assert main(["datasets", "check", *arguments]) == code
    printed = capsys.readouterr()
    assert printed.err == ""
    return [line for line in printed.out.splitlines() if line.strip()]


def table_of(lines: list[str]) -> list[list[str]]:
    """Return the rows of the table of images."""
    start = next(n for n, line in enumerate(lines) if line.split()[:2] == ["category", "split"])
    rows = [line.split() for line in lines[start + 1 :]]
    return [row for row in rows if len(row) >= 5 and row[-1].replace(",", "").isdigit()]


class TestCheck:
    def test_a_good_root(self, folder: Path, capsys: Screen) -> None:
        (folder / "line4.toml").write_text(LINE4)
        write(folder / "line4", "ok/1.png", "ok/2.jpg", "ng/1.png")
        assert report_of(capsys, "line4.toml") == [
            f"[line4] line4, {folder.as_uri()}/line4",
            "  3 images in 1 category, 0 masks, 0 strays",
            "  category  split       label      by    images",
            "  line4     unassigned  anomalous  path       1",
            "  line4     unassigned  good       path       2",
        ]

    def test_an_empty_root(self, folder: Path, capsys: Screen) -> None:
        (folder / "line4.toml").write_text(LINE4)
        (folder / "line4").mkdir()
        _, counts, look, why = report_of(capsys, "line4.toml", code=1)
        assert counts == "  0 images in 0 categories, 0 masks, 0 strays"
        assert look == "Look at this:"
        assert why.startswith(f"  - {folder.as_uri()}/line4 is empty; it should hold line4. ")
        assert "LINE4_ROOT" in why

    def test_a_root_that_is_one_folder_too_high(self, folder: Path, capsys: Screen) -> None:
        (folder / "line4.toml").write_text(LINE4)
        write(folder / "line4", "June/ok/1.png", "June/ng/1.png")
        lines = report_of(capsys, "line4.toml", code=1)
        assert lines[-1] == (
            f"  - {folder.as_uri()}/line4 contains no line4 images. The layout begins in a folder below "
            f"it. Set LINE4_ROOT={folder}/line4/June."
        )

    @pytest.mark.parametrize("kind", ["missing", "file", "archive"])
    def test_a_root_that_cannot_be_read_is_one_sentence(
        self, kind: str, folder: Path, capsys: Screen
    ) -> None:
        name = {"missing": "line4", "file": "line4.txt", "archive": "line4.zip"}[kind]
        if kind != "missing":
            (folder / name).write_text("no archive")
        (folder / "line4.toml").write_text(LINE4.replace('"line4"', f'"{name}"'))
        assert main(["datasets", "check", "line4.toml"]) == 1
        printed = capsys.readouterr()
        assert printed.out == ""
        [line] = printed.err.splitlines()
        assert line.startswith("error: ")
        assert str(folder / name) in line

    def test_masks_without_an_image_and_strays_with_three_examples_each(
        self, folder: Path, capsys: Screen
    ) -> None:
        (folder / "line4.toml").write_text(
            '[line4]\nroot = "line4"\nimages = ["{split}/{defect_type}/{name}"]\n'
            'masks = [{ path = "masks/{defect_type}/{name}_mask", split = "test" }]\n'
        )
        write(folder / "line4", "train/good/1.png", "test/dent/1.png", "masks/dent/1_mask.png")
        write(folder / "line4", *(f"masks/dent/{n}_mask.png" for n in range(5, 10)))
        for n in range(4):
            (folder / "line4" / f"notes {n}.xlsx").write_text("x")
        lines = report_of(capsys, "line4.toml", code=1)
        assert lines[1] == "  2 images in 1 category, 1 mask, 9 strays"
        start = lines.index("  Stray files, which belong to no image:")
        assert lines[start + 1 : start + 9] == [
            "  orphan_mask: 5",
            *(f"    masks/dent/{n}_mask.png" for n in range(5, 8)),
            "  unrecognised_path: 4",
            *(f"    notes {n}.xlsx" for n in range(3)),
        ]
        assert lines[-2] == (
            "  - 5 masks without an image of their own, such as masks/dent/5_mask.png: a mask needs the "
            "same text as its image in every field of its pattern."
        )
        assert lines[-1].startswith("  - The first run would refuse this root. ")
        assert "9 of 12 files belong to no image of line4" in lines[-1]
        assert 'strays = ["a pattern"]' in lines[-1]

    def test_no_folder_that_means_good_gives_the_line_to_write(
        self, folder: Path, capsys: Screen
    ) -> None:
        path = folder / "line4.toml"
        path.write_text('[line4]\nroot = "line4"\nimages = ["{defect_type}/{name}"]\n')
        write(folder / "line4", "dent/1.png", *(f"gut/{n}.png" for n in range(3)))
        line = 'words = { good = ["gut"] }'
        assert report_of(capsys, "line4.toml")[-1] == (
            f"  - No folder means good; `gut` has 3 images. If these are good, write {line}."
        )
        path.write_text(path.read_text() + line)
        lines = report_of(capsys, "line4.toml")
        assert "Look at this:" not in lines
        assert table_of(lines) == [
            ["line4", "unassigned", "anomalous", "path", "1"],
            ["line4", "unassigned", "good", "path", "3"],
        ]

    def test_a_sample_of_masks_is_read_and_the_report_says_so(
        self, folder: Path, capsys: Screen
    ) -> None:
        images, black = MOST_MASKS + 20, MOST_MASKS // 2
        (folder / "line4.toml").write_text(
            '[line4]\nroot = "line4"\nimages = ["{split}/{name}"]\nmasks = ["{split}/{name}_GT"]\n'
        )
        place = folder / "line4" / "train"
        place.mkdir(parents=True)
        noise(1, size=(4, 4)).save(place / "picture.png")
        for number in range(images):
            os.link(place / "picture.png", place / f"{number}.png")
            drawn = mask(*([] if number < black else [(0, 0, 1, 1)]), size=(4, 4))
            drawn.save(place / f"{number}_GT.png")
        (place / "picture.png").unlink()
        lines = report_of(capsys, "line4.toml")
        rows = {label: int(row[-1]) for row in table_of(lines) for label in [row[2]]}
        assert set(rows) == {"by", "anomalous", "good"}
        assert rows["anomalous"] + rows["good"] == MOST_MASKS
        assert rows["by"] == 20
        read = next(line for line in lines if "masks were read" in line)
        assert read == (
            f"  {MOST_MASKS} of {images} masks were read, chosen by a digest of their paths: "
            f"{rows['anomalous']} have defective pixels, {rows['good']} have none."
        )
        waiting = next(line for line in lines if "decide about" in line)
        share = f"{rows['anomalous'] / MOST_MASKS:.0%}"
        assert f"decide about 20 more images; by those that were read, about {share}" in waiting
        assert report_of(capsys, "line4.toml") == lines  # the same sample each time

    def test_a_table_and_the_path_that_disagree(self, folder: Path, capsys: Screen) -> None:
        (folder / "line4.toml").write_text(
            LINE4 + 'tables = [{ path = "r.csv", columns = { image = "i", label = "l" } }]\n'
        )
        write(folder / "line4", "ok/1.png", "ng/1.png")
        (folder / "line4/r.csv").write_text("i,l\nok/1.png,bad\nng/1.png,bad\nok/9.png,good\n")
        lines = report_of(capsys, "line4.toml")
        assert "  - No image is good." in lines
        assert table_of(lines) == [["line4", "unassigned", "anomalous", "table", "2"]]
        evidence = "such as ok/1.png: anomalous by table and good by path."
        assert f"  - 1 image with evidence for two labels, {evidence}" in lines
        assert "  declared_but_missing: 1" in lines

    def test_errors_of_declarations_exit_with_2_and_the_others_are_checked(
        self, folder: Path, capsys: Screen
    ) -> None:
        broken = '[line5]\nroot = "line5"\nimages = ["{catagory}/{name}"]\n'
        (folder / "both.toml").write_text(f"{LINE4}{broken}")
        write(folder / "line4", "ok/1.png")
        assert main(["datasets", "check", "both.toml", "none.toml"]) == 2
        printed = capsys.readouterr()
        assert printed.out.startswith("[line4] line4, ")
        first, second = sorted(printed.err.splitlines())
        assert first.startswith("both.toml:6: [line5] images: unknown placeholder {catagory}. Did ")
        assert second.startswith("none.toml: the file cannot be read (No such file or directory).")

    def test_a_root_that_cannot_be_read_does_not_stop_the_other_datasets(
        self, folder: Path, capsys: Screen
    ) -> None:
        other = LINE4.replace("line4", "line5")
        (folder / "both.toml").write_text(f"{LINE4}{other}[line6]\nimages = ['{{name}}']\n")
        write(folder / "line5", "ok/1.png")
        assert main(["datasets", "check", "both.toml"]) == 1
        printed = capsys.readouterr()
        assert "[line5] line5, " in printed.out
        assert "line6 has no root: name one with --root, or set LINE6_ROOT." in printed.out
        assert printed.err == f"error: line4: {folder}/line4 does not exist.\n"

    @pytest.mark.parametrize(
        ("arguments", "said"),
        [
            ([], "Name a TOML file, or set ANOMALY_DATASETS."),
            (["a.toml", "--name", "line9"], "line9 is not declared. There are "),
            (["a.toml", "--name", "mpdd"], "mpdd has no root: name one with --root, or set MPDD_"),
            (
                ["b.toml", "--root", "x"],
                "--root is the root of one dataset: add --name, one of line4",
            ),
            (["a.toml", "--root", ""], "--root"),
            (
                ["."],
                ". is a folder: name a TOML file. `anomaly-assets datasets suggest .` writes one.",
            ),
        ],
    )
    def test_what_cannot_be_checked_exits_with_2(
        self, arguments: list[str], said: str, folder: Path, capsys: Screen
    ) -> None:
        (folder / "a.toml").write_text(LINE4)
        (folder / "b.toml").write_text(LINE4 + LINE4.replace("line4", "line5"))
        try:
            code: object = main(["datasets", "check", *arguments])
        except SystemExit as error:  # of click
            code = error.code
        assert code == 2
        printed = capsys.readouterr()
        assert said in printed.err
        assert printed.out == ""

    @pytest.mark.parametrize("text", ["", "# nothing\n"])
    def test_a_file_that_a_failed_suggestion_left(
        self, text: str, folder: Path, capsys: Screen
    ) -> None:
        (folder / "line4.toml").write_text(text)
        assert main(["datasets", "check", "line4.toml"]) == 2
        printed = capsys.readouterr()
        assert printed.out == ""
        assert "line4.toml has no table, which begins with a line such as [line4]." in printed.err

    def test_a_built_in_dataset_by_its_name_and_a_root_of_another_one(
        self, folder: Path, capsys: Screen, project_root: Path
    ) -> None:
        samples = project_root / "data" / "samples"
        root = ("--root", str(samples / "dagm_2007"))
        lines = report_of(capsys, "--name", "dagm_2007", *root)
        assert lines[0] == f"[dagm_2007] DAGM 2007, {(samples / 'dagm_2007').as_uri()}"
        assert lines[1].startswith("  28 images in 2 categories, ")
        lines = report_of(capsys, "--name", "mvtec_ad", *root, code=1)
        assert any("DAGM 2007" in line for line in lines)

    def test_a_variable_wins_over_the_root(
        self, folder: Path, capsys: Screen, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        (folder / "line4.toml").write_text(LINE4)
        write(folder / "other", "ok/1.png")
        monkeypatch.setenv("LINE4_ROOT", "other")
        assert report_of(capsys, "line4.toml")[0].endswith("/other")

    def test_declared_counts_that_differ(self, folder: Path, capsys: Screen) -> None:
        (folder / "line4.toml").write_text(
            LINE4 + 'split = "train"\ncounts.total = { train = [3, 1] }\n'
        )
        write(folder / "line4", "ok/1.png", "ng/1.png")
        assert report_of(capsys, "line4.toml")[-1] == (
            "  - The declared counts differ: all categories, train: 2 of 4."
        )


class TestSuggest:
    FILES = (
        *(f"train/ok/{n}.png" for n in range(4)),
        *("test/ok/1.png", "test/dent/1.png", "test/dent/2.png"),
        *("masks/dent/1_mask.png", "masks/dent/2_mask.png"),
    )

    def suggested(self, capsys: Screen, *arguments: str) -> str:
        assert main(["datasets", "suggest", *arguments]) == 0
        printed = capsys.readouterr()
        assert printed.err == ""
        assert declared({"own.toml": printed.out.encode()}).problems == ()
        return printed.out

    def test_a_folder_and_a_zip_archive_of_it(self, folder: Path, capsys: Screen) -> None:
        write(folder / "line4", *self.FILES)
        with zipfile.ZipFile("line4.zip", "w") as archive:
            for path in self.FILES:
                archive.write(folder / "line4" / path, path)
        by_folder = self.suggested(capsys, "line4")
        by_archive = self.suggested(capsys, "line4.zip")
        assert f'root = "{folder}/line4"' in by_folder
        assert by_archive == by_folder.replace(f"{folder}/line4", f"{folder}/line4.zip")
        (folder / "own.toml").write_text(by_archive)
        lines = report_of(capsys, "own.toml")
        assert lines[1].startswith("  7 images in 1 category, 2 masks, 0 strays")
        assert [row[1:] for row in table_of(lines)] == [
            ["test", "anomalous", "path", "2"],
            ["test", "good", "path", "1"],
            ["train", "good", "path", "4"],
        ]

    def test_a_root_is_written_without_steps_up(self, folder: Path, capsys: Screen) -> None:
        write(folder / "line4", *self.FILES)
        (folder / "here").mkdir()
        assert f'root = "{folder}/line4"' in self.suggested(capsys, "here/../line4/./")

    @pytest.mark.parametrize(
        ("name", "arguments", "table"),
        [
            ("Linie 4 (neu)", [], "linie_4_neu"),
            ("select", [], "select_own"),
            ("mvtec_ad", [], "mvtec_ad_own"),
            ("4", [], "images_4"),
            ("x", ["--name", "Größe; DROP"], "groesse_drop"),
        ],
    )
    def test_a_name_that_cannot_be_a_schema_is_changed(
        self, name: str, arguments: list[str], table: str, folder: Path, capsys: Screen
    ) -> None:
        write(folder / name, "ok/1.png", "ng/1.png")
        toml = self.suggested(capsys, name, *arguments)
        assert f"[{table}]\n" in toml

    def test_a_folder_without_pictures_or_without_evidence(
        self, folder: Path, capsys: Screen
    ) -> None:
        (folder / "line4").mkdir()
        (folder / "line4/notes.txt").write_text("x")
        assert main(["datasets", "suggest", "line4"]) == 1
        printed = capsys.readouterr()
        assert printed.out == ""
        assert printed.err == "error: No picture that can be read is among the files (1).\n"
        write(folder / "line4", "1.png", "2.png")
        assert main(["datasets", "suggest", "line4"]) == 1
        printed = capsys.readouterr()
        assert printed.out == ""
        assert "nothing that gives a split or a label" in printed.err
        assert main(["datasets", "suggest", "none"]) == 1
        assert capsys.readouterr().err == f"error: {folder}/none does not exist.\n"

    def test_samples_in_a_known_layout_take_two_lines(
        self, folder: Path, capsys: Screen, project_root: Path
    ) -> None:
        root = project_root / "data" / "samples" / "mvtec_ad"
        toml = self.suggested(capsys, str(root), "--name", "line4")
        lines = [line for line in toml.splitlines() if not line.startswith("#")]
        assert lines == ["[line4]", f'root = "{root}"', 'like = "mvtec_ad"']

    @pytest.mark.parametrize(
        ("address", "name"),
        [
            ("https://host/data/line4.zip?sig=SEKRIT", "line4"),
            ("https://me:SEKRIT@host", "host"),
            ("https://me:SEKRIT@host/line%204/", "line 4"),
            ("s3://bucket/a/line4", "line4"),
        ],
    )
    def test_a_name_from_an_address_has_no_secret(self, address: str, name: str) -> None:
        assert datasets._name_of(address) == name

    @pytest.mark.slow
    @pytest.mark.parametrize("secret", ["user", "signature"])
    def test_an_address_and_no_password_of_it(
        self, secret: str, folder: Path, capsys: Screen, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        for variable in [name for name in os.environ if name.lower().endswith("_proxy")]:
            monkeypatch.delenv(variable)
        content = io.BytesIO()
        write(folder, *self.FILES)
        with zipfile.ZipFile(content, "w") as archive:
            for path in self.FILES:
                archive.write(folder / path, path)
        with served() as site:
            site.files["/data/line4.zip"] = site.files["/data/line4.zip?sig=SEKRIT"] = (
                content.getvalue()
            )
            address = site.location("/data/line4.zip")
            plain = self.suggested(capsys, address)
            assert f'root = "{address}"' in plain
            (folder / "own.toml").write_text(plain)
            assert report_of(capsys, "own.toml")[1].startswith("  7 images in 1 category, 2 masks")
            hidden = f"{address}?sig=SEKRIT"
            if secret == "user":
                hidden = address.replace("://", "://me:SEKRIT@")
            assert main(["datasets", "suggest", hidden]) == 0
            printed = capsys.readouterr()
            assert "SEKRIT" not in printed.out + printed.err
            assert printed.out == plain.replace(f'root = "{address}"\n', "")
            assert printed.err == (
                "The root is left out, because it holds a password: set LINE4_ROOT.\n"
            )
            (folder / "own.toml").write_text(printed.out)
            monkeypatch.setenv("LINE4_ROOT", hidden)
            lines = report_of(capsys, "own.toml")
            assert lines[1].startswith("  7 images in 1 category, 2 masks")
            assert "SEKRIT" not in "".join(lines)
            (folder / "own.toml").write_text(f'{printed.out}root = "{hidden}"\n')
            assert main(["datasets", "check", "own.toml"]) == 2
            printed = capsys.readouterr()
            assert "root holds a password" in printed.err
            assert "SEKRIT" not in printed.out + printed.err


class TestList:
    def test_own_datasets_with_their_place_and_the_others_as_variables(
        self, folder: Path, capsys: Screen, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        text = LINE4 + '[line5]\ntitle = "Line 5"\nlicence = "internal"\nimages = ["{name}"]\n'
        (folder / "own.toml").write_text(text)
        declare(monkeypatch, "own.toml")
        monkeypatch.setenv("MPDD_ROOT", "/data/mpdd")
        monkeypatch.setenv("BTAD_ROOT", "")
        assert main(["datasets", "list"]) == 0
        printed = capsys.readouterr()
        assert printed.err == ""
        used, off = printed.out.split("\n\nBuilt in, and off until their variable names a root:\n")
        assert sorted(used.splitlines()) == [
            "btad: BTAD, licence unknown, not refreshed (BTAD_ROOT is empty)",
            "line4: line4, licence unknown, line4 (own.toml:1)",
            "line5: Line 5, internal, not refreshed (LINE5_ROOT is not set)",
            "mpdd: MPDD, licence unknown, /data/mpdd (MPDD_ROOT)",
        ]
        assert len(off.splitlines()) == len(BUILT_IN) - 2
        assert "  VISA_ROOT           VisA, CC BY 4.0" in off.splitlines()
        assert max(map(len, off.splitlines())) <= 80

    def test_a_variable_that_wins_is_the_place(
        self, folder: Path, capsys: Screen, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        (folder / "own.toml").write_text(LINE4)
        declare(monkeypatch, "own.toml")
        monkeypatch.setenv("LINE4_ROOT", "/data/b")
        assert main(["datasets", "list"]) == 0
        assert "line4: line4, licence unknown, /data/b (LINE4_ROOT)\n" in capsys.readouterr().out

    def test_all_errors_with_their_lines(
        self, folder: Path, capsys: Screen, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        (folder / "a.toml").write_text(LINE4 + '[line5]\nimages = ["{name}"]\nsplit = "tain"\n')
        (folder / "b.toml").write_text("[x\n")
        declare(monkeypatch, "a.toml", "b.toml", "c.toml")
        assert main(["datasets", "list"]) == 2
        printed = capsys.readouterr()
        assert "line4: line4" in printed.out
        assert "line5" not in printed.out
        starts = (
            "a.toml:6: split: expected",
            "b.toml:1: the file is not TOML",
            "c.toml: the file ",
        )
        assert len(printed.err.splitlines()) == len(starts)
        assert all(
            any(line.startswith(start) for line in printed.err.splitlines()) for start in starts
        )


def test_the_help_texts_are_whole_sentences(capsys: Screen) -> None:
    assert main(["datasets", "--help"]) == 0
    lines = capsys.readouterr().out.splitlines()
    commands = lines[lines.index("Commands:") + 1 :]
    assert [line.split()[0] for line in commands] == ["check", "list", "suggest"]
    assert all(line.endswith(".") and not line.endswith("...") for line in commands)
