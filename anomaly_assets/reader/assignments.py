"""Select the samples of folds of a split assignment."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import duckdb

from anomaly_assets.datasets.names import shown
from anomaly_assets.tables.sql_text import sql_literal

FOLD = "fold"
"""Column that only samples of an assignment have."""

_FOLD = f"assigned.{FOLD}"
_TRAIN = "train"
_SAMPLES = "FROM samples\n"


@dataclass(frozen=True)
class Assignment:
    """Wanted assignment.

    Attributes:
        name: Its name.
        folds: Its wanted folds; empty for all.
    """

    name: str
    folds: Sequence[str] = ()

    @property
    def asked_for(self) -> str:
        """Return the filter as a part of a sentence."""
        named = f"assignment={self.name!r}"
        if len(self.folds) == 1:
            return f"{named} and fold={self.folds[0]!r}"
        return f"{named} and fold in {list(self.folds)}" if self.folds else named

    def chosen(self, existing: Mapping[str, Sequence[str]], location: str) -> Assignment:
        """Return this assignment with existing folds: `train` means all numbered folds, if there are some.

        Args:
            existing: Folds of each assignment of the database.
            location: The database.

        Raises:
            LookupError: There is no such assignment or fold; the message lists the existing ones.
        """
        if self.name not in existing:
            known = ", ".join(map(shown, existing))
            raise LookupError(
                f"assignment={self.name!r} does not exist. Existing values: {known}."
                if known
                else f"{location} has no split assignment. `anomaly-assets split --name {shown(self.name)} "
                "--val 0.2` makes one, and the next run publishes it."
            )
        folds: list[str] = []
        for fold in self.folds:
            numbered = [name for name in existing[self.name] if name.isdecimal()]
            if fold == _TRAIN and numbered:
                folds += numbered
            elif fold in existing[self.name]:
                folds.append(fold)
            else:
                raise LookupError(
                    f"fold={fold!r} does not exist in the assignment {shown(self.name)}. Existing values: "
                    f"{', '.join(map(shown, existing[self.name]))}."
                )
        return Assignment(self.name, folds)

    def applied(self, query: str) -> str:
        """Return a query over `samples` that reads only those of the folds, with the column `fold`."""
        folds = ", ".join(map(sql_literal, self.folds))
        wanted = f"AND fold IN ({folds})" if folds else ""
        samples = f"""FROM (
    SELECT samples.*, {_FOLD}
    FROM samples
    JOIN (
        SELECT image_id AS assigned_id, fold FROM splits
        WHERE assignment = {sql_literal(self.name)} {wanted}
    ) AS assigned ON assigned_id = samples.image_id
) AS samples
"""  # noqa: S608
        return query.replace(_SAMPLES, samples)


def has_folds(query: str) -> bool:
    """Return True if an assignment was applied to a query."""
    return _FOLD in query


def existing_assignments(cursor: duckdb.DuckDBPyConnection) -> dict[str, list[str]]:
    """Return the assignments of a published database, each with its folds."""
    try:
        found = cursor.execute(
            "SELECT assignment, list_sort(list(DISTINCT fold)) FROM splits GROUP BY ALL ORDER BY ALL"
        )
    except duckdb.CatalogException:  # published by a release without assignments
        return {}
    return dict(found.fetchall())
