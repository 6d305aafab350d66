"""Which key drives which metric: variance shares (Sobol) or screening by steps (Morris), by SALib.

Every point has the same seed, so that the draws are common to all and what is seen is the keys' doing.
Sobol: Saltelli et al., Computer Physics Communications 181 (2010); Morris: Technometrics 33 (1991), means of absolute effects
after Campolongo et al. (2007).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import polars as pl

from sim.scenario.document import ScenarioErrors
from sim.scenario.space import Range
from sim.study.execute import Progress
from sim.study.search import Searched, package_missing

METHODS = ("sobol", "morris")
COLUMNS = {
    "sobol": ("S1", "S1_conf", "ST", "ST_conf"),
    "morris": ("mu_star", "mu_star_conf", "sigma"),
}


def analyse(
    searched: Searched,
    ranges: Sequence[Range],
    metrics: Sequence[str],
    method: str = "sobol",
    samples: int = 32,
    progress: Progress | None = None,
) -> pl.DataFrame:
    """A row for each strategy, metric and key.

    Sobol: `S1` the share of the metric's variance that the key alone explains, `ST` with its interactions, and half
    widths of their 95 % intervals; samples x (keys + 2) points. Morris: `mu_star` the mean absolute effect of the key over its
    whole range, in the metric's unit, `sigma` the spread of effects, large where the key interacts or is not linear; samples x
    (keys + 1) points. A metric that no key moves has nulls.

    Raises:
        ScenarioErrors: a range is not allowed, or has choices, which have no distance.
        PackageMissing: SALib.
    """
    try:
        from SALib.analyze import morris as morris_analysis
        from SALib.analyze import sobol as sobol_analysis
        from SALib.sample import morris as morris_sample
        from SALib.sample import sobol as sobol_sample
    except ImportError:
        raise package_missing("SALib") from None
    wrong = [f"--over {one.key}: sensitivity needs a range such as 10 s..120 s, not choices" for one in ranges if one.choices]
    if wrong:
        raise ScenarioErrors(wrong)
    searched.check(ranges)
    seed = searched.source.base.seed
    problem = {
        "num_vars": len(ranges),
        "names": [one.key for one in ranges],
        "bounds": [[math.log(one.low), math.log(one.high)] if one.log else [one.low, one.high] for one in ranges],
    }
    if method == "sobol":
        table = sobol_sample.sample(problem, samples, calc_second_order=False, seed=seed)
    else:
        table = morris_sample.sample(problem, samples, seed=seed)
    points = [
        {one.key: one.written(math.exp(x) if one.log else x) for one, x in zip(ranges, row, strict=True)}
        for row in table.tolist()
    ]
    found = searched.means(points, metrics, progress)
    rows: list[tuple[Any, ...]] = []
    for strategy in [choice.name for choice in searched.source.base.strategies]:
        for name in metrics:
            values = np.array([point[strategy][name] for point in found])
            scale = max(abs(values).max(), 1e-300)
            if np.ptp(values) <= 1e-12 * scale:  # nothing moves it: shares of no variance mean nothing
                rows += [(strategy, name, one.key, *(None for _ in COLUMNS[method])) for one in ranges]
                continue
            if method == "sobol":
                indices = sobol_analysis.analyze(problem, values, calc_second_order=False, seed=seed)
            else:
                indices = morris_analysis.analyze(problem, table, values, seed=seed)
            unit = scale if method == "morris" else 1.0
            for at, one in enumerate(ranges):
                rows.append((strategy, name, one.key, *(_cleared(indices[column][at], unit) for column in COLUMNS[method])))
    schema = {"strategy": pl.String, "metric": pl.String, "key": pl.String, **dict.fromkeys(COLUMNS[method], pl.Float64)}
    return pl.DataFrame(rows, schema=schema, orient="row")


def _cleared(value: Any, scale: float) -> float:
    """Return a figure without what rounding leaves of nothing."""
    return 0.0 if abs(value) <= 1e-12 * scale else float(value)
