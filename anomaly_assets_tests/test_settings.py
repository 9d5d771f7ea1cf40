"""Test values of the environment variables, and messages for invalid ones."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest
from dagster._utils.schedules import is_valid_cron_schedule

from anomaly_assets import settings as module
from anomaly_assets.datasets import SOURCE_DATASETS
from anomaly_assets.recipes import MOST_TENSOR_BYTES, Recipe
from anomaly_assets.settings import (
    VARIABLES,
    Settings,
    SettingsError,
    published_database,
    unknown_variables,
)


def roots(**named: str | None) -> dict[str, str | None]:
    return {**dict.fromkeys(SOURCE_DATASETS), **named}


def test_nothing_set_makes_the_samples_run() -> None:
    assert Settings.from_environment({}) == Settings(
        roots=roots(mvtec_ad="data/samples/mvtec_ad", dagm_2007="data/samples/dagm_2007"),
        warehouse="data/warehouse.duckdb",
        database=Path("data/anomaly.duckdb"),
        keep_snapshots=1,
        recipe=Recipe(256, 256, 3),
        compute="threads",
        workers=os.cpu_count() or 1,
        task_timeout_seconds=600.0,
        refresh_cron="0 3 * * *",
        sensor_seconds=60,
        lock_wait_seconds=3600.0,
        sample_roots=True,
    )


def test_everything_set_is_taken() -> None:
    environment = {
        "MVTEC_AD_ROOT": "/srv/mvtec.zip",
        "DAGM_2007_ROOT": "s3://bucket/dagm",
        "ANOMALY_WAREHOUSE": "/var/lib/team/work.duckdb",
        "ANOMALY_DATABASE": "/srv/team.duckdb",
        "ANOMALY_KEEP_SNAPSHOTS": "0",
        "ANOMALY_IMAGE_SIZE": "256x320",
        "ANOMALY_CHANNELS": "1",
        "ANOMALY_COMPUTE": "dask://scheduler.example:8786",
        "ANOMALY_WORKERS": "7",
        "ANOMALY_TASK_TIMEOUT_SECONDS": "45",
        "ANOMALY_REFRESH_CRON": "*/5 * * * *",
        "ANOMALY_SENSOR_SECONDS": "5",
        "ANOMALY_LOCK_WAIT_SECONDS": "90",
    }
    assert Settings.from_environment(environment) == Settings(
        roots=roots(mvtec_ad="/srv/mvtec.zip", dagm_2007="s3://bucket/dagm"),
        warehouse="/var/lib/team/work.duckdb",
        database=Path("/srv/team.duckdb"),
        keep_snapshots=0,
        recipe=Recipe(height=256, width=320, channels=1),
        compute="dask://scheduler.example:8786",
        workers=7,
        task_timeout_seconds=45.0,
        refresh_cron="*/5 * * * *",
        sensor_seconds=5,
        lock_wait_seconds=90.0,
        named_size=(256, 320),
        named_channels=1,
    )


def test_the_environment_of_the_process_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ANOMALY_WORKERS", "3")
    monkeypatch.setenv("MVTEC_AD_ROOT", "/srv/mvtec")
    settings = Settings.from_environment()
    assert settings.workers == 3
    assert settings.roots["mvtec_ad"] == "/srv/mvtec"


@pytest.mark.parametrize("named", ["", "  ", "/srv/dagm"])
def test_the_samples_are_used_only_where_no_variable_of_a_root_is_set(named: str) -> None:
    settings = Settings.from_environment({"DAGM_2007_ROOT": named})
    assert settings.roots == roots(dagm_2007=named.strip() or None)
    assert not settings.sample_roots


def test_an_empty_variable_of_a_root_is_not_an_unset_one() -> None:
    settings = Settings.from_environment({"DAGM_2007_ROOT": " "})
    assert settings.empty_roots == {"dagm_2007"}
    assert Settings.from_environment({"DAGM_2007_ROOT": "/srv"}).empty_roots == frozenset()


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("MVTEC_ROOT", "Did you mean MVTEC_AD_ROOT?"),
        ("MVTECAD_ROOT", "Did you mean MVTEC_AD_ROOT?"),
        ("mvtec_ad_root", "Did you mean MVTEC_AD_ROOT?"),
        ("DAGM_ROOT", "Did you mean DAGM_2007_ROOT?"),
        ("DAGM2007_LINKS", "Did you mean DAGM_2007_LINKS?"),
        ("MVTEC_DEPTH", "Did you mean MVTEC_AD_DEPTH?"),
        ("ANOMALY_IMAGE_SIZES", "Did you mean ANOMALY_IMAGE_SIZE?"),
        ("ANOMALY_DATABSE", "Did you mean ANOMALY_DATABASE?"),
        ("MVTEC_AD_LINK", "Did you mean MVTEC_AD_LINKS?"),
        ("MVTEC_AD_DEPTHS", "Did you mean MVTEC_AD_DEPTH?"),
        ("MVTEC_DEPTHS", "Did you mean MVTEC_AD_DEPTH?"),
        ("MVTEC_ADROOT", "Did you mean MVTEC_AD_ROOT?"),
        ("DAGM_2007_ROOTS", "Did you mean DAGM_2007_ROOT?"),
        ("ANOMALY_DEPTH", "Did you mean DAGM_2007_DEPTH or MVTEC_AD_DEPTH?"),
        ("ANOMALY_ROOTS", "Did you mean DAGM_2007_ROOT or MVTEC_AD_ROOT?"),
        ("ANOMALY_LINKS", "Did you mean DAGM_2007_LINKS or MVTEC_AD_LINKS?"),
        ("ANOMALY_X", "docs/settings.md lists all."),
    ],
)
def test_a_misspelled_variable_is_named_without_its_value(name: str, meant: str) -> None:
    assert unknown_variables({name: "hidden"}) == [
        f"The variable {name} is set, but it is not a setting: it is ignored. {meant}"
    ]


@pytest.mark.parametrize(
    "name",
    [
        *VARIABLES, "MVTEC_AD_ROOT", "DAGM_2007_DEPTH", "MVTEC_AD_LINKS", "ANOMALY_TEST_STORES",
        "DAGSTER_ROOT", "PYTHON_ROOT", "DATA_ROOT", "LOCO_HOME", "VISA_ROOT", "ADS_HOME", "_ROOT",
        "COLOR_DEPTH", "MAX_DEPTH", "HOME", "DAGSTER_HOME", "SOFT_LINKS", "CONDA_ROOT", "MVTEC_AD_HOME",
        "SOFT_LINK", "COLOR_DEPTHS", "ROOT", "DEPTH", "MVTEC_AD_ROUTE", "MVTEC_AD_DATA",
    ],
)  # fmt: skip
def test_variables_of_other_programs_are_not_named(name: str) -> None:
    assert unknown_variables({name: "x"}) == []


def test_a_similar_variable_is_not_named_where_the_right_one_is_set() -> None:
    assert unknown_variables({"MVTEC_AD_ROOT": "/a", "MVTEC_3D_AD_ROOT": "/b"}) == []
    assert unknown_variables({"MVTEC_AD_LINKS": "follow", "MVTEC_AD_LINK": "follow"}) == []


def test_every_variable_that_is_read_is_known() -> None:
    text = Path(str(module.__file__)).read_text("utf-8")
    named = {each.rstrip("_") for each in re.findall(r"\bANOMALY_[A-Z_]+", text)}
    assert named - {"ANOMALY", "ANOMALY_TEST"} == {*VARIABLES}


@pytest.mark.parametrize(
    "name",
    [
        "ANOMALY_WAREHOUSE", "ANOMALY_DATABASE", "ANOMALY_IMAGE_SIZE", "ANOMALY_CHANNELS",
        "ANOMALY_COMPUTE", "ANOMALY_WORKERS", "ANOMALY_TASK_TIMEOUT_SECONDS",
        "ANOMALY_REFRESH_CRON", "ANOMALY_LOCK_WAIT_SECONDS",
    ],
)  # fmt: skip
def test_any_other_variable_that_is_empty_has_its_default(name: str) -> None:
    assert Settings.from_environment({name: ""}) == Settings.from_environment({})


@pytest.mark.parametrize(
    ("text", "height", "width"),
    [("256", 256, 256), ("1", 1, 1), ("256x320", 256, 320), ("4096X1", 4096, 1)],
)
def test_image_sizes_are_one_side_or_height_by_width(text: str, height: int, width: int) -> None:
    spec = Settings.from_environment({"ANOMALY_IMAGE_SIZE": text}).recipe
    assert (spec.height, spec.width) == (height, width)


def test_sizes_are_the_common_recipe_and_further_ones() -> None:
    settings = Settings.from_environment({"ANOMALY_SIZES": "64x32x1, 512x512x1,full/tile=512+64"})
    assert settings.recipe == Recipe(64, 32, 1)
    assert (settings.named_size, settings.named_channels) == ((64, 32), 1)
    assert settings.sizes == (Recipe(512, 512, 1), Recipe(512, 512, 3, overlap=64))
    assert Settings.from_environment({"ANOMALY_SIZES": "64"}).sizes == ()
    for text in ("", " ", "declared"):
        found = Settings.from_environment({"ANOMALY_SIZES": text})
        assert (found.sizes, found.named_size) == (None, None)
        assert found.sizes_as_declared == (text == "declared")


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"ANOMALY_SIZES": "256,512x512x2"}, "ANOMALY_SIZES: '512x512x2' is not a recipe"),
        ({"ANOMALY_SIZES": "256,"}, "ANOMALY_SIZES: '' is not a recipe"),
        ({"ANOMALY_SIZES": "256/fit"}, "the first recipe is the common one of all datasets"),
        ({"ANOMALY_SIZES": "256x256xnative"}, "the first recipe is the common one"),
        (
            {"ANOMALY_SIZES": "512,256", "ANOMALY_IMAGE_SIZE": "256"},
            "ANOMALY_IMAGE_SIZE='256' and ANOMALY_SIZES, which begins with 512x512x3, name two common "
            "recipes: unset ANOMALY_IMAGE_SIZE.",
        ),
        ({"ANOMALY_SIZES": "256", "ANOMALY_CHANNELS": "1"}, "unset ANOMALY_CHANNELS."),
        ({"ANOMALY_RESIZE": "lanczos"}, "ANOMALY_RESIZE='lanczos': use simd or pillow."),
    ],
)
def test_sizes_that_cannot_be_used_are_refused(values: dict[str, str], message: str) -> None:
    with pytest.raises(SettingsError, match=re.escape(message)):
        Settings.from_environment(values)


def test_sizes_may_repeat_what_the_other_variables_name() -> None:
    values = {"ANOMALY_SIZES": "64,512", "ANOMALY_IMAGE_SIZE": "64", "ANOMALY_CHANNELS": "3"}
    assert Settings.from_environment(values).recipe == Recipe(64, 64, 3)


@pytest.mark.parametrize(
    ("size", "channels", "accepted"),
    [
        ("1024", "3", True),
        ("1025", "3", False),
        ("1024x1025", "3", False),
        ("4096x768", "1", True),
        ("4096", "1", False),
    ],
)
def test_tensors_that_a_run_could_not_hold_are_refused(
    size: str, channels: str, accepted: bool
) -> None:
    values = {"ANOMALY_IMAGE_SIZE": size, "ANOMALY_CHANNELS": channels}
    if accepted:
        assert Settings.from_environment(values).recipe.tensor_bytes <= MOST_TENSOR_BYTES
        return
    with pytest.raises(SettingsError, match=r"at most 3,145,728 values, as 1024x1024 has"):
        Settings.from_environment(values)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *(
            ("ANOMALY_IMAGE_SIZE", value)
            for value in (
                "0",
                "4097",
                "256x",
                "x256",
                "x",
                "1x2x3",
                "-5",
                "2.5",
                "big",
                "256x0",
                "9" * 5000,
                "²",
            )
        ),
        *(("ANOMALY_CHANNELS", value) for value in ("0", "2", "4", "rgb", "-1", "3.0", "9" * 400)),
        *(
            ("ANOMALY_REFRESH_CRON", value)
            for value in (
                "every day",
                "0 3 * *",
                "60 * * * *",
                "0 3 * * 8",
                "0 0 3 * * *",
                "0 0 30 2 *",
                "0 0 31 4,6 *",
                "@reboot",
                " ",
            )
        ),
        *(
            ("ANOMALY_WORKERS", value)
            for value in ("0", "-2", "many", "1.5", "9" * 400, "9" * 5000)
        ),
        *(("ANOMALY_LOCK_WAIT_SECONDS", value) for value in ("0", "-1", "soon", "9" * 400)),
        *(("ANOMALY_TASK_TIMEOUT_SECONDS", value) for value in ("0", "1.5", "never")),
        *(
            ("ANOMALY_COMPUTE", value)
            for value in (
                "dask",
                "dask://",
                "dask://scheduler",
                "dask://:8786",
                "dask://a:b",
                "dask://a:8786/path",
                "dask://a:65536",
                "dask://a:0",
                "tcp://a:8786",
                "Threads",
                "4",
            )
        ),
    ],
)
def test_a_value_that_cannot_be_used_is_named_with_its_variable(name: str, value: str) -> None:
    with pytest.raises(SettingsError) as raised:
        Settings.from_environment({name: value})
    assert name in str(raised.value)
    assert value in str(raised.value)
    assert ": use " in str(raised.value)


@pytest.mark.parametrize("text", ["md:team", "ducklake:postgres:dbname=team password=hidden"])
def test_a_warehouse_may_be_elsewhere_than_in_a_file_and_its_password_is_not_shown(
    text: str,
) -> None:
    settings = Settings.from_environment(
        {"ANOMALY_WAREHOUSE": text, "ANOMALY_LAKE_DATA": "s3://bucket/lake"}
    )
    assert settings.warehouse == text
    assert settings.lake_data == "s3://bucket/lake"
    assert "hidden" not in repr(settings)


@pytest.mark.parametrize(
    "text", ["md:team", "ducklake:postgres:dbname=team password=hidden", "s3://bucket/a.duckdb"]
)
def test_what_is_published_for_a_file_warehouse_is_a_file(text: str) -> None:
    with pytest.raises(SettingsError, match="ANOMALY_DATABASE: use the path") as raised:
        Settings.from_environment({"ANOMALY_DATABASE": text})
    assert "hidden" not in str(raised.value)


@pytest.mark.parametrize("text", ["s3://me:hidden@host/y", "file:///srv/hidden.duckdb"])
def test_a_warehouse_that_is_no_place_to_write_to_is_refused_with_what_it_may_be(text: str) -> None:
    with pytest.raises(SettingsError) as raised:
        Settings.from_environment({"ANOMALY_WAREHOUSE": text})
    assert str(raised.value) == (
        f"ANOMALY_WAREHOUSE={text.partition('://')[0]}://…: use the path of a DuckDB file, "
        "ducklake:postgres:…, or md:NAME."
    )


@pytest.mark.parametrize(
    ("name", "text", "shown"),
    [
        ("ANOMALY_WAREHOUSE", "postgres:password=hidden sslrootcert=file://x", "postgres:…"),
        ("ANOMALY_WAREHOUSE", "me:hidden@host://x", "…"),
        ("ANOMALY_COMPUTE", "dask://me:hidden@scheduler:8786", "dask://…"),
        ("ANOMALY_COMPUTE", "tcp://me:hidden@scheduler:8786", "…"),
        ("ANOMALY_LAKE_DATA", "s3:/bucket/hidden", "s3:/…"),
        ("ANOMALY_LAKE_DATA", "S3://bucket/hidden", "S3://…"),
        ("ANOMALY_LAKE_DATA", "s3://me:hidden@bucket/lake", "s3://…"),
    ],
)
def test_a_slip_in_an_address_is_refused_by_its_beginning_alone(
    name: str, text: str, shown: str
) -> None:
    with pytest.raises(SettingsError) as raised:
        Settings.from_environment({name: text})
    assert str(raised.value).startswith(f"{name}={shown}: use ")
    assert "hidden" not in str(raised.value)


@pytest.mark.parametrize("text", ["data/lake", "/share/lake:1", "s3://bucket/lake", "gs://bucket"])
def test_files_of_a_lake_are_in_a_folder_or_a_store(text: str) -> None:
    assert Settings.from_environment({"ANOMALY_LAKE_DATA": text}).lake_data == text


@pytest.mark.parametrize(
    ("warehouse", "database", "read"),
    [
        ("", "", "data/anomaly.duckdb"),
        ("", "/share/a.duckdb", "/share/a.duckdb"),
        ("w.duckdb", "/share/a.duckdb", "/share/a.duckdb"),
        ("", "ducklake:postgres:dbname=team", "ducklake:postgres:dbname=team"),
        ("ducklake:postgres:dbname=team", "", "ducklake:postgres:dbname=team"),
        ("ducklake:postgres:dbname=team", "/share/a.duckdb", "ducklake:postgres:dbname=team"),
        ("md:team", "/share/a.duckdb", "md:team_published"),
    ],
)
def test_people_read_where_a_run_with_the_same_variables_publishes(
    warehouse: str, database: str, read: str
) -> None:
    """Test a former bug: after the move to a lake, readers still read the old file."""
    values = {"ANOMALY_WAREHOUSE": warehouse, "ANOMALY_DATABASE": database}
    assert published_database(values) == read


@pytest.mark.parametrize("name", ["w.duckdb.lock", "w.duckdb.wal", "a.0123456789ab.duckdb"])
def test_a_published_database_has_no_name_of_what_lies_beside_one(name: str) -> None:
    with pytest.raises(SettingsError, match="are beside a database and belong to it"):
        Settings.from_environment({"ANOMALY_DATABASE": f"/share/{name}"})


@pytest.mark.parametrize("variable", ["ANOMALY_DATABASE", "ANOMALY_WAREHOUSE"])
def test_a_pipe_is_refused_which_would_be_waited_for(tmp_path: Path, variable: str) -> None:
    os.mkfifo(tmp_path / "pipe.duckdb")
    with pytest.raises(SettingsError, match="is not a file: use the path of a DuckDB file"):
        Settings.from_environment({variable: str(tmp_path / "pipe.duckdb")})


def test_a_published_database_that_is_a_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SettingsError) as raised:
        Settings.from_environment({"ANOMALY_DATABASE": str(tmp_path)})
    assert str(raised.value) == (
        f"ANOMALY_DATABASE='{tmp_path}' is a folder: use the path of a DuckDB file in it."
    )


@pytest.mark.parametrize("text", ["rgb", "2"])
def test_channels_that_there_are_not_are_answered_with_those_there_are(text: str) -> None:
    with pytest.raises(SettingsError) as raised:
        Settings.from_environment({"ANOMALY_CHANNELS": text})
    assert str(raised.value) == f"ANOMALY_CHANNELS='{text}': use 3 (RGB) or 1 (grey)."


def test_the_highest_port_is_one() -> None:
    settings = Settings.from_environment({"ANOMALY_COMPUTE": "dask://a:65535"})
    assert settings.compute == "dask://a:65535"


@pytest.mark.parametrize("same", ["data/a.duckdb", "data/../data/a.duckdb", "./data//a.duckdb"])
def test_warehouse_and_published_database_are_two_files(same: str) -> None:
    both = {"ANOMALY_WAREHOUSE": "data/a.duckdb", "ANOMALY_DATABASE": same}
    with pytest.raises(SettingsError, match="name two files"):
        Settings.from_environment(both)


@pytest.mark.parametrize(
    "text", ["0 3 * * *", "*/15 2-4 * * mon-fri", "@daily", "0 3 l * *", "0 3 29 2 *", "0\t3 * * *"]
)
def test_a_cron_expression_that_is_taken_is_one_that_dagster_takes(text: str) -> None:
    assert Settings.from_environment({"ANOMALY_REFRESH_CRON": text}).refresh_cron == text
    assert is_valid_cron_schedule(text)


def test_the_address_of_the_gallery_is_one_of_a_web_server() -> None:
    assert Settings.from_environment({}).gallery_url is None
    found = Settings.from_environment(
        {"ANOMALY_GALLERY_URL": " https://data.example:8443/gallery/ "}
    )
    assert found.gallery_url == "https://data.example:8443/gallery/"


@pytest.mark.parametrize(
    "text",
    ["data/gallery", "file:///srv/gallery", "javascript:alert(1)", "https://me:secret@host/"],
)
def test_another_address_of_the_gallery_is_refused(text: str) -> None:
    with pytest.raises(SettingsError, match="ANOMALY_GALLERY_URL") as raised:
        Settings.from_environment({"ANOMALY_GALLERY_URL": text})
    assert "secret" not in str(raised.value)
