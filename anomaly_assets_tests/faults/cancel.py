"""Cancel runs by SIGINT (Ctrl-C) and by SIGTERM (a service manager)."""

from __future__ import annotations

import random
import signal
from collections.abc import Iterator
from functools import partial

from anomaly_assets_tests.faults.command import Fault, phase_of
from anomaly_assets_tests.faults.content import healed, published
from anomaly_assets_tests.faults.kills import PHASES, Moment, random_moment
from anomaly_assets_tests.faults.scene import Scenario, Scene, discard
from anomaly_assets_tests.faults.trials import Facts, Trial

LONGEST_GOODBYE_SECONDS = 60.0

MOST_STEPS_BEGUN_LATER = 2
"""Maximum number of steps: one that was printed after the signal, and one that is stopped at its start."""


def trials(scene: Scene, scenarios: dict[str, Scenario], quick: bool, seed: int) -> Iterator[Trial]:
    """Yield each signal in each phase, of a first load or of a run that rebuilds everything."""
    chance = random.Random(seed)
    both = (signal.SIGINT, signal.SIGTERM)
    load, remake = scenarios["first load"], scenarios["remake"]
    plan = [(load, "catalogue", both[0]), (remake, "tensors", both[1])]
    if not quick:
        # Each signal is sent in each phase; every second phase uses the other scenario.
        plan = [
            ((load, remake)[(place + turn) % 2], phase, number)
            for place, phase in enumerate(PHASES)
            for turn, number in enumerate(both)
        ]
    for scenario, phase, number in plan:
        moment = random_moment(scenario, phase, chance)
        name = f"{number.name}, {scenario.name}, {moment.seconds:.3f} s into {moment.step}"
        yield Trial("cancel", name, partial(_cancel, scene, scenario, moment, number))


def _cancel(scene: Scene, scenario: Scenario, moment: Moment, number: signal.Signals) -> Facts:
    workspace = scene.workspace_for(scenario)
    with workspace.start() as command:
        command.wait_for(moment.step, moment.seconds)
        step = command.step()
        asked, events = command.seconds, len(command.events)
        if command.process.poll() is None:
            command.process.send_signal(number)
        code = command.end(LONGEST_GOODBYE_SECONDS)
        goodbye = command.seconds - asked
    later = [event.step for event in command.events[events:] if event.kind == "STEP_START"]
    if len(later) > MOST_STEPS_BEGUN_LATER:
        raise Fault(f"went on after {number.name}: {', '.join(later)}", command.tail())
    state = published(workspace, scenario.allowed, command.tail())
    if code == 0 and state != "new":
        raise Fault("a cancelled run reports success", command.tail())
    beside = sorted(path.name for path in workspace.data.iterdir())
    rows = healed(workspace, scenario.after)
    discard(workspace)
    return {
        "scenario": scenario.name,
        "signal": number.name,
        "phase": phase_of(step),
        "step": step,
        "exit_code": code,
        "seconds_to_end": round(goodbye, 2),
        "published_after_it": state,
        "beside_after_it": beside,
        "rows_compared": rows,
    }
