"""One vehicle, one strategy, one drive: build the machines, run them in SimPy, return the records."""

from __future__ import annotations

import gc
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import simpy

from sim.drive.config import Network as NetworkSettings
from sim.drive.timeline import LinkTimeline
from sim.model.driver import Driver
from sim.model.network import Network
from sim.protocols.mqtt_broker import MQTTBroker
from sim.protocols.server import Server
from sim.record.causes import UNATTRIBUTED
from sim.record.recorder import Recorder
from sim.strategies.build import build_machines
from sim.strategies.context import Context
from sim.strategies.data_centre import DataCentre
from sim.strategies.sources import creations
from sim.strategies.workload import Workload
from sim.streams import Stream

#: Before the drive begins the vehicle has been connected for this long at least, and up to START_SPREAD_S longer, so
#: that keep alive, polls and heartbeats stand at a random phase to the drive.
START_LEAD_S = 10.0
START_SPREAD_S = 60.0


class ModelError(RuntimeError):
    """The model broke one of its own laws (exit code 3)."""


@dataclass(frozen=True, slots=True)
class Setting:
    """What a run depends on beside the timeline: everything of a scenario that the model reads, but no scenario."""

    server: Server
    network: NetworkSettings
    workload: Workload
    queue_bytes: int
    drain_s: float
    seed: int
    phases_fixed: bool
    start_s: float | None = None  # when the machines start; None: before the drive, at a drawn instant


@dataclass(slots=True)
class VehicleRun:
    """The records of one vehicle's run and what the tables need beside them."""

    record: Recorder
    outcomes: list[tuple[str, str]]
    start_s: float
    end_s: float
    horizon_s: float
    radio_active_s: float
    current_address: str
    simpy_events: int
    handled: int


def make_context(setting: Setting, timeline: LinkTimeline, replication: int, vehicle: int) -> Context:
    """Names, phases and draws of one vehicle. The phases do not depend on the strategy."""
    streams: dict[str, Stream] = {}

    def stream(purpose: str) -> Stream:
        found = streams.get(purpose)
        if found is None:
            found = streams[purpose] = Stream(setting.seed, replication, vehicle, purpose)
        return found

    def phase(purpose: str) -> float:
        return 1.0 if setting.phases_fixed else Stream(setting.seed, replication, vehicle, "phase/" + purpose).uniform(0)

    def draw(purpose: str, index: int) -> float:
        return stream(purpose).uniform(index)

    if setting.start_s is not None:
        start_s = setting.start_s
    else:
        start_s = 0.0 if setting.phases_fixed else -(START_LEAD_S + START_SPREAD_S * phase("start"))
    first = int(timeline.address[0])
    return Context(
        vin=f"VIN{123 + vehicle}",
        server=setting.server,
        workload=setting.workload,
        phase=phase,
        draw=draw,
        start_s=start_s,
        drive_end_s=timeline.end_s,
        first_address=timeline.addresses[first] if first >= 0 else "",
        parked=timeline.parked,
    )


def prepare(
    env: simpy.Environment, setting: Setting, timeline: LinkTimeline, use: str, config: Any, *, user: Any = None,
    replication: int = 0, vehicle: int = 0, fold: bool = True, trace: bool = False, tick_phase: float | None = None,
) -> tuple[Driver, Context]:  # fmt: skip
    """Build one vehicle in `env` and start it. `tick_phase`: of the broker's tick, None: drawn as all phases are."""
    context = make_context(setting, timeline, replication, vehicle)
    record = Recorder(trace=trace)
    refuse: Callable[[int], float] | None = None
    if setting.server.refuse_share > 0.0:
        refuse = Stream(setting.seed, replication, vehicle, "refuse").uniform
    network = Network(timeline, setting.server, setting.network, record, queue_bytes=setting.queue_bytes, refuse=refuse)
    vehicle_machine, backend = build_machines(use, config, context, user)
    server = setting.server
    listeners = {(server.address, server.https_port)}
    if getattr(backend, "uses_broker", True):
        broker = MQTTBroker(server.broker.behaviour(), context.phase("broker_tick") if tick_phase is None else tick_phase)
        backend = DataCentre(backend, broker, server.mqtt_port)
        listeners.add((server.address, server.mqtt_port))
    probes = setting.workload.probes
    mean_gap_s = probes.mean_gap_s if probes is not None else math.inf

    def probe_gap(index: int) -> float:
        return -mean_gap_s * math.log(context.draw("probe", index))

    driver = Driver(
        env, network, (vehicle_machine, backend), creations(context, probe_gap), record,
        listeners=frozenset(listeners), vehicle_host=context.host, behind_nat=setting.network.access == "cgnat",
        horizon_s=timeline.end_s + setting.drain_s, fold=fold,
    )  # fmt: skip
    driver.start(context.start_s)
    return driver, context


def run_until(env: simpy.Environment, until_s: float) -> None:
    """Run `env` up to and with `until_s`.

    Python's cycle collector is paused meanwhile: running vehicles make no cycles that it could free, and it would look
    through everything they keep again and again (a twentieth of the time).
    """
    collecting = gc.isenabled()
    gc.disable()
    try:
        env.run(until=math.nextafter(until_s, math.inf))
    finally:
        if collecting:
            gc.enable()


def complete(driver: Driver, context: Context, timeline: LinkTimeline, horizon_s: float) -> VehicleRun:
    """Close the records of a vehicle after its environment has run.

    Raises:
        ModelError: a message was neither delivered nor held and no record says why.
    """
    driver.finish()
    record = driver.record
    outcomes = record.outcomes(driver.held())
    for message, (outcome, cause) in zip(record.messages, outcomes, strict=True):
        if cause == UNATTRIBUTED:
            raise ModelError(
                f"{message.kind} message {message.id} created at {message.created_s:.3f} s is {outcome} without a cause"
            )
    last = driver.network.link.address_at(horizon_s)
    return VehicleRun(
        record, outcomes, context.start_s, timeline.end_s, horizon_s, driver.network.radio_active_s,
        timeline.addresses[last] if last >= 0 else "", driver.events, driver.handled,
    )  # fmt: skip


def simulate(
    setting: Setting, timeline: LinkTimeline, use: str, config: Any, *, user: Any = None, replication: int = 0, vehicle: int = 0,
    fold: bool = True, trace: bool = False, tick_phase: float | None = None,
) -> VehicleRun:  # fmt: skip
    """Run one vehicle with one strategy over `timeline`, to the end of the drive and the drain after it."""
    horizon_s = timeline.end_s + setting.drain_s
    env = simpy.Environment(initial_time=-(START_LEAD_S + START_SPREAD_S) - 1.0)
    driver, context = prepare(
        env, setting, timeline, use, config, user=user, replication=replication, vehicle=vehicle, fold=fold, trace=trace,
        tick_phase=tick_phase,
    )  # fmt: skip
    run_until(env, horizon_s)
    return complete(driver, context, timeline, horizon_s)
