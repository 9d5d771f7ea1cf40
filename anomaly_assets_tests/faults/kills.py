"""Send SIGKILL at random moments of every phase: the next run repairs the damage, readers never notice."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial

from anomaly_assets_tests.faults.command import Fault, phase_of
from anomaly_assets_tests.faults.content import healed, publications, published
from anomaly_assets_tests.faults.scene import Scenario, Scene, discard
from anomaly_assets_tests.faults.trials import Facts, Trial

PHASES = ("catalogue", "tensors", "summaries", "publishing")


@dataclass(frozen=True)
class Moment:
    """A moment of a run: the time after the start of a step."""

    step: str
    seconds: float


def random_moment(scenario: Scenario, phase: str, chance: random.Random) -> Moment:
    """Return a uniformly random moment within a phase."""
    steps = {step: lasts for step, lasts in scenario.steps.items() if phase_of(step) == phase}
    [step] = chance.choices([*steps], [*steps.values()])
    return Moment(step, chance.uniform(0.0, 0.97) * steps[step])


def trials(scene: Scene, scenarios: dict[str, Scenario], count: int, seed: int) -> Iterator[Trial]:
    """Yield this number of kills, evenly over the phases."""
    chance = random.Random(seed)
    kinds = [*scenarios.values()]
    for number in range(count):
        phase = PHASES[number % len(PHASES)]
        scenario = kinds[(number + number // len(PHASES)) % len(kinds)]
        moment = random_moment(scenario, phase, chance)
        name = f"{scenario.name}, {moment.seconds:.3f} s into {moment.step}"
        yield Trial("kill", name, partial(_kill, scene, scenario, moment))


def _kill(scene: Scene, scenario: Scenario, moment: Moment) -> Facts:
    for factor in (1.0, 0.5, 0.0):
        workspace = scene.workspace_for(scenario)
        with workspace.start() as command:
            command.wait_for(moment.step, moment.seconds * factor)
            step = command.step()
            if command.kill():
                break
        discard(workspace)
    else:
        raise Fault("the run was over before each of three kills", command.tail())
    state = published(workspace, scenario.allowed, command.tail())
    beside = sorted(path.name for path in workspace.data.iterdir())
    rows = healed(workspace, scenario.after)
    listed, expected = (publications(each.database) for each in (workspace, scenario.made))
    if listed != expected:
        raise Fault(f"snapshots lists {listed} publications, and there were {expected}")
    discard(workspace)
    return {
        "scenario": scenario.name,
        "phase": phase_of(step),
        "step": step,
        "published_at_the_kill": state,
        "beside_at_the_kill": beside,
        "rows_compared": rows,
    }
