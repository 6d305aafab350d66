"""A fleet's storm: who lost the connection to a fault and when each was back, and what the broker's nodes had to do.

Times are those of the fleet's clock. Numbers of connections are of the whole fleet: those simulated divided by the scale.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from sim.measure.stats import rank_quantile

Floats = npt.NDArray[np.float64]

#: Row of disruptions.parquet for what happens to all vehicles.
EVERY_VEHICLE = -1
#: In the place of a strategy in load.parquet: vehicles with different strategies meet at the same nodes.
MIX = "mix"
NODE_STATIONS = ("accept", "cpu", "connect")
CELL_STATIONS = ("uplink", "downlink")
#: A station counts as saturated in a second in which it was taken for this share of it.
SATURATED_SHARE = 0.99
#: Faults that end connections, and how long after their start (s; None: until their end): a node or a balancer that is gone
#: ends them or forgets them at once, a vehicle loses a tower as it drives.
CUTTING: dict[str, float | None] = {
    "node_crash": 1.0,
    "node_upgrade": 1.0,
    "balancer_change": 1.0,
    "tower_outage": None,
    "region_outage": None,
}


@dataclass(frozen=True, slots=True)
class Fault:
    """Something that happened to all vehicles at once."""

    kind: str
    start_s: float
    end_s: float
    before: str


@dataclass(frozen=True, slots=True)
class Storm:
    """What a fault did: vehicles on the road `connected` at its start, of which `cut_off` lost their connection to it.

    `back_s` of each of these: s from the start of the fault to the next connection that was ready; inf: not before the end of
    its run.
    """

    fault: Fault
    connected: int
    cut_off: int
    back_s: Floats


def faults_of(disruptions: pl.DataFrame, replication: int) -> list[Fault]:
    """What happened to all vehicles in a replication, in order."""
    rows = disruptions.filter((pl.col("vehicle") == EVERY_VEHICLE) & (pl.col("replication") == replication)).sort("start_s")
    return [Fault(*row) for row in rows.select("kind", "start_s", "end_s", "before").iter_rows()]


def standing(connections: pl.DataFrame, vehicles: pl.DataFrame) -> pl.DataFrame:
    """The MQTT connections that stood: `vehicle`, `from_s`, `until_s` (fleet's clock; until the path, an end or the run ended).

    With `starts_s` and `arrives_s` of the vehicle; sorted by vehicle and time.
    """
    clock = vehicles.select("vehicle", "starts_s", "horizon_s", "end_s")
    ready = connections.filter((pl.col("purpose") == "mqtt") & (pl.col("outcome") == "ready"))
    ends = pl.min_horizontal(
        pl.col("path_end_s"), pl.col("noticed_s"), pl.col("peer_ended_s"), pl.col("horizon_s")
    )  # nulls are left out
    return (
        ready.select("vehicle", "ready_s", "path_end_s", "noticed_s", "peer_ended_s")
        .join(clock, on="vehicle", how="inner")
        .select(
            "vehicle",
            (pl.col("ready_s") + pl.col("starts_s")).alias("from_s"),
            (ends + pl.col("starts_s")).alias("until_s"),
            pl.col("starts_s"),
            (pl.col("end_s") + pl.col("starts_s")).alias("arrives_s"),
        )
        .sort("vehicle", "from_s")
    )


def storm(stood: pl.DataFrame, fault: Fault) -> Storm:
    """What a fault did to the connections that stood."""
    at_s = fault.start_s
    felt_s = CUTTING.get(fault.kind, 0.0)
    until_s = fault.end_s if felt_s is None else at_s + felt_s
    there = stood.filter((pl.col("from_s") <= at_s) & (pl.col("until_s") >= at_s) & (pl.col("arrives_s") > at_s))
    cut = there.filter(pl.lit(felt_s != 0.0) & (pl.col("until_s") <= until_s) & (pl.col("until_s") < pl.col("arrives_s")))
    cut = cut.group_by("vehicle", maintain_order=True).agg(pl.col("until_s").max().alias("cut_s"))
    back = stood.join(cut, on="vehicle", how="inner").filter(pl.col("from_s") > pl.col("cut_s"))
    found = cut.join(back.group_by("vehicle").agg(pl.col("from_s").min()), on="vehicle", how="left").sort("vehicle")
    back_s = found["from_s"].fill_null(math.inf).to_numpy() - at_s
    return Storm(fault, there["vehicle"].n_unique(), cut.height, back_s)


def worst_storm(stood: pl.DataFrame, faults: Sequence[Fault]) -> Storm | None:
    """Of the fault that cut off most vehicles; None where none cut off anybody."""
    worst = max((storm(stood, fault) for fault in faults), key=lambda one: one.cut_off, default=None)
    return worst if worst is not None and worst.cut_off else None


def connected_over_time(stood: pl.DataFrame, at_s: Floats) -> Floats:
    """How many stood at each instant, of vehicles that had set out."""
    from_s, until_s = np.maximum(stood["from_s"].to_numpy(), stood["starts_s"].to_numpy()), stood["until_s"].to_numpy()
    stands = from_s < until_s  # a path may die before its connection is ready
    begun, over = np.sort(from_s[stands]), np.sort(until_s[stands])
    found: Floats = (np.searchsorted(begun, at_s, "right") - np.searchsorted(over, at_s, "right")).astype(np.float64)
    return found


def busy_share(load: pl.DataFrame, edges_s: Floats) -> Floats:
    """Share of each interval between `edges_s` in which one station of one node was taken."""
    rows = load.drop_nulls("turn_s").sort("turn_s")
    if not rows.height:
        return np.zeros(len(edges_s) - 1)
    turn_s, work_s = rows["turn_s"].to_numpy(), rows["work_s"].to_numpy()
    total = np.concatenate([[0.0], np.cumsum(work_s)])
    last = np.searchsorted(turn_s, edges_s, "right") - 1
    known = np.maximum(last, 0)
    unfinished = np.maximum(0.0, turn_s[known] + work_s[known] - edges_s)
    done = np.where(last >= 0, total[last + 1] - unfinished, 0.0)
    return np.clip(np.diff(done) / np.diff(edges_s), 0.0, 1.0)


def waiting(load: pl.DataFrame, at_s: Floats) -> Floats:
    """How many wait at the stations of `load` at each instant."""
    rows = load.drop_nulls("turn_s")
    came, turn = np.sort(rows["came_s"].to_numpy()), np.sort(rows["turn_s"].to_numpy())
    found: Floats = (np.searchsorted(came, at_s, "right") - np.searchsorted(turn, at_s, "right")).astype(np.float64)
    return found


def per_second(instants_s: Floats, edges_s: Floats) -> Floats:
    """How many fall into each interval, for each second of it."""
    counts, _edges = np.histogram(instants_s, edges_s)
    found: Floats = counts / np.diff(edges_s)
    return found


def clock_edges(vehicles: pl.DataFrame) -> Floats:
    """Seconds of the fleet's clock, from 0 to the end of the last run."""
    end_s = float(np.max(vehicles["starts_s"].to_numpy() + vehicles["horizon_s"].to_numpy(), initial=0.0))
    return np.arange(0.0, math.ceil(end_s) + 1.0)


def on_the_road(vehicles: pl.DataFrame, at_s: Floats) -> Floats:
    """How many vehicles have set out, and their run has not ended (the drain after the drive counted in), at each instant."""
    begun = np.sort(vehicles["starts_s"].to_numpy())
    over = np.sort((vehicles["starts_s"] + vehicles["horizon_s"]).to_numpy())
    found: Floats = (np.searchsorted(begun, at_s, "right") - np.searchsorted(over, at_s, "right")).astype(np.float64)
    return found


@dataclass(frozen=True, slots=True)
class Capacity:
    """What all nodes together can do in a second, in the fleet's numbers, and how many may wait at one of them.

    `handshakes_per_s`: at the mean CPU time of those that were made; None where none was. `connect_queue` None: no bound.
    """

    connections_per_s: float
    handshakes_per_s: float | None
    connects_per_s: float
    backlog: float
    connect_queue: float | None
    cores: int


def capacity(nodes: Mapping[str, Any], load: pl.DataFrame, scale: float) -> Capacity:
    """`nodes`: the settings of the nodes as in the manifest (server.nodes)."""
    many = len(nodes["names"])
    work_s = handshakes_of(load, nodes, scale)["work_s"].mean()
    return Capacity(
        many * float(nodes["accept_rate"]),
        many / (float(work_s) * scale) if work_s else None,  # type: ignore[arg-type]
        many * float(nodes["connect_rate"]),
        float(nodes["backlog"]),
        None if nodes["connect_queue"] is None else float(nodes["connect_queue"]),
        int(nodes["cores"]),
    )


def handshakes_of(load: pl.DataFrame, nodes: Mapping[str, Any], scale: float) -> pl.DataFrame:
    """The CPU's work that is TLS handshakes: the rest is packets, which take `message_cpu_s` each."""
    work = load.filter((pl.col("station") == "cpu") & pl.col("turn_s").is_not_null())
    packet_s = float(nodes["message_cpu_s"]) / (float(nodes["cores"]) * scale)
    return work.filter((pl.col("work_s") - packet_s).abs() > 1e-9 * packet_s) if packet_s > 0.0 else work


@dataclass(frozen=True, slots=True)
class Course:
    """What the nodes had to do, second by second of the fleet's clock; a value for each interval between `edges_s`.

    `asked` and `handshakes`: in a second, the fleet's numbers. `waiting`: station -> at the node where most wait, the fleet's
    numbers. `busy`: station -> share of the second in which it was taken, of the busiest node. `full_s`: station -> seconds in
    which that of one node was full, at the node with most of them.
    """

    edges_s: Floats
    asked: Floats
    handshakes: Floats
    waiting: Mapping[str, Floats]
    busy: Mapping[str, Floats]
    full_s: Mapping[str, int]


def course(load: pl.DataFrame, edges_s: Floats, nodes: Mapping[str, Any], scale: float) -> Course:
    """The course of a replication; `load` is that of one strategy, or of the mix. Who waits is counted at the end of a second."""
    stations = [station for station in ("accept", "cpu", "connect") if (load["station"] == station).any()]
    parts = {station: _by_place(load.filter(pl.col("station") == station)) for station in stations}
    busy = {station: [busy_share(part, edges_s) for part in parts[station]] for station in stations if station != "accept"}
    return Course(
        edges_s,
        per_second(load.filter(pl.col("station") == "accept")["came_s"].to_numpy(), edges_s) / scale,
        per_second(handshakes_of(load, nodes, scale)["turn_s"].to_numpy(), edges_s) / scale,
        {station: np.maximum.reduce([waiting(part, edges_s[1:]) for part in parts[station]]) / scale for station in stations},
        {station: np.maximum.reduce(shares) for station, shares in busy.items()},
        {station: max(int((share >= SATURATED_SHARE).sum()) for share in shares) for station, shares in busy.items()},
    )


def nodes_work(load: pl.DataFrame, edges_s: Floats, nodes: Mapping[str, Any], scale: float) -> dict[str, Any]:
    """Peaks over all seconds of what the nodes had to do; the fleet's numbers."""
    if not load.height:
        return {}
    handshakes = per_second(handshakes_of(load, nodes, scale)["turn_s"].to_numpy(), edges_s)
    came = per_second(load.filter(pl.col("station") == "accept")["came_s"].to_numpy(), edges_s)
    cpu = [busy_share(part, edges_s) for part in _by_place(load.filter(pl.col("station") == "cpu"))]
    admission = [busy_share(part, edges_s) for part in _by_place(load.filter(pl.col("station") == "connect"))]
    at_nodes = load.filter(pl.col("station").is_in(NODE_STATIONS))
    queues = [waiting(part, edges_s) for part in _by_place(at_nodes)]
    cells = load.filter(pl.col("station").is_in(CELL_STATIONS)).partition_by("place", "station")
    air = [busy_share(part, edges_s) for part in cells]
    return {
        "connections_per_s": float(came.max(initial=0.0)) / scale,
        "handshakes_per_s": float(handshakes.max(initial=0.0)) / scale,
        "queue": float(max((queue.max(initial=0.0) for queue in queues), default=0.0)) / scale,
        "cpu_share": float(max((share.max(initial=0.0) for share in cpu), default=0.0)),
        "cpu_saturated_s": float(max(((share >= SATURATED_SHARE).sum() for share in cpu), default=0.0)),
        "cell_saturated_s": float(max(((share >= SATURATED_SHARE).sum() for share in air), default=0.0)),
        "admission_saturated_s": float(max(((share >= SATURATED_SHARE).sum() for share in admission), default=0.0)),
        "dropped_syns": load.filter((pl.col("station") == "accept") & pl.col("turn_s").is_null()).height / scale,
        "turned_away": load.filter((pl.col("station") == "connect") & pl.col("turn_s").is_null()).height / scale,
    }


def _by_place(load: pl.DataFrame) -> Sequence[pl.DataFrame]:
    return load.partition_by("place", maintain_order=True) if load.height else []


def fleet_numbers(
    connections: pl.DataFrame,
    vehicles: pl.DataFrame,
    faults: Sequence[Fault],
    load: pl.DataFrame,
    nodes: Mapping[str, Any],
    scale: float,
) -> dict[str, Any]:
    """The numbers of one replication: of the fault that cut off most, and of the nodes. Of no fault where nobody was cut off."""
    worst = worst_storm(standing(connections, vehicles), faults)
    found: dict[str, Any] = {"nodes": nodes_work(load, clock_edges(vehicles), nodes, scale)}
    if worst is not None:
        found |= {
            "fault": worst.fault.kind,
            "at_s": worst.fault.start_s,
            "connected": worst.connected / scale,
            "cut_off": worst.cut_off / scale,
            "not_back": float(np.isinf(worst.back_s).sum()) / scale,
            "back_s": {f"p{percent}": rank_quantile(np.sort(worst.back_s), percent) for percent in (50, 95, 99, 100)},
        }
    return found
