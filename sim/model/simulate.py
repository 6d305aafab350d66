"""One vehicle, one strategy, one drive: build the machines, run them in SimPy, return the records."""

from __future__ import annotations

import functools
import gc
import heapq
import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import simpy

from sim.drive.config import Network as NetworkSettings
from sim.drive.timeline import LinkTimeline
from sim.model.driver import Driver
from sim.model.failing_api import FailingAPI
from sim.model.fleet_driver import FleetDriver
from sim.model.fleet_network import FleetNetwork
from sim.model.network import Network
from sim.model.server_side import ServerSide
from sim.model.shared_cells import SharedCells
from sim.model.shared_nodes import SharedNodes
from sim.protocols.broker_limits import NO_LIMITS, BrokerLimits
from sim.protocols.mqtt_broker import MQTTBroker
from sim.protocols.server import Server
from sim.protocols.session_store import SessionStore
from sim.record.causes import UNATTRIBUTED
from sim.record.recorder import Recorder
from sim.server.timeline import NOTHING, Change, ServerTimeline
from sim.strategies.build import build_machines
from sim.strategies.cluster import Cluster
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
    happens: ServerTimeline = NOTHING, shared: SharedNodes | None = None, offset_s: float = 0.0,
    cells: SharedCells | None = None,
) -> tuple[Driver, Context]:  # fmt: skip
    """Build one vehicle in `env` and start it. `tick_phase`: of the broker's tick, None: drawn as all phases are.

    `happens`: to the server side, on the vehicle's clock. `shared`: the nodes, where it shares them; its clock shows 0 when that
    of `env` shows `offset_s`. `cells`: those that it shares; then whatever it sends touches them, and nothing is run ahead.
    """
    context = make_context(setting, timeline, replication, vehicle)
    record = Recorder(trace=trace)
    refuse: Callable[[int], float] | None = None
    if setting.server.refuse_share > 0.0:
        refuse = Stream(setting.seed, replication, vehicle, "refuse").uniform
    server = setting.server
    side: ServerSide | None = None
    if happens is not NOTHING or len(server.nodes.names) > 1 or shared is not None:
        draws = [Stream(setting.seed, replication, vehicle, purpose).uniform for purpose in ("server/node", "server/api")]
        side = ServerSide(server, happens, *draws)
    shares = shared is not None or cells is not None
    network = (FleetNetwork if shares else Network)(
        timeline, server, setting.network, record, queue_bytes=setting.queue_bytes, refuse=refuse, side=side,
        shared=shared, offset_s=offset_s, cells=cells,
    )  # fmt: skip
    vehicle_machine, backend = build_machines(use, config, context, user)
    uses_broker = bool(getattr(backend, "uses_broker", True))
    if uses_broker:
        limits = NO_LIMITS
        if server.nodes.memory_bytes is not None:
            clients = server.nodes.others + 1 if shared is None else shared.clients
            limits = BrokerLimits(stored_bytes=int(server.nodes.memory_bytes // clients))
        phase = context.phase("broker_tick") if tick_phase is None else tick_phase
        broker = MQTTBroker(server.broker.behaviour(), phase, limits)
        if side is None:
            backend = DataCentre(backend, broker, server.mqtt_port)
        else:
            store = SessionStore(server.session_store(), len(server.nodes.names), broker)
            backend = Cluster(backend, broker, server.mqtt_port, store)
    told = _told(happens, backend)
    failing = tuple(span for span in happens.api_errors if not span.how)
    if failing:
        backend = FailingAPI(backend, failing, Stream(setting.seed, replication, vehicle, "server/request").uniform)
    probes = setting.workload.probes
    mean_gap_s = probes.mean_gap_s if probes is not None else math.inf

    def probe_gap(index: int) -> float:
        return -mean_gap_s * math.log(context.draw("probe", index))

    driver = (FleetDriver if shares else Driver)(
        env, network, (vehicle_machine, backend), creations(context, probe_gap), record,
        listeners=_listeners(server.address, server.https_port, server.mqtt_port if uses_broker else -1),
        vehicle_host=context.host, behind_nat=setting.network.access == "cgnat",
        horizon_s=timeline.end_s + setting.drain_s, fold=fold and cells is None, server_changes=told,
        rank=vehicle,
    )  # fmt: skip
    driver.start(context.start_s)
    return driver, context


@functools.cache
def _listeners(address: str, https_port: int, mqtt_port: int) -> frozenset[tuple[str, int]]:
    """Where the server listens: one object for all the vehicles of a fleet."""
    return frozenset((address, port) for port in (https_port, mqtt_port) if port >= 0)


def _told(happens: ServerTimeline, server: Any) -> tuple[tuple[float, Change, int], ...]:
    """What a server's machine is told: of nodes and store only where it has some."""
    if isinstance(server, Cluster):
        return happens.changes
    return tuple(change for change in happens.changes if change[1] is Change.BALANCER_CHANGED)


@contextmanager
def collector_at_rest() -> Iterator[None]:
    """Pause Python's cycle collector.

    Vehicles that are built or run make no cycles that it could free, and those that are done drop theirs (`Driver.let_go`); it
    would look through everything they keep again and again (a tenth of the time).
    """
    collecting = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if collecting:
            gc.enable()


def run_until(env: simpy.Environment, until_s: float) -> None:
    """Run `env` up to and with `until_s`."""
    # the instant itself, not a delay: env.run(until=number) adds one to now, and rounding may stop before what is due then
    stop: Any = env.event()
    stop._ok, stop._value = True, None
    queue: Any = env
    heapq.heappush(queue._queue, (math.nextafter(until_s, math.inf), 0, next(queue._eid), stop))
    with collector_at_rest():
        env.run(until=stop)


def complete(driver: Driver, context: Context, timeline: LinkTimeline, horizon_s: float) -> VehicleRun:
    """Close the records of a vehicle after its environment has run.

    Raises:
        ModelError: a message was neither delivered nor held and no record says why.
    """
    driver.finish()
    record = driver.record
    outcomes = record.outcomes(driver.held())
    driver.let_go()
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
    fold: bool = True, trace: bool = False, tick_phase: float | None = None, happens: ServerTimeline = NOTHING,
) -> VehicleRun:  # fmt: skip
    """Run one vehicle with one strategy over `timeline`, to the end of the drive and the drain after it.

    `happens`: to the server side meanwhile.
    """
    horizon_s = timeline.end_s + setting.drain_s
    with collector_at_rest():
        env = simpy.Environment(initial_time=-(START_LEAD_S + START_SPREAD_S) - 1.0)
        driver, context = prepare(
            env, setting, timeline, use, config, user=user, replication=replication, vehicle=vehicle, fold=fold, trace=trace,
            tick_phase=tick_phase, happens=happens,
        )  # fmt: skip
        run_until(env, horizon_s)
        done = complete(driver, context, timeline, horizon_s)
        queue: Any = env
        queue._queue.clear()  # of what would have come later; it refers to the driver
        return done
