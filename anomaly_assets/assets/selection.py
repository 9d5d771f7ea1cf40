"""Refuse a selection or a run config that names an asset or a step which does not exist.

Dagster ignores run config for unknown steps of an asset graph, so that a misspelled `allow_shrink` or
`categories` would run without this option. Dagster's messages about a selection name Python objects.
"""

import difflib
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import dagster as dg
from dagster._core.definitions.assets.graph.asset_graph import AssetGraph

from anomaly_assets.datasets.names import shown
from anomaly_assets.errors import AnomalyAssetsError

_SECTIONS = ("ops", "resources", "execution", "loggers")
_PLAIN_NAME = re.compile(r'\s*(?:[0-9]*\+|\*)?(?:key:)?"?([\w/]+)"?(?:\+[0-9]*|\*)?\s*$')
_MOST_SUGGESTIONS = 4


class RunConfigError(AnomalyAssetsError, ValueError):
    """The selection or the run config cannot be used; the message has the reason."""


def selected_keys(select: str, graph: AssetGraph) -> set[dg.AssetKey]:
    """Return the assets of a selection that a run can materialize.

    Args:
        select: Assets in Dagster's selection syntax, separated by commas.
        graph: The asset graph.

    Raises:
        RunConfigError: A part of the selection cannot be parsed, or selects nothing that a run can write.
    """
    keys: set[dg.AssetKey] = set()
    for part in select.split(","):
        try:
            found = dg.AssetSelection.from_coercible([part]).resolve(graph)
        except dg.DagsterError:
            found, problem = set(), "this cannot be read as a selection."
        else:
            problem = "it selects no asset."
        writable = found & graph.materializable_asset_keys
        if not writable:
            raise RunConfigError(_useless(part.strip(), found, problem, graph))
        keys |= writable
    return keys


def _useless(part: str, found: Iterable[dg.AssetKey], problem: str, graph: AssetGraph) -> str:
    """Return why a part of a selection cannot be run, and what can be selected instead."""
    names = sorted(key.to_user_string() for key in graph.materializable_asset_keys)
    groups = sorted(
        {f"group:{graph.get(key).group_name}" for key in graph.materializable_asset_keys}
    )
    plain = _PLAIN_NAME.match(part)
    if read_only := sorted(key.to_user_string() for key in found):
        problem = f"a run reads {', '.join(read_only)} and never writes it."
    elif plain:
        problem = "no asset has this name."
    similar = _similar(plain[1] if plain else part, names, groups)
    choice = _did_you_mean(similar) or f" Choose from {', '.join([*names, *groups])}."
    return f"--select '{shown(part)}': {problem}{choice} Nothing ran."


def _similar(name: str, names: Sequence[str], groups: Sequence[str]) -> list[str]:
    """Return what was probably meant: assets in the same folder and their group, then similar names."""
    folder = name.partition("/")[0]
    inside = [each for each in names if each.startswith(f"{folder}/")]
    close = difflib.get_close_matches(name.rpartition(":")[2], [*names, *groups], cutoff=0.5)
    likely = [*inside, *(each for each in groups if each == f"group:{folder}")]
    return [*dict.fromkeys([*likely, *([] if likely else close)])][:_MOST_SUGGESTIONS]


def refuse_unknown_steps(run_config: Mapping[str, Any], graph: AssetGraph, steps: set[str]) -> None:
    """Raise `RunConfigError` if run config names a section or a step that does not exist.

    Args:
        run_config: Run config of the run.
        graph: The asset graph.
        steps: Names of all steps (Dagster's ops) of the graph.
    """
    for section in run_config:
        if section not in _SECTIONS:
            hint = (
                f" Config of a step belongs below ops: {_example(section)}."
                if section in steps
                else _did_you_mean(difflib.get_close_matches(section, _SECTIONS, n=1))
            )
            raise RunConfigError(
                f"Run config has no section '{shown(section)}'.{hint} Sections: {', '.join(_SECTIONS)}. "
                "Nothing ran."
            )
    ops = run_config.get("ops")
    for step in ops if isinstance(ops, Mapping) else ():
        if step not in steps:
            raise RunConfigError(_unknown_step(str(step), graph, steps))


def _unknown_step(step: str, graph: AssetGraph, steps: set[str]) -> str:
    step_of = {
        key.to_user_string(): definition.node_def.name
        for definition in graph.assets_defs
        if definition.is_executable
        for key in definition.keys
    }
    takes_config = sorted(
        definition.node_def.name
        for definition in graph.assets_defs
        if definition.is_executable and _has_options(definition)
    )
    if step in step_of:
        hint = f" The step of asset {shown(step)} is {step_of[step]}: {_example(step_of[step])}."
    else:
        near = difflib.get_close_matches(step, {*step_of.values()}, n=1) or [
            step_of[each] for each in difflib.get_close_matches(step, step_of, n=1)
        ]
        hint = _did_you_mean(near)
    return (
        f"Run config names the step '{shown(step)}', which does not exist.{hint} Steps with options: "
        f"{', '.join(takes_config)}. Nothing ran."
    )


def _has_options(definition: dg.AssetsDefinition) -> bool:
    schema = definition.op.config_schema.config_type
    return bool(getattr(schema, "fields", None))


def _example(step: str) -> str:
    return f'{{"ops": {{"{step}": {{"config": {{…}}}}}}}}'


def _did_you_mean(names: Sequence[str]) -> str:
    if not names:
        return ""
    *first, last = map(shown, names)
    return f" Did you mean {', '.join(first)} or {last}?" if first else f" Did you mean {last}?"
