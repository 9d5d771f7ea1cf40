"""Read the settings of one run; no other module reads environment variables for settings."""

from __future__ import annotations

import difflib
import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from anomaly_assets.arguments import whole_number
from anomaly_assets.datasets import DECLARATIONS, SOURCE_DATASETS, SourceDataset
from anomaly_assets.datasets.names import shown
from anomaly_assets.errors import AnomalyAssetsError
from anomaly_assets.locations import LAKE_PREFIX, MOTHERDUCK_PREFIXES, is_file, shown_scheme
from anomaly_assets.recipes import MOST_TENSOR_BYTES, PILLOW, SIMD, Recipe, parse_recipes

VARIABLES = (
    "ANOMALY_DATASETS",
    "ANOMALY_CORRECTIONS",
    "ANOMALY_WAREHOUSE",
    "ANOMALY_LAKE_DATA",
    "ANOMALY_DATABASE",
    "ANOMALY_KEEP_SNAPSHOTS",
    "ANOMALY_SPLITS",
    "ANOMALY_GALLERY_URL",
    "ANOMALY_IMAGE_SIZE",
    "ANOMALY_CHANNELS",
    "ANOMALY_SIZES",
    "ANOMALY_RESIZE",
    "ANOMALY_COMPUTE",
    "ANOMALY_WORKERS",
    "ANOMALY_TASK_TIMEOUT_SECONDS",
    "ANOMALY_REFRESH_CRON",
    "ANOMALY_EVALUATE_CRON",
    "ANOMALY_EVALUATE_ASSIGNMENT",
    "ANOMALY_SENSOR_SECONDS",
    "ANOMALY_LOCK_WAIT_SECONDS",
    "ANOMALY_NOTIFY",
    "ANOMALY_BACKBONE",
    "ANOMALY_STORE_TIMEOUT_SECONDS",
)
"""Variables that do not belong to one source dataset; `unknown_variables` accepts no other `ANOMALY_…`."""

EVALUATE_CRON = "0 5 * * 0"
"""Default time of the scheduled evaluation: Sunday, two hours after the refresh, in UTC."""

_MOST_PORT = 65535
_OURS = "ANOMALY_"
_OURS_IN_TESTS = f"{_OURS}TEST_"
_SIMILAR = 0.85
"""Least similarity of a misspelled variable: MVTEC_ROOT has 0.87, DAGSTER_ROOT has 0.62."""
_ALMOST_EQUAL = 0.9
"""Least similarity of a variable with another ending: MVTEC_ADROOT has 0.96, MVTEC_AD_HOME has 0.77."""
_ENDINGS = ("ROOT", "LINKS", "DEPTH")
"""Ends of the names of variables that each source dataset has."""
_KEPT_SNAPSHOT = re.compile(r"\.[0-9a-f]{12}(\.[^./]*)?$")
"""Name pattern of an older snapshot beside a published database; see `snapshots.kept_path`."""


class SettingsError(AnomalyAssetsError, ValueError):
    """An environment variable has an invalid value; the message names both."""


@dataclass(frozen=True)
class Settings:
    """Values of the environment variables, with defaults for the sample data.

    Attributes:
        roots: Root by source dataset (folder, zip or URL); None if it is not refreshed.
        empty_roots: Source datasets whose variable is set to the empty string, and not merely unset.
        followed_links: Source datasets whose root may contain symbolic links that leave it.
        depths: Bits that the 16-bit files of a source dataset use, if set (`<NAME>_DEPTH`).
        sample_roots: Whether no variable names a root, so that the repository's samples are used.
        warehouse: Location of the working database, written by the asset graph: a path,
            `ducklake:postgres:…` or `md:NAME`.
        lake_data: Folder or s3:// prefix for the files of a new lake; None for an existing lake.
        database: Published database, which people open read-only; a lake and MotherDuck publish
            where they are.
        keep_snapshots: Number of older published databases that stay beside it.
        recipe: Common recipe of a new warehouse.
        named_size: Height and width of the common recipe, if set in the environment.
        named_channels: Number of channels of the common recipe, if set in the environment.
        sizes: Further recipes of every source dataset, if set in the environment.
        sizes_as_declared: True if the environment asks for the further recipes of the declarations, instead
            of those that the warehouse recorded.
        resize: `simd` or `pillow`, if set in the environment.
        corrections: CSV file with corrections, or folder of such files; None to keep the loaded ones.
        compute: Executor of decoding: `threads`, or `dask://HOST:PORT` of a Dask scheduler.
        workers: Number of decoding threads.
        task_timeout_seconds: Timeout of one decoding task of a cluster.
        refresh_cron: Cron expression of the scheduled refresh.
        sensor_seconds: Minimum interval between two checks of a sensor.
        lock_wait_seconds: Maximum time that a run waits for another one.
        notify: Addresses that get a notice of failed runs and checks.
        splits: Folder with the files of split assignments; it may be missing.
        evaluate_cron: Cron expression of the scheduled evaluation.
        evaluate_assignment: Split assignment that the evaluation uses for images without a split; None for
            the only one.
        backbone: Network of the baseline detector: `packaged`, `timm:NAME`, or the path of a file.
        gallery_url: Address at which a web server offers the gallery; None if none does.
    """

    roots: Mapping[str, str | None]
    warehouse: str = field(repr=False)  # a password may be in it
    database: Path
    keep_snapshots: int
    recipe: Recipe
    compute: str
    workers: int
    task_timeout_seconds: float
    refresh_cron: str
    sensor_seconds: int
    lock_wait_seconds: float
    lake_data: str | None = None
    empty_roots: frozenset[str] = frozenset()
    followed_links: frozenset[str] = frozenset()
    depths: Mapping[str, int] = field(default_factory=dict)
    sample_roots: bool = False
    named_size: tuple[int, int] | None = None
    named_channels: int | None = None
    sizes: tuple[Recipe, ...] | None = None
    sizes_as_declared: bool = False
    resize: str | None = None
    corrections: Path | None = None
    notify: tuple[str, ...] = field(default=(), repr=False)  # passwords and tokens are in them
    splits: Path = Path("splits")
    evaluate_cron: str = EVALUATE_CRON
    evaluate_assignment: str | None = None
    backbone: str = "packaged"
    gallery_url: str | None = None

    def recipe_over(self, recorded: Recipe) -> Recipe:
        """Return the recorded common recipe of a warehouse, overridden by the environment's values."""
        height, width = self.named_size or (recorded.height, recorded.width)
        channels = self.named_channels or recorded.channels
        return Recipe(height, width, channels, self.resize or recorded.resize)

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] | None = None) -> Settings:
        """Read the settings.

        Args:
            environment: Variables to read instead of those of the process.

        Raises:
            SettingsError: A value cannot be used.
        """
        values = os.environ if environment is None else environment
        datasets = SOURCE_DATASETS.values()
        # An empty variable also counts as set, because it means that no samples are wanted.
        sample_roots = not DECLARATIONS.files and not any(
            dataset.root_variable in values for dataset in datasets
        )
        roots = {
            dataset.name: dataset.default_root if sample_roots else root_of(dataset, values)
            for dataset in datasets
        }
        size = values.get("ANOMALY_IMAGE_SIZE")
        height, width = _image_size(size or "256")
        channels = values.get("ANOMALY_CHANNELS") or "3"
        sizes, sizes_as_declared = _sizes(values)
        if channels not in ("1", "3"):
            raise SettingsError(f"ANOMALY_CHANNELS={channels!r}: use 3 (RGB) or 1 (grey).")
        if height * width * int(channels) > MOST_TENSOR_BYTES:
            raise SettingsError(
                f"ANOMALY_IMAGE_SIZE={height}x{width} with {channels} channels: a tensor may have at most "
                f"{MOST_TENSOR_BYTES:,} values, as 1024x1024 has with 3 channels, so that a run fits into "
                "memory. Use a smaller size."
            )
        common = Recipe(height, width, int(channels))
        if sizes:
            _refuse_two_common(sizes[0], values, common)
            common = sizes[0]
        warehouse = _warehouse(values.get("ANOMALY_WAREHOUSE") or "data/warehouse.duckdb")
        database = _database(values, "ANOMALY_DATABASE", "data/anomaly.duckdb")
        if is_file(warehouse) and os.path.realpath(warehouse) == os.path.realpath(database):
            raise SettingsError(
                f"ANOMALY_WAREHOUSE and ANOMALY_DATABASE are both {database}: name two files, because "
                "people read one while the other is written."
            )
        return cls(
            roots=roots,
            empty_roots=frozenset(
                dataset.name
                for dataset in datasets
                if not values.get(dataset.root_variable, "unset").strip()
            ),
            followed_links=frozenset(
                dataset.name for dataset in datasets if follows_links(dataset, values)
            ),
            sample_roots=sample_roots,
            warehouse=warehouse,
            database=database,
            keep_snapshots=_whole_number(values, "ANOMALY_KEEP_SNAPSHOTS", 1, least=0),
            recipe=common,
            compute=_compute(values.get("ANOMALY_COMPUTE") or "threads"),
            workers=_whole_number(values, "ANOMALY_WORKERS", os.cpu_count() or 1),
            task_timeout_seconds=float(_whole_number(values, "ANOMALY_TASK_TIMEOUT_SECONDS", 600)),
            refresh_cron=_cron(values, "ANOMALY_REFRESH_CRON", "0 3 * * *"),
            sensor_seconds=_whole_number(values, "ANOMALY_SENSOR_SECONDS", 60),
            lock_wait_seconds=float(_whole_number(values, "ANOMALY_LOCK_WAIT_SECONDS", 3600)),
            depths={
                dataset.name: depth
                for dataset in datasets
                if (depth := depth_of(dataset, values)) is not None
            },
            lake_data=_lake_data(values.get("ANOMALY_LAKE_DATA") or None),
            named_size=(common.height, common.width) if size or sizes else None,
            named_channels=common.channels if values.get("ANOMALY_CHANNELS") or sizes else None,
            sizes=sizes[1:] if sizes else None,
            sizes_as_declared=sizes_as_declared,
            resize=_resize(values.get("ANOMALY_RESIZE") or None),
            corrections=_corrections(values.get("ANOMALY_CORRECTIONS", "").strip()),
            notify=notify_addresses(values),
            splits=Path(values.get("ANOMALY_SPLITS") or "splits"),
            evaluate_cron=_cron(values, "ANOMALY_EVALUATE_CRON", EVALUATE_CRON),
            evaluate_assignment=values.get("ANOMALY_EVALUATE_ASSIGNMENT") or None,
            backbone=values.get("ANOMALY_BACKBONE", "").strip() or "packaged",
            gallery_url=_gallery_url(values.get("ANOMALY_GALLERY_URL", "").strip()),
        )


def unknown_variables(environment: Mapping[str, str] | None = None) -> list[str]:
    """Return a sentence for each variable that looks like a misspelled setting.

    These are variables that begin with ANOMALY_, and variables of roots, links and depths that resemble one
    of this project which is not set. The sentences have no values, because these may contain passwords.
    """
    values = os.environ if environment is None else environment
    of_dataset = [
        (dataset, (dataset.root_variable, dataset.links_variable, dataset.depth_variable))
        for dataset in SOURCE_DATASETS.values()
    ]
    of_datasets = {name for _, names in of_dataset for name in names}
    examples = {
        name
        for dataset, names in of_dataset
        if dataset.default_root is not None or not dataset.declaration.is_built_in
        for name in names
    }
    # A declaration with an error has variables too, which are used once it is corrected.
    broken = {f"{name.upper()}_{ending}" for name in DECLARATIONS.broken for ending in _ENDINGS}
    known = of_datasets.union(VARIABLES, broken)
    sentences = []
    for name in sorted(set(values) - known):
        upper = name.upper()
        if upper.startswith(_OURS) and not upper.startswith(_OURS_IN_TESTS):
            rest = {each.removeprefix(_OURS): each for each in sorted(known)}
            near = difflib.get_close_matches(upper.removeprefix(_OURS), rest, n=1)
            meant = f" Did you mean {rest[near[0]]}?" if near else " docs/settings.md lists all."
            if ending := _ending_meant(upper.removeprefix(_OURS)):  # each dataset has one
                meant = f" Did you mean {' or '.join(_of_ending(ending, sorted(examples)))}?"
        else:
            near = _resembled(upper, sorted(of_datasets))
            if not near or near[0] in values:
                continue
            meant = f" Did you mean {near[0]}?"
        sentences.append(
            f"The variable {shown(name)} is set, but it is not a setting: it is ignored.{meant}"
        )
    return sentences


def _resembled(name: str, known: Iterable[str]) -> list[str]:
    """Return the variable of a source dataset that a name is similar to, or shortens, as DAGM_ROOT does."""
    known = list(known)
    if name in known:
        return [name]
    stem, _, ending = name.rpartition("_")
    of_this_kind = _of_ending(_ending_meant(ending), known)
    shortened = sorted(
        (each for each in of_this_kind if stem and each.startswith(f"{stem}_")), key=len
    )[:1]
    return (
        shortened
        or difflib.get_close_matches(name, of_this_kind, n=1, cutoff=_SIMILAR)
        or difflib.get_close_matches(name, known, n=1, cutoff=_ALMOST_EQUAL)
    )


def _ending_meant(word: str) -> str | None:
    """Return the ending of variables of source datasets that a word is, or nearly is, such as DEPTHS."""
    return next(iter(difflib.get_close_matches(word, _ENDINGS, n=1, cutoff=_SIMILAR)), None)


def _of_ending(ending: str | None, names: Iterable[str]) -> list[str]:
    return [each for each in names if each.endswith(f"_{ending}")]


def root_of(dataset: SourceDataset, environment: Mapping[str, str] | None = None) -> str | None:
    """Return the root that the variable of a source dataset names, else that of its declaration."""
    values = os.environ if environment is None else environment
    if dataset.root_variable in values:
        return values[dataset.root_variable].strip() or None
    return dataset.declaration.root


def follows_links(dataset: SourceDataset, environment: Mapping[str, str] | None = None) -> bool:
    """Return whether symbolic links may leave the root: by the variable, else by the declaration.

    Raises:
        SettingsError: The value cannot be used.
    """
    values = os.environ if environment is None else environment
    name = dataset.links_variable
    text = values.get(name, "").strip() or dataset.declaration.links
    if text not in ("inside", "follow"):
        raise SettingsError(
            f"{name}={text!r}: use follow, to read symbolic links that leave the root, or inside."
        )
    return text == "follow"


def depth_of(dataset: SourceDataset, environment: Mapping[str, str] | None = None) -> int | None:
    """Return the bits that the 16-bit files of a source dataset use: by the variable, else as declared.

    Raises:
        SettingsError: The value cannot be used.
    """
    values = os.environ if environment is None else environment
    name = dataset.depth_variable
    text = values.get(name, "").strip()
    if text == "":
        return dataset.declaration.depth
    if text == "file":
        return None
    if not (text.isascii() and text.isdecimal() and len(text) <= 2 and 9 <= int(text) <= 16):
        raise SettingsError(
            f"{name}={text!r}: use the bits of the camera, 9 to 16, or file to take what each file states."
        )
    return int(text)


def _warehouse(text: str) -> str:
    if not is_file(text) and not text.startswith((LAKE_PREFIX, *MOTHERDUCK_PREFIXES)):
        raise SettingsError(
            f"ANOMALY_WAREHOUSE={shown_scheme(text)}: use the path of a DuckDB file, ducklake:postgres:…, "
            "or md:NAME."
        )
    if is_file(text):
        _refuse_what_is_no_file("ANOMALY_WAREHOUSE", text)
    return text


def _refuse_what_is_no_file(name: str, text: str) -> None:
    if os.path.isdir(text):
        raise SettingsError(f"{name}={text!r} is a folder: use the path of a DuckDB file in it.")
    if os.path.exists(text) and not os.path.isfile(text):  # opening a pipe would block forever
        raise SettingsError(f"{name}={text!r} is not a file: use the path of a DuckDB file.")


def _database(values: Mapping[str, str], name: str, default: str) -> Path:
    text = values.get(name) or default
    if not is_file(text):
        raise SettingsError(
            f"{name}: use the path of a DuckDB file. A lake and MotherDuck publish in place: "
            "they belong in ANOMALY_WAREHOUSE."
        )
    _refuse_what_is_no_file(name, text)
    if text.endswith((".lock", ".holder", ".wal")) or _KEPT_SNAPSHOT.search(text):
        raise SettingsError(
            f"{name}={text!r}: files of this name are beside a database and belong to it (its lock, its "
            "log, an older snapshot). Use another name; copy an older snapshot to keep it."
        )
    return Path(text)


def _lake_data(text: str | None) -> str | None:
    """Return the folder of a new lake's files; a misspelled URL would become a folder of that name."""
    address = text is not None and re.fullmatch(r"[a-z0-9]+://[^/@]+(/.*)?", text)
    if text is not None and not is_file(text) and not address:
        raise SettingsError(
            f"ANOMALY_LAKE_DATA={shown_scheme(text)}: use a folder, or s3://bucket/prefix. Keys belong "
            "into the environment, as AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY."
        )
    return text


def _compute(text: str) -> str:
    dask = re.fullmatch(r"dask://[^\s/@]+:([0-9]{1,5})", text)
    if text != "threads" and not (dask and 1 <= int(dask[1]) <= _MOST_PORT):
        value = shown_scheme(text) if "@" in text else repr(text)  # a password may be before the @
        raise SettingsError(
            f"ANOMALY_COMPUTE={value}: use threads, or dask://HOST:PORT with a port from 1 to "
            f"{_MOST_PORT}."
        )
    return text


def _cron(values: Mapping[str, str], name: str, default: str) -> str:
    from croniter import croniter

    text = values.get(name) or default
    try:
        fields = croniter.expand(text)[0]
        croniter(text).get_next()  # raises for a date that never comes, such as 30 February
    except ValueError:
        fields = []
    if len(fields) != 5:
        raise SettingsError(
            f"{name}={text!r}: use a cron expression of five fields (minute, hour, day of "
            "the month, month, day of the week; UTC) for a time that comes, such as 0 3 * * *, or @daily."
        )
    return text


def _whole_number(values: Mapping[str, str], name: str, default: int, least: int = 1) -> int:
    try:
        return whole_number(values.get(name) or str(default), least)
    except ValueError as error:
        raise SettingsError(f"{name}={error}") from None


def depth_variable(source_dataset: str) -> str:
    """Return the variable that sets how many bits the 16-bit files of a source dataset use."""
    return f"{source_dataset.upper()}_DEPTH"


def _image_size(text: str) -> tuple[int, int]:
    sides = text.lower().split("x")
    if len(sides) > 2 or not all(map(_is_side, sides)):
        raise SettingsError(
            f"ANOMALY_IMAGE_SIZE={text!r}: use one side in pixels, such as 256, or HEIGHTxWIDTH, "
            "such as 256x320; at most 4096."
        )
    return int(sides[0]), int(sides[-1])


def _sizes(values: Mapping[str, str]) -> tuple[tuple[Recipe, ...], bool]:
    """Return the recipes of ANOMALY_SIZES, the common one first, and whether it asks for declared ones."""
    text = values.get("ANOMALY_SIZES", "").strip()
    if not text or text == "declared":
        return (), text == "declared"
    try:
        recipes = parse_recipes(text.split(","))
    except ValueError as error:
        raise SettingsError(f"ANOMALY_SIZES: {error}") from None
    if not recipes[0].is_common:
        raise SettingsError(
            f"ANOMALY_SIZES={text!r}: the first recipe is the common one of all datasets, which has one "
            "size and 1 or 3 channels: begin with 256, for example."
        )
    return recipes, False


def _refuse_two_common(first: Recipe, values: Mapping[str, str], named: Recipe) -> None:
    """Refuse ANOMALY_IMAGE_SIZE and ANOMALY_CHANNELS that differ from the first recipe of ANOMALY_SIZES."""
    for name, ours, theirs in (
        ("ANOMALY_IMAGE_SIZE", (first.height, first.width), (named.height, named.width)),
        ("ANOMALY_CHANNELS", first.channels, named.channels),
    ):
        if values.get(name) and ours != theirs:
            raise SettingsError(
                f"{name}={values[name]!r} and ANOMALY_SIZES, which begins with {first.name}, name two "
                f"common recipes: unset {name}."
            )


def _resize(text: str | None) -> str | None:
    if text not in (None, PILLOW, SIMD):
        raise SettingsError(f"ANOMALY_RESIZE={text!r}: use {SIMD} or {PILLOW}.")
    return text


def _corrections(text: str) -> Path | None:
    if not is_file(text or "corrections.csv"):
        raise SettingsError(
            f"ANOMALY_CORRECTIONS={shown_scheme(text)}: use a CSV file, or a folder with CSV files."
        )
    return Path(text) if text else None


def _gallery_url(text: str) -> str | None:
    # No other scheme, because the UI of Dagster shows it as a link.
    if text and not re.fullmatch(r"https?://[^\s/@]+(/\S*)?", text):
        raise SettingsError(
            f"ANOMALY_GALLERY_URL={shown_scheme(text)}: use the address at which a web server offers the "
            "folder of the gallery, such as https://data.example/gallery/."
        )
    return text or None


def _is_side(text: str) -> bool:
    return text.isascii() and text.isdecimal() and len(text) <= 4 and 1 <= int(text) <= 4096


def published_database(environment: Mapping[str, str] | None = None) -> str:
    """Return where a run publishes, which is also the default of readers.

    A lake and MotherDuck publish in place, and ignore ANOMALY_DATABASE. After a move to one of
    them it may still name the old file, which is no longer updated.
    """
    values = os.environ if environment is None else environment
    warehouse = values.get("ANOMALY_WAREHOUSE") or ""
    if not warehouse or is_file(warehouse):
        return values.get("ANOMALY_DATABASE") or "data/anomaly.duckdb"
    return warehouse if warehouse.startswith(LAKE_PREFIX) else f"{warehouse}_published"


def store_timeout_seconds(environment: Mapping[str, str] | None = None) -> float:
    """Return the timeout of one request to an object store or web server, in seconds.

    Raises:
        SettingsError: The value cannot be used.
    """
    values = os.environ if environment is None else environment
    return float(_whole_number(values, "ANOMALY_STORE_TIMEOUT_SECONDS", 20))


def notify_addresses(environment: Mapping[str, str] | None = None) -> tuple[str, ...]:
    """Return the addresses that get a notice of failed runs and checks; none by default.

    Raises:
        SettingsError: One is not an address; the message has its number and not its text.
    """
    values = os.environ if environment is None else environment
    addresses = tuple(filter(None, re.split(r"[|\s]+", values.get("ANOMALY_NOTIFY", ""))))
    for number, address in enumerate(addresses, 1):
        if not re.match(r"[A-Za-z][A-Za-z0-9+.-]*://\S", address):
            raise SettingsError(
                f"ANOMALY_NOTIFY: address {number} of {len(addresses)} does not begin like mailto:// or "
                "slack://. Separate addresses by | and write | and spaces in a password as %7C and %20."
            )
    return addresses


def motherduck_token(environment: Mapping[str, str] | None = None) -> str | None:
    """Return the token of MotherDuck; None if there is none."""
    values = os.environ if environment is None else environment
    return values.get("motherduck_token") or values.get("MOTHERDUCK_TOKEN") or None
