"""metrics.json: everything a report, a table or `--json` says about a run, computed from its records alone."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import polars as pl

from sim.measure.attempts import attempts, connection_stats
from sim.measure.cost import DAYS_A_MONTH, HOURS_A_DAY, cost
from sim.measure.delivery import WORKLOAD_KINDS, by_kind, check_ledger, overall, with_horizon
from sim.measure.drive_facts import drive_facts
from sim.measure.episode_words import episode_in_words
from sim.measure.fleet import MIX, faults_of, fleet_numbers
from sim.measure.fleet_support import counts_note, fleet_warnings
from sim.measure.metrics_catalog import METRICS, metric, per_drive
from sim.measure.multiple import holm
from sim.measure.objectives import bound_in_words, judge
from sim.measure.pooled import pooled_quantile
from sim.measure.reachability import reachability, share
from sim.measure.recovery import Episode, mean_of_drives, recovery, worst
from sim.measure.run_episodes import run_episodes
from sim.measure.stats import CONFIDENCE, RESAMPLES, mean_interval, paired_difference
from sim.measure.support import run_warnings
from sim.measure.update import image_bytes, update
from sim.measure.waking import Waking, waking, wakings
from sim.record.causes import KINDS
from sim.record.read import Run, table_schema

#: What strategies are compared by; the first three are the primary ones (undelivered messages count in each).
COMPARED = (
    "all.delivered_within_10s",
    "all.delivered_within_60s",
    "all.latency_s.mean_capped",
    "reachability",
    "bytes.total",
    "recovery_s.mean",
)


#: What strategies are compared by where a fleet meets at the broker.
COMPARED_FLEET = (
    "all.delivered_within_10s",
    "all.delivered_within_60s",
    "all.latency_s.mean_capped",
    "fleet.back_s.p50",
    "fleet.back_s.p95",
    "fleet.handshakes_per_s",
    "fleet.bytes_per_vehicle",
)


@dataclass(frozen=True, slots=True)
class StrategyRecords:
    """What the run recorded of one strategy; the same for one drive of it."""

    messages: pl.DataFrame
    connections: pl.DataFrame
    traffic: pl.DataFrame
    vehicles: pl.DataFrame
    episodes: Sequence[Episode]
    wakings: Sequence[Waking] = ()

    def of_drive(self, replication: int) -> StrategyRecords:
        one = pl.col("replication") == replication
        return StrategyRecords(
            self.messages.filter(one),
            self.connections.filter(one),
            self.traffic.filter(one),
            self.vehicles.filter(one),
            [episode for episode in self.episodes if episode.replication == replication],
            [one for one in self.wakings if one.replication == replication],
        )

    def numbers(self, kinds: Sequence[str], within_s: float, image: int | None) -> dict[str, Any]:
        """All numbers of these records. Counts and bytes are sums; beyond the horizon is inf, no data None."""
        return {
            **overall(self.messages),
            "workloads": by_kind(self.messages, kinds),
            "update": update(self.messages, image),
            "recovery_s": recovery(self.episodes),
            "waking_s": waking(self.wakings),
            "reachability": {"share": share(self.messages, within_s)},
            "attempts": attempts(self.connections),
            **cost(self.traffic, self.vehicles),
            "connection_stats": connection_stats(self.vehicles),
        }


def metrics(run: Run, episodes: Mapping[str, Sequence[Episode]] | None = None) -> dict[str, Any]:
    """The content of metrics.json; JSON-safe, null for "beyond the horizon" and for "no data" (then nothing was created).

    Under `strategies.<name>` counts, bytes and radio time are sums over the drives and quantiles are over all their messages;
    under `intervals` every metric is a mean of the drives' values with its 95 % interval, and so are `mean` and `phases` of a
    recovery wherever they stand; reachability is the share of all probes. `episodes` may be handed in where
    the caller has them (`run_episodes(run)`). Raises LedgerError where the records contradict themselves.
    """
    manifest = run.manifest
    seed = int(manifest["seed"])
    check_ledger(run.messages, allow_unattributed=manifest.get("world", "model") == "live")
    messages = with_horizon(run.messages, run.vehicles)
    kinds = [kind for kind in KINDS if (messages["kind"] == kind).any()]
    within_s = float((manifest.get("workload", {}).get("probes") or {}).get("within_s", 10.0))
    image = image_bytes(manifest)
    fleet = manifest.get("fleet")
    if episodes is None:
        episodes = run_episodes(run)
    woken = wakings(run)

    pooled: dict[str, dict[str, Any]] = {}
    vectors: dict[str, dict[str, list[float | None]]] = {}
    for entry in manifest["strategies"]:
        name = str(entry["name"])
        mine = pl.col("strategy") == name
        records = StrategyRecords(
            messages.filter(mine),
            run.connections.filter(mine),
            run.traffic.filter(mine),
            run.vehicles.filter(mine),
            episodes[name],
            woken[name],
        )
        drives = [records.of_drive(number).numbers(kinds, within_s, image) for number in range(int(manifest["replications"]))]
        if fleet is not None:
            for number, drive in enumerate(drives):
                drive["fleet"] = fleet_of_drive(run, records.of_drive(number), name, number)
        vectors[name] = {metric_name: per_drive(drives, metric_name) for metric_name in METRICS}
        numbers = records.numbers(kinds, within_s, image)
        numbers["recovery_s"] |= mean_of_drives([drive["recovery_s"] for drive in drives])
        reached = reachability(records.messages, within_s, seed)
        intervals = _intervals(vectors[name], seed)
        if reached["n"]:  # the share of all probes, as it stands beside their count
            intervals["reachability"] |= {"mean": reached["share"], **{key: reached[key] for key in ("low", "high", "note")}}
        pooled[name] = {
            "use": entry["use"],
            "baseline": bool(entry.get("baseline", False)),
            **numbers,
            "reachability": reached,
            "worst_episode": _worst(records.episodes),
            "intervals": intervals,
            "pooled_intervals": _pooled_intervals(records, int(manifest["replications"]), seed),
        }
        if fleet is not None:
            pooled[name]["fleets"] = [drive["fleet"] for drive in drives]
    comparisons = _comparisons(pooled, vectors, seed, COMPARED if fleet is None else COMPARED_FLEET)
    objectives = [_objective(objective, vectors, seed) for objective in manifest.get("objectives", [])]
    content: dict[str, Any] = {
        "scenario": manifest["scenario"],
        "run_id": manifest["run_id"],
        "seed": seed,
        "replications": int(manifest["replications"]),
        "objectives": objectives,
        "drive": drive_facts(run),
        "strategies": pooled,
        "comparisons": comparisons,
        "comparison_count": len(comparisons),
        "warnings": run_warnings(int(manifest["replications"]), objectives, comparisons)
        if fleet is None
        else fleet_warnings(manifest, objectives, comparisons),
        "method": {
            "confidence": CONFIDENCE,
            "resamples": RESAMPLES,
            "hours_a_day": HOURS_A_DAY,
            "days_a_month": DAYS_A_MONTH,
            "probe_within_s": within_s,
        },
    }
    if fleet is not None:
        content["fleet"] = {key: fleet[key] for key in ("vehicles", "simulated", "scale")} | {"note": counts_note(fleet)}
    safe: dict[str, Any] = json_safe(content)
    return safe


def fleet_of_drive(run: Run, records: StrategyRecords, strategy: str, replication: int) -> Mapping[str, Any]:
    """What the fleet met in one replication; vehicles of a mix have the broker's load in common."""
    scale = float(run.manifest["fleet"]["scale"])
    faults = faults_of(run.disruptions, replication)
    load = run.table("load") if run.has("load") else pl.DataFrame(schema=table_schema("load"))
    mine = load.filter((pl.col("replication") == replication) & pl.col("strategy").is_in([strategy, MIX]))
    nodes = run.manifest["settings"]["server"]["nodes"]
    found = fleet_numbers(records.connections, records.vehicles, faults, mine, nodes, scale)
    n = records.vehicles.height
    sent = records.traffic.filter(pl.col("purpose") != "probe")["bytes"].sum()
    return found | {"vehicles": n / scale, "bytes_per_vehicle": sent / n if n else None}


def json_safe(content: Any) -> Any:
    """The same content with null for every float that JSON does not know, and numpy's scalars as Python's."""
    if isinstance(content, Mapping):
        return {str(key): json_safe(entry) for key, entry in content.items()}
    if isinstance(content, list | tuple):
        return [json_safe(entry) for entry in content]
    if isinstance(content, float):
        return float(content) if math.isfinite(content) else None
    return content


def _worst(episodes: Sequence[Episode]) -> dict[str, Any] | None:
    episode = worst(episodes)
    if episode is None:
        return None
    return {
        "replication": episode.replication,
        "vehicle": episode.vehicle,
        "start_s": episode.start_s,
        "length_s": episode.length_s,
        "censored": episode.censored,
        "text": episode_in_words(episode),
    }


def _intervals(vectors: Mapping[str, Sequence[float | None]], seed: int) -> dict[str, dict[str, Any]]:
    """Metric -> mean of the drives and its interval; metrics without data in any drive are left out."""
    table: dict[str, dict[str, Any]] = {}
    for name, values in vectors.items():
        interval = mean_interval(values, seed)
        if interval.n:
            table[name] = asdict(interval)
    return table


def _pooled_intervals(records: StrategyRecords, drives: int, seed: int) -> dict[str, dict[str, Any]]:
    """Quantiles over all messages of all drives, and over all recoveries, with intervals; `mean` holds the quantile."""
    numbers = range(drives)
    work = records.messages.filter(pl.col("kind").is_in(WORKLOAD_KINDS))
    latency = (work["delivered_s"] - work["created_s"]).fill_null(math.inf).to_numpy()
    replication = work["replication"].to_numpy()
    latencies = [latency[replication == number] for number in numbers]
    lengths = [
        np.array([math.inf if one.censored else one.length_s for one in records.episodes if one.replication == number])
        for number in numbers
    ]
    wanted = {f"all.latency_s.p{percent}": (latencies, percent) for percent in (50, 95, 99)}
    wanted["recovery_s.p95"] = (lengths, 95)
    found = {name: pooled_quantile(values, percent, seed) for name, (values, percent) in wanted.items()}
    return {name: asdict(interval) for name, interval in found.items() if interval.n}


def _comparisons(
    pooled: Mapping[str, Mapping[str, Any]],
    vectors: Mapping[str, Mapping[str, Sequence[float | None]]],
    seed: int,
    names: Sequence[str],
) -> list[dict[str, Any]]:
    """Every strategy (a) against the first that is no baseline (b), drive by drive: difference a - b, verdict about a.

    The interval and the verdict are of each comparison alone; `holds` says whether the verdict stands after Holm's correction for
    all of them (`p_holm`).
    """
    if not pooled:
        return []
    reference = next((name for name, numbers in pooled.items() if not numbers["baseline"]), next(iter(pooled)))
    rows: list[dict[str, Any]] = []
    for name in pooled:
        for compared in names if name != reference else ():
            result = paired_difference(vectors[name][compared], vectors[reference][compared], metric(compared).better, seed)
            interval = result.interval
            if interval.n:
                rows.append(
                    {
                        "metric": compared,
                        "a": name,
                        "b": reference,
                        "difference": interval.mean,
                        "low": interval.low,
                        "high": interval.high,
                        "verdict": result.verdict,
                        "p": result.p_value,
                        "n": interval.n,
                        "note": interval.note,
                    }
                )
    for row, adjusted in zip(rows, holm([row["p"] for row in rows]), strict=True):
        row["p_holm"] = adjusted
        row["holds"] = row["verdict"] != "no evidence" and adjusted is not None and adjusted <= 1.0 - CONFIDENCE
    return rows


def _objective(
    objective: Mapping[str, Any], vectors: Mapping[str, Mapping[str, Sequence[float | None]]], seed: int
) -> dict[str, Any]:
    strategy, name = str(objective["strategy"]), str(objective["metric"])
    at_most, at_least = objective.get("at_most"), objective.get("at_least")
    metric(name)  # an unknown name is said before the verdict
    values = vectors.get(strategy, {}).get(name, [])
    judged = judge(values, seed, name, at_most, at_least)
    return {"strategy": strategy, "metric": name, "bound": bound_in_words(at_most, at_least), **judged}
