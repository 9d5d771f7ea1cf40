"""Define the options of an assignment, and the shares of its folds."""

from __future__ import annotations

import math
import re
from dataclasses import asdict, dataclass, fields
from typing import Any

from anomaly_assets.tables.registry import TABLES

TRAIN, VAL, TEST = "train", "val", "test"

HELD_OUT = {"test": TEST, "validation": VAL}
"""Splits of the source that are a fold of every assignment, unless the assignment takes from them."""

TAKEN = ("train", "unassigned")
"""Splits of the source from which an assignment takes images by default."""

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_SPLITS = ("train", "test", "validation", "unassigned")
_MOST_FOLDS = 100
_ATTRIBUTES = "attributes."


class PlanError(ValueError):
    """An option of an assignment cannot be used; the message names it."""


@dataclass(frozen=True)
class Plan:
    """Options of an assignment.

    Attributes:
        seed: Seed of the hash that decides.
        val: Share of the images in the fold `val`, from 0 to 1.
        test: Share of the images in the fold `test`, from 0 to 1.
        folds: Number of equal folds, named `0`, `1` and so on, instead of `train`; 0 for one fold `train`.
        group: Column of `effective_images`, or attribute, whose equal values stay in one fold, if any.
        by: Columns of `effective_images`, or attributes: images of equal values are a stratum, in which
            every fold has its share.
        taken: Splits of the source whose images are assigned.

    Raises:
        PlanError: An option cannot be used.
    """

    seed: int = 0
    val: float = 0.0
    test: float = 0.0
    folds: int = 0
    group: str | None = None
    by: tuple[str, ...] = ()
    taken: tuple[str, ...] = TAKEN

    def __post_init__(self) -> None:
        """Refuse options that make no assignment."""
        for name, share in (("val", self.val), ("test", self.test)):
            if not (math.isfinite(share) and 0 <= share < 1):
                raise PlanError(f"--{name} {share}: use a share from 0 to below 1, such as 0.2.")
        if self.val + self.test >= 1:
            raise PlanError(f"--val {self.val} and --test {self.test} leave nothing for training.")
        if self.folds and not 2 <= self.folds <= _MOST_FOLDS:
            raise PlanError(f"--folds {self.folds}: use 2 to {_MOST_FOLDS} folds.")
        if not (self.val or self.test or self.folds):
            raise PlanError(
                "Give a share with --val or --test, such as --val 0.2, or a number of folds with --folds."
            )
        for name, option in self.columns.items():
            if not name or '"' in name:
                raise PlanError(f"{option} {name!r}: name a column or an attribute.")
        if not self.taken or not {*self.taken} <= {*_SPLITS}:
            raise PlanError(f"--from {','.join(self.taken)}: use some of {', '.join(_SPLITS)}.")

    @property
    def shares(self) -> dict[str, float]:
        """Return the share of each fold, held-out folds first; a fold without images is left out."""
        training = 1 - self.val - self.test
        names = [str(number) for number in range(self.folds)] or [TRAIN]
        held_out = {name: share for name, share in ((VAL, self.val), (TEST, self.test)) if share}
        return {**held_out, **dict.fromkeys(names, training / len(names))}

    @property
    def is_balanced(self) -> bool:
        """Return True if the sizes of the folds decide, and not the hash of each unit alone."""
        return bool(self.by or self.group)

    @property
    def columns(self) -> dict[str, str]:
        """Return the columns and attributes that the plan reads, each with the option that names it."""
        grouped = {self.group: "--group"} if self.group else {}
        return {**dict.fromkeys(self.by, "--by"), **grouped}

    @property
    def command_line(self) -> str:
        """Return the options as `anomaly-assets split` takes them, such as `--seed 0 --val 0.2`."""
        options = self.options()
        options["from"] = options.pop("taken", ())
        words = {
            name: ",".join(value) if isinstance(value, tuple) else str(value)
            for name, value in options.items()
        }
        return " ".join(f"--{name} {word}" for name, word in words.items() if word)

    def options(self) -> dict[str, Any]:
        """Return the options that differ from their default, in a form that can be stored as JSON."""
        default = asdict(Plan(val=0.5)) | {"val": 0.0}
        given = {name: value for name, value in asdict(self).items() if value != default[name]}
        return {"seed": self.seed, **given}

    @classmethod
    def of(cls, options: dict[str, Any]) -> Plan:
        """Return the plan with these options.

        Raises:
            PlanError: An option is unknown, or has a value that cannot be used.
        """
        if unknown := options.keys() - {field.name for field in fields(cls)}:
            raise PlanError(f"there is no option {', '.join(sorted(unknown))} in this release.")
        try:
            return cls(
                seed=int(options.get("seed", 0)),
                val=float(options.get("val", 0.0)),
                test=float(options.get("test", 0.0)),
                folds=int(options.get("folds", 0)),
                group=_plain(options["group"]) if options.get("group") else None,
                by=tuple(map(_plain, options.get("by", ()))),
                taken=tuple(options.get("taken", TAKEN)),
            )
        except PlanError:
            raise
        except (TypeError, ValueError) as error:
            raise PlanError(f"{options}: {error}") from None


def _plain(name: str) -> str:
    """Return `camera` for `attributes.camera`, as conditions name it, unless a column has this name too."""
    plain = name.removeprefix(_ATTRIBUTES)
    return name if plain in TABLES["effective_images"].column_names else plain


def refuse_bad_name(name: str) -> None:
    """Raise an error if an assignment cannot have this name, which is also that of its file.

    Raises:
        PlanError: The name has other characters, or is too long.
    """
    if not _NAME.fullmatch(name):
        raise PlanError(
            f"--name {name!r}: use letters, digits, dots, hyphens and underscores, at most 64, such as v1."
        )
