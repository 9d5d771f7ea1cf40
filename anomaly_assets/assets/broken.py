"""Define an asset that fails for each declaration with an error, so that the others load."""

import hashlib
import re
from collections.abc import Sequence

import dagster as dg

from anomaly_assets.assets.specs import OWNERS, code_reference
from anomaly_assets.datasets import Known
from anomaly_assets.datasets.declaration_table import Problem

GROUP = "declarations"


def broken_assets(declarations: Known | None) -> list[dg.AssetsDefinition]:
    """Return an asset for each table and each file with problems; running it fails with all of them."""
    if declarations is None:
        return []
    return [_asset(name, problems) for name, problems in declarations.broken.items()]


def _asset(name: str, problems: Sequence[Problem]) -> dg.AssetsDefinition:
    sentences = "\n".join(map(str, problems))
    key = dg.AssetKey([GROUP, _key(name)])

    @dg.multi_asset(
        specs=[
            dg.AssetSpec(
                key,
                description=f"This declaration cannot be used:\n\n{sentences}",
                metadata=code_reference(problems[0].file, problems[0].line or 1),
                group_name=GROUP,
                owners=OWNERS,
                kinds={"toml"},
            )
        ],
        name="__".join(key.path),
    )
    def broken() -> None:
        """Fail with what is wrong with the declaration."""
        raise dg.Failure(
            f"{sentences}\nCorrect the declaration; `anomaly-assets datasets list` reads it without a run.",
            allow_retries=False,
        )

    return broken


def _key(name: str) -> str:
    """Return a name for Dagster: letters, digits and underscores."""
    plain = re.sub(r"[^A-Za-z0-9]+", "_", name).strip("_")[-40:]
    if plain == name:
        return plain
    return f"{plain}_{hashlib.sha256(name.encode()).hexdigest()[:6]}"
