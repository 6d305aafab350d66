"""The model's runs that something outside is held against, kept as a run folder of their own."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path

from sim.measure.summary import metrics
from sim.record.read import read_run
from sim.record.tables import concatenate, digest, drive_tables, vehicle_tables, write
from sim.study.live import LivePlan
from sim.study.manifest import manifest
from sim.study.run import Tables, disruptions_of, simulate_strategy, timeouts, write_json

#: Phases of a broker's tick that the model is run with where a live broker's cannot be set: an interval of the tick's length
#: is then known to within an eighth of it.
TICK_PHASES = tuple(number / 8 for number in range(8))


def model_tables(planned: LivePlan, tick_phase: float | None = None, number: int = 0) -> Tables:
    """The model's run of the plan, as replication `number`.

    `tick_phase` in [0, 1) places the broker's tick, None: where the live one's is set.
    """
    parts = []
    for choice in planned.scenario.strategies:
        run = simulate_strategy(
            planned.setting,
            planned.timeline,
            choice,
            planned.scenario.folder,
            trace=True,
            tick_phase=tick_phase,
            happens=planned.happens,
        )
        parts.append(
            vehicle_tables(
                run.record,
                run.outcomes,
                strategy=choice.name,
                replication=number,
                vehicle=0,
                start_s=run.start_s,
                end_s=run.end_s,
                horizon_s=run.horizon_s,
                radio_active_s=run.radio_active_s,
                current_address=run.current_address,
                timeouts=timeouts(planned.scenario),
                parked=planned.timeline.parked,
            )
        )
    return concatenate(parts) | concatenate([drive_tables(planned.timeline, number, 0, disruptions_of(planned.happens))])


@dataclasses.dataclass(frozen=True, slots=True)
class Ensemble:
    """The model's runs of one plan: a replication for each phase of the broker's tick; one, None, where all can be set."""

    planned: LivePlan
    phases: tuple[float | None, ...]
    tables: Tables


def model_ensemble(planned: LivePlan, broker: str) -> Ensemble:
    """Run the model for every phase that cannot be set on `broker`."""
    ticks = planned.setting.server.broker.behaviour().keep_alive_rule == "tick_after"
    phases: Sequence[float | None] = TICK_PHASES if ticks and broker != "embedded" else (None,)
    runs = [model_tables(planned, phase, number) for number, phase in enumerate(phases)]
    return Ensemble(planned, tuple(phases), concatenate(runs))


def write_model(ensemble: Ensemble, folder: Path, command: str) -> None:
    """Write the runs as a run folder like any other: `report` and `explain` read it too."""
    folder.mkdir(parents=True)
    planned = ensemble.planned
    write(ensemble.tables, folder)
    content = manifest(
        planned.scenario,
        measured=list(planned.timeline.measured),
        notes=list(planned.timeline.notes),
        command=command,
        keep_inputs=False,
        folder=folder,
    )
    content |= {
        "replications": len(ensemble.phases),
        "tick_phases": [phase for phase in ensemble.phases if phase is not None],
        "drain_s": planned.setting.drain_s,
    }
    write_json(folder / "manifest.json", content)
    numbers = metrics(read_run(folder))
    write_json(folder / "metrics.json", numbers)
    content["digest"] = digest(ensemble.tables, numbers)
    write_json(folder / "manifest.json", content)
