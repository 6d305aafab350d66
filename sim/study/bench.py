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
import resource
import time
from collections.abc import Generator
from pathlib import Path
from typing import Any

import numpy as np
import simpy

from sim.drive.config import Network as NetworkSettings
from sim.drive.timeline import LinkState, LinkTimeline
from sim.model.simulate import START_LEAD_S, START_SPREAD_S, Setting, complete, prepare
from sim.protocols.broker_presets import Broker
from sim.protocols.dns import DNS
from sim.protocols.server import Server
from sim.protocols.tls import TLS
from sim.strategies.backoff import Backoff
from sim.strategies.config import MQTTPersistent
from sim.strategies.workload import OTA, Workload
from sim.streams import Stream

SHARD = 100  # vehicles per Environment: uncoupled vehicles need not share a heap
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


def run_fleet(vehicles: int, duration_s: float, *, fold: bool = True) -> dict[str, float]:
    """Run the fleet in shards; returns CPU seconds of drive and model, counts of SimPy events, inputs and deliveries."""
    setting = fleet_setting()
    strategy = MQTTPersistent(address_watch="link_event", backoff=Backoff(policy="equal_jitter"))
    drive_s = model_s = 0.0
    events = handled = created = delivered = reconnects = 0
    for first in range(0, vehicles, SHARD):
        numbers = range(first, min(first + SHARD, vehicles))
        begun = time.process_time()
        timelines = [fleet_timeline(number, duration_s) for number in numbers]
        built = time.process_time()
        env = simpy.Environment(initial_time=-(START_LEAD_S + START_SPREAD_S) - 1.0)
        drivers = [
            prepare(env, setting, timeline, "mqtt_persistent", strategy, vehicle=number, fold=fold)
            for number, timeline in zip(numbers, timelines, strict=True)
        ]
        env.run(until=math.nextafter(duration_s, math.inf))
        for (driver, context), timeline in zip(drivers, timelines, strict=True):
            run = complete(driver, context, timeline, duration_s)
            events += run.simpy_events
            handled += run.handled
            created += len(run.outcomes)
            delivered += sum(outcome == "delivered" for outcome, _ in run.outcomes)
            reconnects += len(run.record.connections)
        drive_s += built - begun
        model_s += time.process_time() - built
    return {
        "drive_cpu_s": drive_s, "model_cpu_s": model_s, "simpy_events": events, "handled": handled, "created": created,
        "delivered": delivered, "attempts": reconnects,
    }  # fmt: skip


def ceiling_events_per_s(processes: int = 1000, events: int = 300_000) -> float:
    """Events per CPU-second of bare SimPy: `processes` generator processes that sleep (exponential-like spread of delays)."""
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


def _city(repeat: int) -> dict[str, float]:
    """The same figure for city_a_to_b: TCP, TLS and rates on, strategy 1, its own drives."""
    from sim.scenario.load import load
    from sim.study.run import drive_of, model_setting

    path = Path(__file__).resolve().parent.parent.parent / "scenarios" / "city_a_to_b.yaml"
    if not path.exists():
        return {}
    scenario = load(path)
    timelines = [drive_of(scenario, number) for number in range(repeat)]
    setting = model_setting(scenario)
    begun = time.process_time()
    from sim.model.simulate import simulate

    total_s = 0.0
    for number, timeline in enumerate(timelines):
        simulate(setting, timeline, "mqtt_persistent", MQTTPersistent(), replication=number)
        total_s += timeline.end_s
    return {"vehicle_seconds_per_cpu_s": total_s / (time.process_time() - begun), "drives": repeat}


def bench(vehicles: int = 100, hours: float = 1.0, *, fold: bool = True) -> dict[str, Any]:
    """Measure; see the module's docstring. Medians of three ceilings taken before, between and after."""
    gc.collect()
    before_kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    ceilings = [ceiling_events_per_s()]
    duration_s = hours * 3600.0
    fleet = run_fleet(vehicles, duration_s, fold=fold)
    ceilings.append(ceiling_events_per_s())
    city = _city(10)
    ceilings.append(ceiling_events_per_s())
    ceiling = sorted(ceilings)[1]
    vehicle_seconds = vehicles * duration_s
    rate = vehicle_seconds / fleet["model_cpu_s"]
    with_drive = vehicle_seconds / (fleet["model_cpu_s"] + fleet["drive_cpu_s"])
    to_share = REFERENCE_EVENTS_PER_VEHICLE_HOUR / 3600.0 / ceiling
    vehicle_hours = vehicles * hours
    found: dict[str, Any] = {
        "vehicles": vehicles,
        "hours": hours,
        "fold": fold,
        "vehicle_seconds_per_cpu_s": rate,
        "vehicle_seconds_per_cpu_s_with_drive": with_drive,
        "simpy_events_per_vehicle_hour": fleet["simpy_events"] / vehicle_hours,
        "inputs_per_vehicle_hour": fleet["handled"] / vehicle_hours,
        "attempts_per_vehicle_hour": fleet["attempts"] / vehicle_hours,
        "delivered_share": fleet["delivered"] / max(fleet["created"], 1),
        "bytes_per_vehicle": (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before_kib) * 1024 / vehicles,
        "simpy_ceiling_events_per_s": ceiling,
        "share_of_ceiling": rate * to_share,
        "share_of_ceiling_with_drive": with_drive * to_share,
        "python": f"{platform.python_implementation()} {platform.python_version()} ({platform.python_compiler()})",
    }
    if city:
        found["city_a_to_b_vehicle_seconds_per_cpu_s"] = city["vehicle_seconds_per_cpu_s"]
        found["city_a_to_b_share_of_ceiling"] = city["vehicle_seconds_per_cpu_s"] * to_share
    return found
