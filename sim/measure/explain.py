"""Explain one message: the causal chain behind its fate, in words with instants."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import polars as pl

from sim.measure.attempt_history import attempts_of
from sim.measure.drive_path import DrivePath, Event
from sim.measure.fleet import EVERY_VEHICLE
from sim.measure.idle_ends import idle_ends, idle_kind
from sim.measure.message_chain import chain
from sim.measure.session_chain import session_spans
from sim.record.read import Run, read_run


class ExplainError(Exception):
    """There is no such message, strategy or drive. The text is one line and says what there is."""


def explain(
    run: str | Path | Run,
    message: str | int,
    strategy: str | None = None,
    replication: int | None = None,
    vehicle: int | None = None,
) -> str:
    """The chain of one message as text, a section a strategy.

    `message` is an id ("12") or a kind and its number in the order of creation, from 1 ("ota:3" is the third chunk).
    Without `strategy` all of them are shown one below the other, for the same drive; `replication` and `vehicle` are the
    first ones where not given. Of a fleet the vehicles can be asked for whose timeline is kept. Raises ExplainError, and
    RunFolderError where `run` is not a run's folder.
    """
    records = run if isinstance(run, Run) else read_run(run)
    names = [str(entry["name"]) for entry in records.manifest["strategies"]]
    if strategy is not None and strategy not in names:
        raise ExplainError(f"this run has no strategy {strategy}; it has {', '.join(names)}")
    fleet = records.manifest.get("fleet") is not None
    ran = records.vehicles.select("strategy", "replication", "vehicle")
    if fleet:  # of the others no timeline is kept
        ran = ran.join(records.timeline.select("replication", "vehicle").unique(), on=["replication", "vehicle"], how="semi")
        ran = ran if strategy is None else ran.filter(pl.col("strategy") == strategy)
    drives = ran.select("replication", "vehicle").unique().sort("replication", "vehicle").rows()
    replication = drives[0][0] if replication is None and drives else replication
    vehicle = next((number for drive, number in drives if drive == replication), 0) if vehicle is None else vehicle
    if fleet and (replication, vehicle) not in drives:
        kept = sorted({number for drive, number in drives if drive == replication})
        what = f"those of {strategy}" if strategy is not None else "those"
        which = ", ".join(map(str, kept)) or "none"
        raise ExplainError(f"of a fleet {what} are explained whose timeline is kept, in replication {replication}: {which}")
    if (replication, vehicle) not in drives:
        most = max((drive for drive, _ in drives), default=-1)
        raise ExplainError(f"this run has no vehicle {vehicle} in drive {replication}; drives run from 0 to {most}")
    mine = (pl.col("replication") == replication) & (pl.col("vehicle") == vehicle)
    if fleet:  # in a mix each vehicle has one strategy
        here = ran.filter(mine)["strategy"].to_list()
        names = [name for name in names if name in here]
    sections = []
    for name in names if strategy is None else [strategy]:
        one = mine & (pl.col("strategy") == name)
        row = _find(records.messages.filter(one).sort("created_s", "message"), str(message), name)
        sections.append(_section(records, row, one, mine))
    return "\n\n".join(sections) + "\n"


def _find(messages: pl.DataFrame, wanted: str, strategy: str) -> dict[str, Any]:
    kind, separator, number = wanted.strip().rpartition(":")
    if number.isascii() and number.isdigit():
        if not separator:
            found = messages.filter(pl.col("message") == int(number))
        else:
            found = messages.filter(pl.col("kind") == kind).slice(int(number) - 1, 1) if int(number) > 0 else messages.clear()
        if found.height:
            return found.row(0, named=True)
    raise ExplainError(f"{strategy} has no message {wanted}; it has {_what_exists(messages)}")


def _what_exists(messages: pl.DataFrame) -> str:
    if not messages.height:
        return "none"
    counted = messages.group_by("kind").len().sort("kind")
    kinds = ", ".join(f"{kind}:1 to {kind}:{count}" for kind, count in counted.iter_rows())
    ids = messages["message"].sort()
    return f"ids {ids[0]} to {ids[-1]}, or {kinds}"


def _section(run: Run, row: dict[str, Any], one: pl.Expr, mine: pl.Expr) -> str:
    disruptions = _disruptions(run, one, mine)
    events = [Event(*event) for event in disruptions.select("kind", "start_s", "end_s", "before", "after").iter_rows()]
    attempts = attempts_of(run.connections.filter(one))
    timeline = run.timeline.filter(mine).sort("start_s")
    events += idle_ends(idle_kind(run.manifest), attempts, DrivePath(timeline), events)
    horizon_s = float(run.vehicles.filter(one)["horizon_s"][0])
    trace = None if run.trace is None else run.trace.filter(one)
    states = run.states.filter(one)
    entry = next(entry for entry in run.manifest["strategies"] if entry["name"] == row["strategy"])
    spans = session_spans(
        states,
        run.connections.filter(one),
        run.messages.filter(one),
        timeline,
        run.manifest.get("presets", []),
        entry.get("config", {}),
        _old_path(run.manifest),
    )
    steps = chain(row, attempts, events, states, trace, spans, horizon_s)
    head = (
        f"{row['strategy']}: message {row['message']} ({row['kind']}, {row['size_bytes']} bytes, QoS {row['qos']})"
        f" of vehicle {row['vehicle']} in drive {row['replication']}: {_fate(row)}"
    )
    if run.manifest.get("fleet") is not None:
        starts_s = float(run.vehicles.filter(one)["starts_s"][0])
        head += f"\n  (instants are of the vehicle's own clock; it set out at {starts_s:.3f} s of the fleet's)"
    return "\n".join([head, *(f"  {time_s:10.3f} s  {text}" for time_s, text in steps)])


def _disruptions(run: Run, one: pl.Expr, mine: pl.Expr) -> pl.DataFrame:
    """What happened to the vehicle, and to all of its fleet, on the vehicle's clock."""
    found = run.disruptions.filter(mine)
    if run.manifest.get("fleet") is not None:
        vehicle = run.vehicles.filter(one)
        starts_s = float(vehicle["starts_s"][0])
        everybody = (pl.col("vehicle") == EVERY_VEHICLE) & (pl.col("replication") == vehicle["replication"][0])
        happened = run.disruptions.filter(everybody).with_columns(pl.col("start_s", "end_s") - starts_s)
        found = pl.concat([found, happened.filter((pl.col("end_s") >= 0.0) & (pl.col("start_s") <= vehicle["horizon_s"][0]))])
    return found.sort("start_s")


def _fate(row: dict[str, Any]) -> str:
    if row["outcome"] == "delivered":
        text = f"delivered after {row['delivered_s'] - row['created_s']:.3f} s"
        return text + (f", {row['arrivals']} times" if row["arrivals"] > 1 else "") + (", late" if row["late"] else "")
    return f"lost ({row['cause']})" if row["outcome"] == "lost" else "pending"


def _old_path(manifest: Mapping[str, Any]) -> str:
    """What packets to an address that the vehicle has left meet; the default where the manifest does not say it."""
    drive = manifest.get("settings", {}).get("drive", {})
    return str(drive.get("network", {}).get("reassignment", {}).get("old_path", "black_hole"))
