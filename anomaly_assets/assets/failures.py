"""Describe why a run failed, and which checks failed, without stack traces."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

import dagster as dg
from dagster_shared.error import SerializableErrorInfo

FAILED_CHECK = "Failed check"
"""First words of the warnings that name failed checks; the command shows these checks from their events."""

MOST_NAMED = 5
"""Limit for checks that the last line of a run names."""

CHECK_FAILED = "DagsterAssetCheckFailedError"
"""Dagster's error for a step with a failed blocking check; it names the checks without their sentences."""

MOST_FILES = 5
"""Maximum number of affected files that are named for one failed check; the UI shows up to twenty."""

_OURS = re.compile(r"anomaly_assets\.[\w.]+: ")
_ANY = re.compile(r"[\w.]+: ")


def cause_of(error: SerializableErrorInfo, hint: str = "") -> str:
    """Return why something failed, without a stack trace.

    Dagster wraps what a step or resource raised in errors of its own; these are left out.

    Args:
        error: The error that an event of Dagster holds.
        hint: Page to read, for errors whose message does not explain what to do.

    Returns:
        The message alone for errors of this package, which explain what to do; with the class for others.
    """
    error = _raised(error)
    text = " ".join(line.strip() for line in error.message.splitlines() if line.strip())
    if ours := _OURS.match(text):
        return text[ours.end() :]
    known = _ANY.match(text)
    message = text[known.end() :] if known else text
    end = "." if hint and not message.endswith((".", "!", "?")) else ""
    return f"{error.cls_name}: {message}{end}{hint}"


def is_ours(error: SerializableErrorInfo) -> bool:
    """Return whether this package raised an error on purpose; its message explains what to do."""
    return bool(_OURS.match(_raised(error).message.lstrip()))


def is_failed_check(error: SerializableErrorInfo) -> bool:
    """Return whether a step failed because a blocking check did; the error has no sentence of its own."""
    return _raised(error).cls_name == CHECK_FAILED


def _raised(error: SerializableErrorInfo) -> SerializableErrorInfo:
    """Return the error that a step or resource raised, without Dagster's errors around it."""
    while (error.cls_name or "").startswith("Dagster") and error.cause is not None:
        error = error.cause
    return error


def is_interrupt(error: SerializableErrorInfo) -> bool:
    """Return whether a step ended because of Ctrl-C, SIGTERM or Terminate."""
    found: SerializableErrorInfo | None = error
    while found is not None:
        if found.cls_name in ("DagsterExecutionInterruptedError", "KeyboardInterrupt"):
            return True
        found = found.cause
    return False


@dataclass(frozen=True)
class FailedCheck:
    """Describe a check that failed.

    Attributes:
        asset: Asset that it checks.
        name: Name of the check.
        sentence: What is wrong and what to do.
        files: The first affected files, each with its detail, if any.
        count: Number of affected files.
        blocking: Whether nothing is published while it fails.
        picture: Path of the picture of the affected images, if there is one.
    """

    asset: str
    name: str
    sentence: str
    files: tuple[tuple[str, str], ...] = ()
    count: int = 0
    blocking: bool = False
    picture: str = ""

    def lines(self) -> list[str]:
        """Return the sentence, and the first affected files below it."""
        shown = [f"    {_with_detail(*each)}" for each in self.files[:MOST_FILES]]
        more = self.count - len(shown)
        if shown and more > 0:
            shown.append(f"    … and {more:,} more, listed in the UI")
        return [f"  {self.name} of {self.asset}: {self.sentence}", *shown]


def failed_check_line(failed: FailedCheck) -> str:
    """Return the log line of a failed check, with the first affected files."""
    named = "; ".join(_with_detail(*each) for each in failed.files[:MOST_FILES])
    first = f" First: {named}." if failed.count > MOST_FILES else f" Affected: {named}."
    return (
        f"{FAILED_CHECK} {failed.name} of {failed.asset}: {failed.sentence}{first if named else ''}"
    )


def failed_checks_line(failed: Sequence[FailedCheck]) -> str:
    """Return the last line of a run with failed checks: which, and where to look."""
    named = "; ".join(
        f"{each.name} of {each.asset} ({each.count:,})" for each in failed[:MOST_NAMED]
    )
    more = f"; and {len(failed) - MOST_NAMED} more" if len(failed) > MOST_NAMED else ""
    return (
        f"{FAILED_CHECK}s in this run: {len(failed)}. {named}{more}. The page of published_database "
        "lists the failed checks of all assets, and anomaly.quality has them in SQL."
    )


def _with_detail(name: str, detail: str) -> str:
    return f"{name} ({detail})" if detail else name


def failed_check(evaluation: dg.AssetCheckEvaluation) -> FailedCheck:
    """Return a failed check by its event."""
    metadata = evaluation.metadata
    table = metadata.get("affected")
    records = table.records if isinstance(table, dg.TableMetadataValue) else []
    return FailedCheck(
        evaluation.asset_key.to_user_string(),
        evaluation.check_name,
        evaluation.description or "",
        tuple((str(each.data["affected"]), str(each.data["detail"] or "")) for each in records),
        int(str(metadata["count"].value)) if "count" in metadata else 0,
        evaluation.severity == dg.AssetCheckSeverity.ERROR,
        str(metadata["pictures_file"].value) if "pictures_file" in metadata else "",
    )
