"""Tuning with several objectives: Optuna suggests values, the lab runs them, and what nothing beats on all of them is the front.

The suggestions of a trial depend on the seed, the trial's number and the trials before it, so that an interrupted tuning goes
on as if it had not been. Every trial runs on the same drives. Trials are kept in the folder's trials.journal, units in the store.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import polars as pl
import yaml

from sim.measure.metrics_catalog import metric
from sim.scenario.scenario import Scenario
from sim.scenario.space import Range
from sim.study.manifest import plain
from sim.study.search import Searched, package_missing, with_data
from sim.study.unit import surroundings

#: Delivery, bytes, handshakes, radio time.
OBJECTIVES = ("all.delivered_within_60s", "bytes.total", "bytes.handshake", "radio_active_s")
#: Of a fleet: how soon it is back after a fault, the peak it makes, bytes, delivery.
OBJECTIVES_FLEET = ("fleet.back_s.p95", "fleet.handshakes_per_s", "fleet.bytes_per_vehicle", "all.delivered_within_60s")
JOURNAL = "trials.journal"
_DRAWN = 10  # first trials, drawn without looking at others
_STEP = 1_000_003  # between the seeds of two trials


def objectives_of(scenario: Scenario) -> tuple[str, ...]:
    """What a strategy of this scenario is tuned for where nothing else is asked for."""
    return OBJECTIVES if scenario.fleet is None else with_data(OBJECTIVES_FLEET, scenario)


@dataclass(frozen=True, slots=True)
class Trial:
    """Values as a scenario file would have them, and the metrics' means."""

    number: int
    values: dict[str, Any]
    metrics: dict[str, float]


@dataclass(frozen=True, slots=True)
class Tuned:
    """Finished trials; `front`: those that no other one beats on all objectives, best on the first objective first."""

    run_dir: Path
    strategy: str
    objectives: tuple[str, ...]
    trials: tuple[Trial, ...]
    front: tuple[Trial, ...]

    @property
    def best(self) -> Trial:
        """The first of the front: the best on the first objective, and of equal ones on the next."""
        return self.front[0]


def tune(
    searched: Searched,
    ranges: Sequence[Range],
    strategy: str,
    *,
    objectives: Sequence[str] = OBJECTIVES,
    trials: int = 50,
    show: Callable[[int, int], None] | None = None,
) -> Tuned:
    """Go on to so many trials for a strategy of the scenario; those that are there already count.

    Raises:
        ScenarioErrors: a range is not allowed, or nothing depends on its key.
        PackageMissing: Optuna. NothingMeasured: an objective has no data.
    """
    try:
        import optuna
        from optuna.storages import JournalStorage
        from optuna.storages.journal import JournalFileBackend
    except ImportError:
        raise package_missing("Optuna") from None
    for name in objectives:
        metric(name)
    searched.check(ranges, inert=False)
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    folder = searched.out / searched.source.base.name / f"tune-{_id(searched, ranges, strategy, objectives)}"
    folder.mkdir(parents=True, exist_ok=True)
    directions: list[Literal["maximize", "minimize"]] = [
        "maximize" if metric(name).better == "higher" else "minimize" for name in objectives
    ]
    study = optuna.create_study(
        storage=JournalStorage(JournalFileBackend(str(folder / JOURNAL))), study_name="tune", directions=directions,
        load_if_exists=True,
    )  # fmt: skip
    for left in study.get_trials(states=[optuna.trial.TrialState.RUNNING]):
        study.tell(left.number, state=optuna.trial.TrialState.FAIL)  # of a tuning that was killed
    done = _finished(study, optuna, ranges, objectives)
    while len(done) < trials:
        if show is not None:
            show(len(done), trials)
        seed = (searched.source.base.seed + _STEP * len(done)) % 2**32
        study.sampler = optuna.samplers.TPESampler(seed=seed, n_startup_trials=_DRAWN)
        trial = study.ask()
        values = {one.key: _suggested(trial, one) for one in ranges}
        found = searched.means([values], objectives)[0][strategy]
        study.tell(trial, [found[name] for name in objectives])
        done = _finished(study, optuna, ranges, objectives)
    if show is not None:
        show(len(done), trials)
    return Tuned(folder, strategy, tuple(objectives), tuple(done), tuple(_front(done, objectives)))


def _id(searched: Searched, ranges: Sequence[Range], strategy: str, objectives: Sequence[str]) -> str:
    """What makes two tunings the same: all but the number of trials."""
    base = {key: value for key, value in plain(searched.source.base).items() if key not in ("source", "folder", "description")}
    content = [base, [plain(one) for one in ranges], strategy, list(objectives), surroundings()]
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:10]


def _suggested(trial: Any, one: Range) -> Any:
    if one.choices:
        return one.choices[trial.suggest_categorical(one.key, list(range(len(one.choices))))]
    if one.whole:
        return trial.suggest_int(one.key, round(one.low), round(one.high), log=one.log)
    return one.written(trial.suggest_float(one.key, one.low, one.high, log=one.log))


def _finished(study: Any, optuna: Any, ranges: Sequence[Range], objectives: Sequence[str]) -> list[Trial]:
    found = []
    for number, trial in enumerate(study.get_trials(states=[optuna.trial.TrialState.COMPLETE])):  # those cut off do not count
        values = {
            one.key: one.choices[trial.params[one.key]] if one.choices else one.written(trial.params[one.key]) for one in ranges
        }
        found.append(Trial(number, values, dict(zip(objectives, trial.values, strict=True))))
    return found


def _front(trials: Sequence[Trial], objectives: Sequence[str]) -> list[Trial]:
    """Trials that no other one beats; of equal ones the first."""

    def costs(trial: Trial) -> tuple[float, ...]:
        return tuple(-trial.metrics[name] if metric(name).better == "higher" else trial.metrics[name] for name in objectives)

    front: list[Trial] = []
    for trial in trials:
        mine = costs(trial)
        others = [costs(other) for other in trials if other is not trial]
        beaten = any(all(a <= b for a, b in zip(other, mine, strict=True)) and other != mine for other in others)
        if not beaten and mine not in [costs(one) for one in front]:
            front.append(trial)
    return sorted(front, key=lambda trial: (costs(trial), trial.number))


def as_yaml(searched: Searched, tuned: Tuned, trial: Trial) -> str:
    """The scenario file with a trial's values, which `run` accepts beside the original one."""
    said = ", ".join(f"{name} {value:.6g}" for name, value in trial.metrics.items())
    head = [
        f"# Found by tuning {tuned.strategy}: trial {trial.number} of {len(tuned.trials)}, {len(tuned.front)} are on the front.",
        f"# {said}",
    ]
    content = searched.source.document_at(trial.values, "--over").value
    content.pop("sweep", None)
    return (
        "\n".join(head) + "\n" + yaml.safe_dump(content, sort_keys=False, allow_unicode=True, default_flow_style=None, width=120)
    )


def table(tuned: Tuned) -> pl.DataFrame:
    """A row for each trial: number, its values as written, the metrics, and whether it is on the front."""
    front = {trial.number for trial in tuned.front}
    rows = [
        {
            "trial": one.number,
            **{key: str(value) for key, value in one.values.items()},
            **one.metrics,
            "front": one.number in front,
        }
        for one in tuned.trials
    ]
    return pl.DataFrame(rows)
