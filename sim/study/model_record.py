"""The model's runs that something outside is held against, kept as a run folder of their own."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from sim.drive.timeline import LinkTimeline
from sim.measure.summary import metrics
from sim.record.read import read_run
from sim.record.tables import concatenate, digest, drive_tables, frames, write
from sim.study.live import LivePlan
from sim.study.manifest import manifest
from sim.study.run import Tables, disruptions_of, run_columns, simulate_strategy, timeouts, write_json

#: Phases of a broker's tick that the model is run with where a live broker's cannot be set: an interval of the tick's length
#: is then known to within an eighth of it.
TICK_PHASES = tuple(number / 8 for number in range(8))


#: What happens within this share of the tolerance of a change of the link, or of a fault, may happen on either side of it: a
#: live machine is always a little late. The model is run once more with the changes, and with the faults, so much earlier.
EDGE_SHARE = 0.1


def earlier(timeline: LinkTimeline, by_s: float) -> LinkTimeline:
    """The drive with every change of the link earlier; the disruptions keep their names and instants."""
    starts = timeline.start_s
    rebinds_s = tuple(at - by_s for at in timeline.rebinds_s)
    # what is that near to the beginning comes half as far into the drive
    return dataclasses.replace(
        timeline, start_s=np.where(starts > 0.0, np.maximum(starts - by_s, starts / 2.0), starts), rebinds_s=rebinds_s
    )


def model_tables(
    planned: LivePlan, tick_phase: float | None = None, number: int = 0, earlier_s: float = 0.0, faults_earlier_s: float = 0.0
) -> Tables:
    """The model's run of the plan, as replication `number`.

    `tick_phase` in [0, 1) places the broker's tick, None: where the live one's is set. So much earlier come the changes of the
    link (`earlier_s`) and the faults of nodes and store (`faults_earlier_s`).
    """
    parts = []
    timeline = earlier(planned.timeline, earlier_s) if earlier_s else planned.timeline
    for choice in planned.scenario.strategies:
        run = simulate_strategy(
            planned.setting,
            timeline,
            choice,
            planned.scenario.folder,
            trace=True,
            tick_phase=tick_phase,
            happens=planned.happens.earlier(faults_earlier_s) if faults_earlier_s else planned.happens,
        )
        late_s = timeouts(planned.scenario)
        parts.append(frames(run_columns(run, late_s, choice.name, number, parked=planned.timeline.parked)))
    return concatenate(parts) | concatenate([drive_tables(timeline, number, 0, disruptions_of(planned.happens))])


@dataclasses.dataclass(frozen=True, slots=True)
class Ensemble:
    """The model's runs of one plan: a replication for each of `edges_s` and, in it, each phase of the broker's tick.

    One phase, None, where all can be set; `edges_s`: how much earlier the changes of the link come, and the faults.
    """

    planned: LivePlan
    phases: tuple[float | None, ...]
    tables: Tables
    edges_s: tuple[tuple[float, float], ...] = ((0.0, 0.0),)


def model_ensemble(planned: LivePlan, broker: str) -> Ensemble:
    """Run the model for every phase that cannot be set on `broker`, with changes and faults as they are and a little earlier."""
    ticks = planned.setting.server.broker.behaviour().keep_alive_rule == "tick_after"
    phases: Sequence[float | None] = TICK_PHASES if ticks and broker != "embedded" else (None,)
    by_s = EDGE_SHARE * planned.scenario.validation.absolute_s
    changes = (by_s, 0.0) if len(planned.timeline.start_s) > 1 else (0.0, 0.0)
    faults = (0.0, by_s) if planned.happens.changes else (0.0, 0.0)
    edges_s = tuple(dict.fromkeys([(0.0, 0.0), changes, faults]))
    members = [(phase, *edge_s) for edge_s in edges_s for phase in phases]
    runs = [model_tables(planned, phase, number, *edge_s) for number, (phase, *edge_s) in enumerate(members)]
    return Ensemble(planned, tuple(phases), concatenate(runs), edges_s)


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
        "replications": len(ensemble.phases) * len(ensemble.edges_s),
        "tick_phases": [phase for phase in ensemble.phases if phase is not None],
        "edges_earlier_s": [link_s for link_s, _ in ensemble.edges_s],
        "faults_earlier_s": [faults_s for _, faults_s in ensemble.edges_s],
        "drain_s": planned.setting.drain_s,
    }
    write_json(folder / "manifest.json", content)
    numbers = metrics(read_run(folder))
    write_json(folder / "metrics.json", numbers)
    content["digest"] = digest(ensemble.tables, numbers)
    write_json(folder / "manifest.json", content)
