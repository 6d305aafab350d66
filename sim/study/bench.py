"""The lab's own benchmark: a fixed fleet workload through the real model, beside the bare SimPy ceiling on this machine.

Workload (docs/speed.md, "Fleet workload"): towers 1 km apart passed in 60 s +-20 %, each change ends the address for 0.05 to
0.45 s; a fifth of the connects is refused, backoff min(60, 2^n) s with equal jitter; a 4 KiB chunk every 5 s with QoS 1,
window 20, broker queue 100; keep alive 30 s; one-way delay 0.02 + 0.0008 max(0, -rsrp - 80) + Exp(0.01) s with
rsrp = -40 - 17.5 log10(900 + x^2), drawn anew each second. No TLS, no rates; all rates are per CPU-second of one core.
"""

from __future__ import annotations

import gc
import math
import platform
import statistics
import sysconfig
import time
import tracemalloc
from collections.abc import Callable, Generator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import simpy

from sim import compiled
from sim.drive.config import Network as NetworkSettings
from sim.drive.timeline import LinkState, LinkTimeline
from sim.model.load import Load
from sim.model.shared_nodes import SharedNodes
from sim.model.simulate import START_LEAD_S, START_SPREAD_S, Setting, collector_at_rest, prepare, run_until, simulate
from sim.protocols.broker_presets import Broker
from sim.protocols.dns import DNS
from sim.protocols.server import Server
from sim.protocols.tls import TLS
from sim.record.recorder import Recorder
from sim.server.timeline import NOTHING
from sim.strategies.backoff import Backoff
from sim.strategies.config import MQTTPersistent
from sim.strategies.workload import OTA, Workload
from sim.streams import Stream

GROUP = 100  # vehicles between two measurements of the ceiling
REFERENCE_EVENTS_PER_VEHICLE_HOUR = 2779  # of the workload without folding, in a prototype (docs/speed.md)
_SEED = 20261124


def fleet_timeline(vehicle: int, duration_s: float) -> LinkTimeline:
    """The drive of one vehicle of the workload: a row for each second and for each end and start of an address."""
    draws = Stream(_SEED, 0, vehicle, "bench/drive").uniforms(2 + 2 * math.ceil(duration_s / 40.0))
    x0 = 1000.0 * draws[0]
    speed = 1000.0 / 60.0 * (0.8 + 0.4 * draws[1])
    changes = (1000.0 * np.arange(1, int((x0 + speed * duration_s) / 1000.0) + 1) - x0) / speed
    gaps = 0.05 + 0.4 * draws[2 : 2 + len(changes)]
    seconds = np.arange(int(duration_s), dtype=float)
    starts = np.concatenate([seconds, changes, changes + gaps])
    order = np.argsort(starts, kind="stable")
    kinds = np.concatenate([np.zeros(len(seconds), np.int8), np.ones(len(changes), np.int8), np.full(len(changes), 2, np.int8)])[
        order
    ]
    starts = starts[order]
    keep = np.concatenate([[True], np.diff(starts) > 0.0])
    starts, kinds = starts[keep], kinds[keep]
    cell = np.cumsum(kinds == 1).astype(np.int32)
    gone = cell > np.cumsum(kinds == 2)
    x = (x0 + speed * starts) % 1000.0 - 500.0
    rsrp = -40.0 - 17.5 * np.log10(900.0 + x * x)
    noise = Stream(_SEED, 0, vehicle, "bench/rtt").uniforms(2 * len(starts)).reshape(-1, 2)
    rtt = 2.0 * (0.02 + 0.0008 * np.maximum(0.0, -rsrp - 80.0)) - 0.01 * np.log(noise).sum(axis=1)
    n = len(starts)
    unlimited = np.full(n, math.inf)
    return LinkTimeline(
        start_s=starts,
        cell=cell,
        gateway=np.zeros(n, np.int32),
        address=np.where(gone, -1, cell).astype(np.int32),
        link=np.where(gone, LinkState.LOST, LinkState.UP).astype(np.int8),
        rtt_s=rtt,
        downlink_bps=unlimited,
        uplink_bps=unlimited.copy(),
        x_m=x,
        y_m=np.zeros(n),
        rsrp_dbm=rsrp,
        cells=tuple(f"cell-{i}" for i in range(int(cell[-1]) + 1)),
        gateways=("gateway",),
        addresses=tuple(f"10.{i >> 8}.{i & 255}.1" for i in range(int(cell[-1]) + 1)),
        disruptions=(),
        end_s=duration_s,
    )


def fleet_setting() -> Setting:
    """Server and workload of the fleet."""
    server = Server(
        refuse_share=0.2,
        broker=Broker(preset="spec", inflight_limit=20, queue_limit=100),
        tls=TLS(profile="none"),
        dns=DNS(cached=True),
    )
    workload = Workload(ota=OTA(chunk_bytes=4096, image_bytes=2**40, every_s=5.0), probes=None)
    return Setting(server, NetworkSettings(access="public"), workload, 262_144, 0.0, _SEED, phases_fixed=False)


@dataclass(slots=True)
class Fleet:
    """What a run of the fleet took and did; CPU seconds of drives and model, vehicle-seconds per CPU-second by group."""

    vehicle_s: float = 0.0
    drive_cpu_s: float = 0.0
    model_cpu_s: float = 0.0
    rates: list[float] = field(default_factory=list)
    simpy_events: int = 0
    handled: int = 0
    attempts: int = 0
    created: int = 0
    delivered: int = 0


def fleet_strategy() -> MQTTPersistent:
    return MQTTPersistent(address_watch="link_event", backoff=Backoff(policy="equal_jitter"))


def run_fleet(
    vehicles: int, duration_s: float, *, fold: bool = True, between: Callable[[int], None] = lambda done: None
) -> Fleet:
    """Run the fleet, each vehicle as a study runs it: its drive, then its simulation in an environment of its own.

    `between(vehicles done)` is called after every GROUP of them and its time is not counted.
    """
    fleet = Fleet()
    setting, strategy = fleet_setting(), fleet_strategy()
    for first in range(0, vehicles, GROUP):
        group = range(first, min(first + GROUP, vehicles))
        spent = 0.0
        with collector_at_rest():  # as over the strategies on a drive
            for number in group:
                begun = time.process_time()
                timeline = fleet_timeline(number, duration_s)
                built = time.process_time()
                run = simulate(setting, timeline, "mqtt_persistent", strategy, vehicle=number, fold=fold)
                done = time.process_time()
                fleet.drive_cpu_s += built - begun
                spent += done - built
                fleet.simpy_events += run.simpy_events
                fleet.handled += run.handled
                fleet.attempts += len(run.record.connections)
                fleet.created += len(run.outcomes)
                fleet.delivered += sum(outcome == "delivered" for outcome, _ in run.outcomes)
        begun = time.process_time()
        gc.collect(0)  # what the collector has to do with them belongs to them
        spent += time.process_time() - begun
        fleet.vehicle_s += len(group) * duration_s
        fleet.model_cpu_s += spent
        fleet.rates.append(len(group) * duration_s / spent)
        between(group.stop)
    return fleet


def memory(vehicles: int = 20, duration_s: float = 3600.0) -> dict[str, float]:
    """Bytes a vehicle takes in the middle of its hour, by tracemalloc; of vehicles that share a node, for others run one by one.

    `state`: machines, network, transports, timers, draws. `records`: the messages to be created, which are also the rows
    of the message log, the rows of connections and states. In neither is the timeline, which is there before, nor the log
    of what the node did.
    """
    timelines = [fleet_timeline(number, duration_s) for number in range(vehicles)]
    setting, strategy = fleet_setting(), fleet_strategy()
    for timeline in timelines:
        timeline.rows()
    simulate(setting, timelines[0], "mqtt_persistent", strategy)  # whatever is made once
    nothing = Recorder()
    shared = SharedNodes(setting.server.nodes, NOTHING, 1.0, vehicles)
    gc.collect()
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    env = simpy.Environment(initial_time=-(START_LEAD_S + START_SPREAD_S) - 1.0)
    drivers = [
        prepare(env, setting, timeline, "mqtt_persistent", strategy, vehicle=number, shared=shared)
        for number, timeline in enumerate(timelines)
    ]
    run_until(env, 0.5 * duration_s)
    gc.collect()
    full = tracemalloc.get_traced_memory()[0]
    for driver, _ in drivers:
        driver.forget_records(nothing)
    shared.load = Load()
    gc.collect()
    state = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    return {"state": (state - before) / vehicles, "records": (full - state) / vehicles}


def left_behind(vehicles: int = 10, duration_s: float = 3600.0) -> float:
    """Bytes by which a vehicle that shares nothing raises the peak of those that run after it, its own records gone.

    By tracemalloc, with the same vehicle again and again, and with the collector at rest as in a study.
    """
    timeline = fleet_timeline(0, duration_s)
    setting, strategy = fleet_setting(), fleet_strategy()
    simulate(setting, timeline, "mqtt_persistent", strategy)  # whatever is made once
    gc.collect()
    peaks = []
    with collector_at_rest():
        tracemalloc.start()
        for _ in range(2):
            for _ in range(vehicles):
                simulate(setting, timeline, "mqtt_persistent", strategy)
            peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    return (peaks[1] - peaks[0]) / vehicles


def ceiling_events_per_s(processes: int = 1000, events: int = 300_000) -> float:
    """Events per CPU-second of bare SimPy: `processes` generator processes that sleep, each for a time of its own."""
    env = simpy.Environment()

    def sleeper(delay_s: float) -> Generator[Any, Any, None]:
        while True:
            yield env.timeout(delay_s)

    for i in range(processes):
        env.process(sleeper(1.0 + i / processes))
    until = 1.5 * events / processes
    begun = time.process_time()
    env.run(until=until)
    spent = time.process_time() - begun
    counted = sum(int(until / (1.0 + i / processes)) for i in range(processes))
    return counted / spent


def city(drives: int = 10) -> float | None:
    """Vehicle-seconds per CPU-second of city_a_to_b, strategy 1 with TCP, TLS and rates on; None where its file is missing."""
    from sim.scenario.load import load
    from sim.study.run import drive_of, model_setting

    path = Path(__file__).resolve().parents[2] / "scenarios" / "city_a_to_b.yaml"
    if not path.exists():
        return None
    scenario = load(path)
    setting = model_setting(scenario)
    timelines = [drive_of(scenario, number) for number in range(drives)]
    rates = []
    for _ in range(3):
        begun = time.process_time()
        for number, timeline in enumerate(timelines):
            simulate(setting, timeline, "mqtt_persistent", MQTTPersistent(), replication=number)
        rates.append(sum(timeline.end_s for timeline in timelines) / (time.process_time() - begun))
    return sorted(rates)[1]


def interpreter() -> str:
    """Implementation, version, compiler and whether it was built with profile-guided optimisation: that is worth a quarter."""
    guided = "--enable-optimizations" in (sysconfig.get_config_var("CONFIG_ARGS") or "")
    build = "with" if guided else "without"
    name = f"{platform.python_implementation()} {platform.python_version()}"
    return f"{name} ({platform.python_compiler()}), {build} profile-guided optimisation"


def bench(vehicles: int = 1000, hours: float = 1.0, *, fold: bool = True) -> dict[str, Any]:
    """Measure; see the module's docstring. The ceiling is the median of five, before, between and after the groups."""
    duration_s = hours * 3600.0
    run_fleet(2, min(duration_s, 600.0), fold=fold)  # imports and first calls
    ceilings = [ceiling_events_per_s()]

    def between(done: int) -> None:
        if done * 3 // vehicles > (done - GROUP) * 3 // vehicles:
            ceilings.append(ceiling_events_per_s())

    fleet = run_fleet(vehicles, duration_s, fold=fold, between=between)
    city_rate = city()
    while len(ceilings) < 5:
        ceilings.append(ceiling_events_per_s())
    ceiling = statistics.median(ceilings)
    rate = fleet.vehicle_s / fleet.model_cpu_s
    with_drive = fleet.vehicle_s / (fleet.model_cpu_s + fleet.drive_cpu_s)
    to_share = REFERENCE_EVENTS_PER_VEHICLE_HOUR / 3600.0 / ceiling
    vehicle_hours = vehicles * hours
    size = memory(min(vehicles, 20), duration_s)
    found: dict[str, Any] = {
        "vehicles": vehicles,
        "hours": hours,
        "fold": fold,
        "compiled": compiled.in_use(),
        "python": interpreter(),
        "vehicle_seconds_per_cpu_s": rate,
        "vehicle_seconds_per_cpu_s_with_drive": with_drive,
        "simpy_ceiling_events_per_s": ceiling,
        "share_of_ceiling": rate * to_share,
        "share_of_ceiling_with_drive": with_drive * to_share,
        "events_per_vehicle_hour": fleet.handled / vehicle_hours,
        "simpy_events_per_vehicle_hour": fleet.simpy_events / vehicle_hours,
        "attempts_per_vehicle_hour": fleet.attempts / vehicle_hours,
        "created": fleet.created,
        "delivered": fleet.delivered,
        "bytes_per_vehicle": size["state"],
        "bytes_per_vehicle_records": size["records"],
        "bytes_per_vehicle_left_behind": left_behind(duration_s=duration_s),
    }
    if vehicles >= 2 * GROUP:
        found["growth"] = rate / fleet.rates[0]
    if city_rate is not None:
        found["city_a_to_b_vehicle_seconds_per_cpu_s"] = city_rate
        found["city_a_to_b_share_of_ceiling"] = city_rate * to_share
    return found
