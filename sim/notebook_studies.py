"""Studies for notebooks and scripts: sweeps, gates, runs side by side. Results are polars frames."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path

import polars as pl

from sim.report.comparison import METRICS, Comparison, read_comparison
from sim.report.sweep_read import Sweep, read_sweep
from sim.scenario.space import parse_ranges
from sim.scenario.sweep import load_sweep, open_scenario
from sim.study.bounds import parse_bound
from sim.study.gate import judge, parse_gate
from sim.study.pairing import pair, read_side
from sim.study.search import Searched


def sweep(
    scenario: str | Path,
    *,
    varies: Sequence[str] = (),
    sets: Sequence[str] = (),
    strategies: Sequence[str] = (),
    replications: int | None = None,
    seed: int | None = None,
    metrics: Sequence[str] | None = None,
    precision: str | None = None,
    most_drives: int = 1000,
    jobs: int = 1,
    force: bool = False,
    out: str | Path = "results",
    report: bool = True,
) -> Sweep:
    """Run the points of a scenario's `sweep:` block and of `varies`, as the command line does, and return the tables.

    `.table` has a row for each point, strategy and metric; `.differences` compares each point with the first; `.drives` has each
    metric drive by drive. `precision` as on the command line: "5%", "recovery_s.mean:0.5 s". Units that are kept from
    earlier sweeps are not run again. `jobs` above 1 starts processes; a script then needs the guard `if __name__ == "__main__":`.

    Raises ScenarioErrors with a line for each mistake; UnknownMetricError, BoundError.
    """
    from sim.measure.support import Precision
    from sim.study.sweep import run_sweep, shown_metrics
    from sim.terminal import progress

    plan = load_sweep(scenario, sets=sets, varies=varies, strategies=strategies, replications=replications, seed=seed)
    shown = shown_metrics(plan, metrics)
    wanted = None if precision is None else Precision(*parse_bound(precision, shown[0]), most_drives)
    with progress(plan.base.name) as show:
        result = run_sweep(
            plan, jobs=jobs, out=Path(out), force=force, metrics=shown, precision=wanted, progress=show, report=report
        )
    return read_sweep(result.run_dir)


def gate(base: str | Path, head: str | Path, gates: Sequence[str], renamed: Mapping[str, str] | None = None) -> pl.DataFrame:
    """A row for each check of two runs: is HEAD worse than BASE by more than `metric:5%` allows?

    Raises RunFolderError, BoundError, NotPaired: one line each.
    """
    result = judge(
        pair(read_side("BASE", Path(base)), read_side("HEAD", Path(head)), renamed), [parse_gate(one) for one in gates]
    )
    return pl.DataFrame([dataclasses.asdict(check) for check in result.checks])


def side_by_side(run_dirs: Sequence[str | Path], metrics: Sequence[str] = METRICS) -> Comparison:
    """Runs of any scenarios, for `sim.figures.scenario_matrix`. Raises RunFolderError."""
    return read_comparison([Path(one) for one in run_dirs], metrics)


def sensitivity(
    scenario: str | Path,
    over: Sequence[str],
    *,
    metrics: Sequence[str],
    method: str = "sobol",
    samples: int = 32,
    strategies: Sequence[str] = (),
    sets: Sequence[str] = (),
    replications: int | None = None,
    jobs: int = 1,
    out: str | Path = "results",
) -> pl.DataFrame:
    """Which key drives which metric: a row for each strategy, metric and key (`sim.study.sensitivity`). Needs SALib.

    `over`: 'key=10 s..60 s' each. Raises ScenarioErrors, PackageMissing.
    """
    from sim.study.sensitivity import analyse

    return analyse(_searched(scenario, strategies, sets, replications, jobs, out), parse_ranges(over), metrics, method, samples)


def tune(
    scenario: str | Path,
    over: Sequence[str],
    strategy: str,
    *,
    objectives: Sequence[str] | None = None,
    trials: int = 50,
    sets: Sequence[str] = (),
    replications: int | None = None,
    jobs: int = 1,
    out: str | Path = "results",
) -> tuple[pl.DataFrame, str]:
    """Search for good values on several metrics at once; returns the trials and the best one's scenario as YAML. Needs Optuna.

    `over`: 'key=10 s..60 s' or 'key=a,b,c' each. The same call goes on to `trials`. Raises ScenarioErrors, PackageMissing.
    """
    from sim.study.tune import OBJECTIVES, as_yaml, table
    from sim.study.tune import tune as run_trials

    searched = _searched(scenario, [strategy], sets, replications, jobs, out)
    tuned = run_trials(searched, parse_ranges(over), strategy, objectives=objectives or OBJECTIVES, trials=trials)
    return table(tuned), as_yaml(searched, tuned, tuned.best)


def _searched(
    scenario: str | Path, strategies: Sequence[str], sets: Sequence[str], replications: int | None, jobs: int, out: str | Path
) -> Searched:
    return Searched(open_scenario(scenario, sets=sets, strategies=strategies, replications=replications), Path(out), jobs)
