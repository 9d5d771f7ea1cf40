"""Prepare all trials: two trees, undisturbed runs for comparison, and times of their steps."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from anomaly_assets_tests.assets.runs import CHANGE_SHAPE
from anomaly_assets_tests.faults import trees
from anomaly_assets_tests.faults.command import Command, Workspace
from anomaly_assets_tests.faults.content import Content, leftovers, read_content
from anomaly_assets_tests.sampled import SAMPLED

ROOT_VARIABLES = {name: dataset.root_variable for name, dataset in SAMPLED.items()}


def roots_below(folder: Path, *left_out: str) -> dict[str, str]:
    """Return environment variables with the roots below a folder, without some datasets."""
    return {
        variable: "" if name in left_out else str(folder / name)
        for name, variable in ROOT_VARIABLES.items()
    }


@dataclass(frozen=True)
class Scenario:
    """A kind of run, and its undisturbed result.

    Attributes:
        name: Name in the report.
        tree: The folder of its roots.
        image_size: Side of the tensors.
        state: Folder with the two databases that are there before; None for a first load.
        before: Content published before.
        made: Workspace of the undisturbed run.
        steps: Each step of it with its duration in seconds.
        config: Run config of its runs.
    """

    name: str
    tree: Path
    image_size: int
    state: Path | None
    before: Content | None
    made: Workspace
    steps: Mapping[str, float]
    config: Mapping[str, Any] | None = None

    @cached_property
    def after(self) -> Content:
        """Return the content published afterwards."""
        return read_content(self.made.database)

    def after_ignoring(self, columns: frozenset[str]) -> Content:
        """Return the content published afterwards, without some columns."""
        return read_content(self.made.database, columns)

    @property
    def allowed(self) -> dict[str, Content | None]:
        """Return the contents that may be published at any moment of such a run."""
        return {"old" if self.before else "absent": self.before, "new": self.after}


@dataclass
class Scene:
    """The trees, the scenarios, and workspaces for trials.

    Attributes:
        work: Temporary folder of everything.
        image_size: Side of the tensors in pixels.
        variations: Variations of every sample picture.
    """

    work: Path
    image_size: int
    variations: int
    _made: int = 0
    _naming: threading.Lock = field(default_factory=threading.Lock)
    _partial: dict[tuple[str, ...], Content] = field(default_factory=dict)
    _shared: dict[str, Workspace] = field(default_factory=dict)
    _sharing: threading.Lock = field(default_factory=threading.Lock)

    def prepare(self) -> dict[str, Scenario]:
        """Build the trees and run undisturbed; takes three runs."""
        first, changing = self.work / "roots" / "first", self.work / "roots" / "changing"
        trees.build(changing, self.variations)
        shutil.copytree(changing, first)
        load = self._undisturbed("first load", changing, self.image_size, None)
        trees.change(changing)
        refresh = self._undisturbed("refresh", changing, self.image_size, load)
        # All tensors are rebuilt, so that the snapshot is a rewrite and not a copy.
        remake = self._undisturbed("remake", changing, self.image_size - 16, load, CHANGE_SHAPE)
        load = Scenario(load.name, first, load.image_size, None, None, load.made, load.steps)
        return {scenario.name: scenario for scenario in (load, refresh, remake)}

    def _undisturbed(
        self,
        name: str,
        tree: Path,
        image_size: int,
        base: Scenario | None,
        config: Mapping[str, Any] | None = None,
    ) -> Scenario:
        workspace = self.workspace(tree, image_size, base.made.data if base else None)
        workspace.config = config
        with workspace.start() as command:
            command.watch()
            command.succeed()
        left = leftovers(workspace)
        assert not left, left
        before = base.after if base else None
        state = base.made.data if base else None
        steps = _durations(command)
        return Scenario(name, tree, image_size, state, before, workspace, steps, config)

    def workspace(
        self,
        tree: Path,
        image_size: int,
        state: Path | None = None,
        *,
        roots: Mapping[str, str] | None = None,
        wrapper: tuple[str, ...] = (),
        **variables: str,
    ) -> Workspace:
        """Return a new workspace for a trial, with a home that has one earlier run."""
        with self._naming:
            self._made += 1
            folder = self.work / f"trial-{self._made}"
        home = self.work / "trial-1" / "dagster_home"
        named = roots_below(tree) if roots is None else roots
        made = Workspace(folder, named, image_size, wrapper, variables)
        return made.make(home if home.is_dir() else None, state)

    def workspace_for(
        self,
        scenario: Scenario,
        *,
        roots: Mapping[str, str] | None = None,
        wrapper: tuple[str, ...] = (),
        **variables: str,
    ) -> Workspace:
        """Return a workspace in which a run of this scenario can be started."""
        workspace = self.workspace(
            scenario.tree,
            scenario.image_size,
            scenario.state,
            roots=roots,
            wrapper=wrapper,
            **variables,
        )
        workspace.config = scenario.config
        return workspace

    def own_tree(self, scenario: Scenario) -> Path:
        """Return a copy of the tree of a scenario, to be damaged."""
        with self._naming:
            self._made += 1
            folder = self.work / "roots" / f"own-{self._made}"
        shutil.copytree(scenario.tree, folder)
        return folder

    def once(self, name: str, make: Callable[[], Workspace]) -> Workspace:
        """Build a workspace that several trials copy, on first use."""
        with self._sharing:
            if name not in self._shared:
                self._shared[name] = make()
            return self._shared[name]

    def content_without(self, scenario: Scenario, *left_out: str) -> Content:
        """Return the content that a run of this scenario publishes without some datasets."""
        key = (scenario.name, *left_out)
        if key not in self._partial:
            roots = roots_below(scenario.tree, *left_out)
            workspace = self.workspace_for(scenario, roots=roots)
            workspace.run()
            self._partial[key] = read_content(workspace.database)
            discard(workspace)
        return self._partial[key]


def discard(workspace: Workspace) -> None:
    """Remove a workspace that is not needed any more."""
    shutil.rmtree(workspace.folder, ignore_errors=True)


def _durations(command: Command) -> dict[str, float]:
    began: dict[str, float] = {}
    lasted: dict[str, float] = {}
    for event in command.events:
        if event.kind == "STEP_START":
            began[event.step] = event.seen
        elif event.step in began:
            lasted[event.step] = event.seen - began[event.step]
    return lasted
