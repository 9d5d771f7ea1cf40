"""Refuse listings that would lose, mix or duplicate data, before anything is changed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from anomaly_assets.catalogue.comparison import LoadedTables, in_categories, scope_of
from anomaly_assets.catalogue.layouts import among_others
from anomaly_assets.catalogue.listing import DECLARED_BUT_MISSING, Catalog
from anomaly_assets.datasets import SourceDataset
from anomaly_assets.datasets.names import normalized, normalized_forms_of, shown
from anomaly_assets.errors import AnomalyAssetsError, rerun_with
from anomaly_assets.roots.open import same_place
from anomaly_assets.tables.source_datasets import StoredDataset, is_loss, stored_datasets

NOT_NEEDED = "not_needed"
"""Reason of files that the key `strays` names, if it gives no other one."""

MOST_NAMED = 20
"""Maximum number of categories below a root that a message names."""


class ShrunkRootError(AnomalyAssetsError, RuntimeError):
    """The root lists far fewer images than were accepted before; nothing was changed."""


class UnrecognisedRootError(AnomalyAssetsError, RuntimeError):
    """The files of a root have another layout than its dataset; nothing was changed."""


class RootTakenError(AnomalyAssetsError, RuntimeError):
    """Images of the root are loaded as another source dataset; nothing was changed."""


class UnknownCategoryError(AnomalyAssetsError, ValueError):
    """A requested category is neither below the root nor in the table."""


@dataclass(frozen=True)
class Size:
    """Numbers of images for the check against losses.

    Attributes:
        listed: Listed now, in the reloaded categories.
        loaded: Loaded so far, in the same categories.
        after: In all categories, if the listing is accepted.
        before: In all categories, as loaded so far.
        mark: Largest number accepted since the last consent; 0 if only samples are loaded.
    """

    listed: int
    loaded: int
    after: int
    before: int
    mark: int

    @classmethod
    def of(
        cls,
        images: pa.Table,
        loaded: Mapping[str, int],
        categories: Sequence[str],
        stored: StoredDataset | None,
    ) -> Size:
        """Count the listed and the loaded images of these categories, or of all."""
        listed = in_categories(images, categories).num_rows
        replaced = sum(loaded[name] for name in loaded if not categories or name in categories)
        before = sum(loaded.values())
        after = before - replaced + listed
        if stored is not None and stored.from_samples:
            return cls(listed, 0, after, 0, 0)
        return cls(
            listed, replaced, after, before, max(before, stored.most_images if stored else 0)
        )

    @property
    def is_loss(self) -> bool:
        """Return True if so few images are left that a consent is needed."""
        return is_loss(self.loaded, self.listed) or is_loss(self.mark, self.after)


def refuse_taken_images(
    loaded: LoadedTables, dataset: SourceDataset, root_uri: str, images: pa.Table
) -> None:
    """Refuse images that are loaded as another source dataset, which probably had another name.

    Two datasets can be in one root, if each has images of its own.
    """
    for name, other in stored_datasets(loaded.connection).items():
        if name == dataset.name or other.from_samples or other.root_uri is None:
            continue
        is_alias = same_place(other.root_uri, root_uri)
        roots = f"{root_uri}/", f"{other.root_uri}/"
        if not (is_alias or roots[0].startswith(roots[1]) or roots[1].startswith(roots[0])):
            continue
        theirs = other.root_uri if is_alias else root_uri
        taken = LoadedTables(loaded.connection, name).query(
            _LOADED_AS_ANOTHER, images.select(["source_uri"]), root=root_uri, theirs=theirs
        )
        if taken and (count := taken[0][0]):
            raise RootTakenError(
                f"{count} images below {root_uri} are loaded as {name} already, and {dataset.name} would "
                f"add them again. If {dataset.name} replaces {name}, take the root of {name} out of the "
                f"declarations and variables, run `anomaly-assets forget {name}`, and run again. Nothing "
                "was changed."
            )


def refuse_other_dataset(dataset: SourceDataset, root_uri: str, catalog: Catalog) -> None:
    """Refuse a root that has the layout of another source dataset."""
    if catalog.other is None:
        return
    other = catalog.other
    raise UnrecognisedRootError(
        f"{root_uri} contains no {dataset.title} images. It looks like {other.title}. The layout of "
        f"{other.title} finds masks or labels of its images, that of {dataset.title} finds none. Set "
        f"{other.root_variable} to this root, and correct {dataset.root_variable}. Nothing was changed."
    )


def refuse_unknown_categories(
    dataset: SourceDataset, images: pa.Table, loaded: Mapping[str, int], categories: Sequence[str]
) -> None:
    """Refuse categories that are neither listed nor loaded."""
    listed = set(images["category"].unique().to_pylist())
    known = listed | set().union(*map(normalized_forms_of, loaded))
    unknown = sorted(
        name for name in categories if name not in loaded and normalized(name) not in known
    )
    if unknown:
        asked = ", ".join(f"'{shown(name)}'" for name in unknown)
        named = ", ".join(map(shown, sorted(listed)[:MOST_NAMED])) or "none"
        more = f" and {len(listed) - MOST_NAMED} more" if len(listed) > MOST_NAMED else ""
        raise UnknownCategoryError(
            f"{dataset.title} has no category {asked}. Below the root: {named}{more}."
        )


def refuse_mixed_rows(
    loaded: LoadedTables,
    dataset: SourceDataset,
    root_uri: str,
    categories: Sequence[str],
    stored: StoredDataset | None,
    *,
    from_samples: bool,
) -> None:
    """Refuse to load some categories if others are samples, of another declaration or another root.

    The recorded root does not suffice: it is recorded before the rows, and a kill may come between.
    """
    if not categories:
        return
    if stored and stored.from_samples and not from_samples:
        raise UnknownCategoryError(
            f"Only the samples of the repository are loaded for {dataset.title}. Loading some categories "
            "would mix them with real data. Load all categories first (leave `categories` empty)."
        )
    if stored and stored.declaration not in (None, dataset.declaration.canonical_json):
        raise UnknownCategoryError(
            f"The declaration of {dataset.title} has changed since its last load: load all categories "
            "once (leave `categories` empty), because rows of two declarations do not fit together."
        )
    if stored and stored.root_uri not in (None, root_uri):
        raise UnknownCategoryError(
            f"{dataset.title} is loaded from {stored.root_uri}, but {dataset.root_variable} names "
            f"{root_uri}: load all categories from the new root once, because the tables record one "
            "root per source dataset."
        )
    others = _OF_ANOTHER_ROOT.format(scope_of("images", categories))
    for (found,) in loaded.query(others, root=root_uri):
        raise UnknownCategoryError(
            f"{dataset.title}: other categories are loaded from another root ({shown(found)}), but "
            f"{dataset.root_variable} names {root_uri}: load all categories from the new root once, "
            "because the tables record one root per source dataset."
        )


def refuse_shrinking(dataset: SourceDataset, root_uri: str, catalog: Catalog, size: Size) -> None:
    """Refuse a listing with far fewer images than were accepted before, or without any."""
    if not size.is_loss and not catalog.empty_because:
        return
    why = f"{catalog.empty_because} " if catalog.empty_because else ""
    accepted = f" ({size.mark} were accepted before)" if size.mark > size.before else ""
    remedy = f" If you removed them on purpose, {rerun_with(dataset.name, 'allow_shrink')}"
    offer = size.mark and catalog.images.num_rows  # without them, the root is probably wrong
    raise ShrunkRootError(
        f"{why}{root_uri} lists {size.listed} images of {dataset.title}, {size.loaded} are loaded"
        f"{accepted}; nothing was changed.{remedy if offer else ''}"
    )


def refuse_mostly_strays(dataset: SourceDataset, root_uri: str, catalog: Catalog) -> None:
    """Refuse a root in which more than half of the files belong to no image.

    Raises:
        UnrecognisedRootError: More than half of its files belong to no image.
    """
    reasons = Counter(
        {
            each["values"]: each["counts"]
            for each in pc.value_counts(catalog.stray_files["reason"]).to_pylist()
        }
    )
    del reasons[DECLARED_BUT_MISSING]  # these are not files
    del reasons[NOT_NEEDED]  # the declaration names them
    images = catalog.images.num_rows
    masks = images - catalog.images["mask_relative_path"].null_count
    strays, used = reasons.total(), images + masks
    if strays <= used:
        return
    counted = ", ".join(f"{count} {reason}" for reason, count in reasons.most_common(5))
    first = catalog.stray_files["relative_path"][0].as_py()
    links = reasons["link_out_of_the_root"] or reasons["linked_folder"]
    hint = f" Symbolic links are read with {dataset.links_variable}=follow." if links else ""
    if fit := among_others(dataset, catalog.stray_files["relative_path"].to_pylist):
        hint += (
            f" {len(fit.images)} of them are images of {fit.dataset.title}: give each dataset a folder of "
            f"its own, and set {dataset.root_variable} and {fit.dataset.root_variable} to these."
        )
    raise UnrecognisedRootError(
        f"{root_uri}: {strays} of {strays + used} files belong to no image of {dataset.title} ({counted}), "
        f"such as '{shown(first)}'. The root may have another layout; nothing was changed.{hint} "
        f"To load only the images that were found ({images}), {rerun_with(dataset.name, 'allow_strays')}"
    )


_LOADED_AS_ANOTHER = """
SELECT count(*)
FROM (SELECT $theirs || substr(source_uri, length($root) + 1) AS source_uri FROM listed)
SEMI JOIN query_table($table) USING (source_uri)
"""

_OF_ANOTHER_ROOT = """
SELECT source_uri FROM query_table($table)
WHERE NOT starts_with(source_uri, $root || '/') AND NOT ({})
ORDER BY ALL LIMIT 1
"""
