"""From ignition on until the vehicle can be reached: what a way of parking costs in the morning."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl

from sim.measure.run_episodes import parked_spans
from sim.measure.stats import rank_quantile
from sim.record.read import Run

#: What lets the server reach a vehicle, by purpose of the connection: it holds one, asks, or says where it is.
_REACHED_BY = ("mqtt", "poll", "heartbeat")
_ENDS = ("path_end_s", "noticed_s", "peer_ended_s")


@dataclass(frozen=True, slots=True)
class Waking:
    """`after_s`: from the ignition on at `on_s` until the vehicle can be reached; 0 with a connection that stood, inf: never."""

    replication: int
    vehicle: int
    on_s: float
    after_s: float


def wakings(run: Run) -> dict[str, list[Waking]]:
    """Strategy -> each end of a parking within the drive. None of a fleet, and of strategies that never try such a connection.

    Reachable is a vehicle whose MQTT connection stands, with its path, and was not given up at either end, or whose last
    heartbeat told the address that it still has; or else from when its next MQTT connection, poll or heartbeat is through.
    """
    found: dict[str, list[Waking]] = {str(entry["name"]): [] for entry in run.manifest["strategies"]}
    if run.manifest.get("fleet") is not None or not run.timeline["parked"].any():
        return found
    tried = run.connections.filter(pl.col("purpose").is_in(_REACHED_BY))
    counted = [name for name in found if name in set(tried["strategy"].unique())]
    useful = tried.filter(pl.col("ready_s").is_not_null())
    ends = {(int(r), int(v)): end_s for r, v, end_s in run.vehicles.select("replication", "vehicle", "end_s").iter_rows()}
    for (replication, vehicle), timeline in (
        run.timeline.sort("start_s").partition_by("replication", "vehicle", as_dict=True).items()
    ):
        here = useful.filter((pl.col("replication") == replication) & (pl.col("vehicle") == vehicle))
        instants = [on_s for _off_s, on_s in parked_spans(timeline) if on_s < ends.get((replication, vehicle), math.inf)]
        for strategy in counted:
            rows = here.filter(pl.col("strategy") == strategy)
            found[strategy] += [
                Waking(replication, vehicle, on_s, _after_s(rows, on_s, _address_at(timeline, on_s))) for on_s in instants
            ]
    return found


def _address_at(timeline: pl.DataFrame, at_s: float) -> str:
    return str(timeline.filter(pl.col("start_s") <= at_s)["address"].last())


def _after_s(rows: pl.DataFrame, on_s: float, address: str) -> float:
    over = pl.min_horizontal(*(pl.col(name).fill_null(math.inf) for name in _ENDS))
    if rows.filter((pl.col("purpose") == "mqtt") & (pl.col("ready_s") <= on_s) & (over > on_s)).height:
        return 0.0
    told = rows.filter((pl.col("purpose") == "heartbeat") & (pl.col("ready_s") <= on_s)).sort("ready_s")
    if told.height and told["address"].last() == address:
        return 0.0
    first_s = rows.filter(pl.col("ready_s") >= on_s)["ready_s"].min()
    return math.inf if first_s is None else float(first_s) - on_s  # type: ignore[arg-type]


def waking(found: Sequence[Waking]) -> Mapping[str, Any]:
    """`n`, `p50`, `p95`, `max` in s; None without any, inf where it was never reachable again."""
    lengths = np.sort(np.array([one.after_s for one in found]))
    return {
        "n": len(found),
        "p50": rank_quantile(lengths, 50),
        "p95": rank_quantile(lengths, 95),
        "max": float(lengths[-1]) if len(lengths) else None,
    }
