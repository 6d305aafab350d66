"""One strategy over one drive, live: the same machines as in the model, on sockets, against a real broker or our own.

In the vehicle's place there may be a program of the user's own (`LiveSetting.client`), which is then seen from outside.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sim.drive.config import Network
from sim.drive.timeline import LinkTimeline
from sim.live.as_driven import as_driven, in_words
from sim.live.brokers import RunningBroker, start_broker
from sim.live.brokers.haproxy import told
from sim.live.client_command import CommandRefused
from sim.live.client_host import Client, ClientHost, ProgramEnd
from sim.live.clock import Clock
from sim.live.codecs import Ports
from sim.live.host import Host
from sim.live.listening import listen, port_of
from sim.live.loopback import LOOPBACK, LoopbackLink
from sim.live.observed.observe import ClientSettings
from sim.live.played_faults import PlayedFaults
from sim.live.publisher import LastingPublisher
from sim.live.server_line import ServerLine
from sim.live.server_side import RedisPlace, ServerSide
from sim.live.strangers import Strangers
from sim.live.vehicle_log import VehicleLog, replay
from sim.machine import AddressChanged, IgnitionChanged, Message, MessageCreated
from sim.protocols.mqtt_broker import MQTTBroker
from sim.record.journal import VEHICLE, Journal
from sim.record.recorder import Recorder
from sim.server.timeline import NOTHING, ServerTimeline
from sim.strategies.backend import MQTTBackend
from sim.strategies.build import build_machines
from sim.strategies.config import DDNSHeartbeat
from sim.strategies.context import LAN, VEHICLE_PORT, Context
from sim.strategies.data_centre import DataCentre
from sim.strategies.sources import creations

if TYPE_CHECKING:  # TLS and the packet link need more; a run without them does not
    from sim.live.certificates import Certificates
    from sim.live.packet.door import Door
    from sim.live.packet_link import PacketLink
    from sim.live.tls_parties import Parties
    from sim.live.tls_relay import TLSRelay

LINKS = ("loopback", "packet")
SETTLE_S = 1.0  # for sockets and the server's own connection to stand before the vehicle starts


@dataclass(slots=True)
class LiveRun:
    """What a live run of one strategy leaves behind.

    `timeline` is the drive as it was, `notes` are sentences about what nobody planned. Of a user's own program `how_seen` says
    what its records mean, `settings` is what was seen of its settings, `program` how it ended.
    """

    record: Recorder
    held: list[Message]
    broker_version: str
    broker_is_ours: bool
    interrupted: bool
    timeline: LinkTimeline
    ended_s: float  # the horizon, or when it was interrupted: what would have come later is not part of the run
    store_version: str = ""  # "": in memory
    notes: list[str] = field(default_factory=list)
    congestion_control: str = ""  # of TCP, where the link has its own
    lateness: dict[str, dict[str, float]] = field(default_factory=dict)  # of the drivers' timers, of the link's packets
    how_seen: str = ""
    settings: ClientSettings | None = None
    program: ProgramEnd | None = None


class LiveFailed(RuntimeError):
    """The live run could not be made; one line."""


@dataclass(slots=True)
class LiveSetting:
    """What a live run needs of a scenario, beside timeline and strategy."""

    server: Any
    network: Network
    queue_bytes: int
    broker: str
    link: str
    horizon_s: float
    folder: Path
    certificates: Certificates | None = None  # new ones are made where none are given and TLS needs them
    redis: RedisPlace | None = None  # where the server side keeps registry and pending messages; None: in its memory
    together: asyncio.Barrier | None = None  # of the strategies that run side by side, passed when every broker stands
    client: Client | None = None  # a program that is run in the vehicle's place; the link has to be `packet`
    log: Callable[[datetime, float, str], None] = lambda _at, _now, _text: None  # the vehicle's log
    say: Callable[[str], None] = lambda _text: None  # to who started the run
    at: Callable[[float], None] = lambda _now: None  # told twice a second where on the drive it is
    happens: ServerTimeline = NOTHING  # to the broker's nodes and their store; killed and started for real
    starts_in_s: float = 0.0  # from the start of a node's process until it serves


async def live_strategy(
    setting: LiveSetting,
    timeline: LinkTimeline,
    context: Context,
    use: str,
    config: Any,
    *,
    user: Any = None,
    stop: asyncio.Event | None = None,
) -> LiveRun:
    """Run one strategy in real time, from context.start_s to the horizon or until `stop` is set.

    Raises:
        LiveFailed, BrokerUnavailable, StoreUnavailable, NamesUnavailable: what was asked for is not to be had here.
    """
    loop = asyncio.get_running_loop()
    record = Recorder(trace=True)
    journal = Journal(record, behind_nat=setting.network.access == "cgnat")
    client = setting.client
    vehicle, backend = build_machines(use, config, context, user) if client is None else (None, MQTTBackend(context))
    ports = Ports(setting.server, VEHICLE_PORT, context.host, getattr(config, "version", "3.1.1"))
    uses_broker = getattr(backend, "uses_broker", True)
    embedded = setting.broker == "embedded"
    machine: Any = backend
    if uses_broker and embedded:
        machine = DataCentre(
            backend, MQTTBroker(setting.server.broker.behaviour(), context.phase("broker_tick")), setting.server.mqtt_port
        )
    tls = _parties(setting, context.vin)
    publisher: LastingPublisher | None = None
    if setting.happens.changes and uses_broker and not embedded:
        machine = publisher = LastingPublisher(machine, setting.server.store.publisher_limit)
    # a broker may take seconds to start; the drive's clock runs from when it stands
    broker = await _standing(setting, wanted=uses_broker and not embedded)
    ports.login = broker.login if broker is not None else None
    clock = Clock(loop, context.start_s - SETTLE_S)
    try:
        link = _link(setting, timeline, clock)
        side = ServerSide(
            setting.server,
            machine,
            {context.vin: backend},
            clock,
            journal,
            connect=link.connect_from_server,
            codec_for=ports.of_server,
            secure=tls.server_opens if tls else None,
            host_of=context.host_of,
            name_ttl_s=getattr(config, "dns_ttl_s", DDNSHeartbeat().dns_ttl_s),
            address=link.address,
            redis=setting.redis,
        )
        link.use_names(side.sockets)
        packet = _packet(setting, link)
    except BaseException:
        if broker is not None:
            await broker.stop()
        raise
    strangers = Strangers(context.client_id, lambda end: packet is not None and end in packet.own_ends)
    server_host = side.host

    def log(now: float, text: str) -> None:
        setting.log(clock.wall(now), now, text)

    vehicle_host: Host | ClientHost
    if client is not None and packet is not None:
        vehicle_host = ClientHost(client, packet, clock, context.start_s)
    else:
        vehicle_host = Host(
            vehicle,
            VEHICLE,
            clock,
            journal,
            connect=link.connect_from_vehicle,
            resolve=link.resolve,
            codec_for=ports.of_vehicle,
            address=link.address,
            secure=tls.vehicle_opens if tls else None,
            log=VehicleLog(log, strangers),
        )
    door: Door | None = None
    relay: TLSRelay | None = None
    version = f"embedded, preset {setting.server.broker.preset}"
    line: ServerLine | None = None
    faults: PlayedFaults | None = None
    listeners: list[asyncio.Server] = []
    interrupted = False
    try:
        await link.start()
        if packet is not None:
            setting.say(f"the vehicle's network namespace is {packet.vehicle_namespace}, its interface {packet.interface}")
        await side.open()
        if broker is not None:
            version = broker.version
            # the server knows the nodes themselves
            node_ports = [node.port for node in broker.nodes] or [broker.port]
            wire = server_host.wire(0)
            try:
                async with asyncio.timeout(10.0):
                    await loop.create_connection(lambda: wire, broker.host, node_ports[0])
            except (OSError, TimeoutError) as error:
                raise LiveFailed(f"no connection to {broker.host}:{node_ports[0]}: {error or 'timed out'}") from None
            if publisher is not None:
                line = ServerLine(server_host, broker.host, node_ports)
                publisher.lost = line.lose
            server_host.adopt(LAN, wire)
            if packet is not None:
                door = await _open_door(packet, setting, tls, clock, broker)
            elif tls is None and broker.told_port is None:
                await link.serve(setting.server.mqtt_port, broker.host, broker.port)
            else:
                relay = _relay(tls, broker, link)
                await link.serve(setting.server.mqtt_port, LOOPBACK, await relay.start())
            faults = _faults(setting, broker, clock, link, log)
        elif uses_broker and packet is not None:
            listeners.append(await listen(server_host, setting.server.mqtt_port, None))
            ours = RunningBroker("embedded", LOOPBACK, port_of(listeners[-1]), "")
            door = await _open_door(packet, setting, tls, clock, ours)
        elif uses_broker:
            listeners.append(await listen(server_host, setting.server.mqtt_port, tls.server_accepts if tls else None))
            await link.serve(setting.server.mqtt_port, LOOPBACK, port_of(listeners[-1]))
        listeners.append(await listen(server_host, setting.server.https_port, tls.server_accepts if tls else None))
        await link.serve(setting.server.https_port, LOOPBACK, port_of(listeners[-1]))
        setting.say(f"{'http' if tls is None else 'https'}://{LOOPBACK}:{port_of(listeners[-1])}/api/v1/vehicles/{context.vin}")
        setting.say(side.said)
        if isinstance(vehicle_host, Host):
            listeners.append(await listen(vehicle_host, VEHICLE_PORT, tls.vehicle_accepts if tls else None))
            await link.serve_vehicle(VEHICLE_PORT, port_of(listeners[-1]))
        else:
            vehicle_host.prepare(broker.login if broker is not None else None)
        if door is not None and client is None:
            door.connected = strangers.connected
        if packet is not None:
            packet.address_by_hand = lambda address: vehicle_host.input(AddressChanged(address or None))

        _schedule(clock, timeline, context, vehicle_host, server_host, record, link)
        if faults is not None:
            faults.schedule(setting.happens)
        vehicle_host.start()
        server_host.start()
        interrupted = await _until(clock, setting, stop, vehicle_host, server_host)
    except CommandRefused as error:
        raise LiveFailed(str(error)) from None
    finally:
        end_s = min(clock.now(), setting.horizon_s)
        held = [message for m in (vehicle, machine) if m is not None and hasattr(m, "held") for message in m.held()]
        if faults is not None:
            await faults.stop()
        await vehicle_host.stop()
        await side.stop()
        if line is not None:
            await line.stop()
        if door is not None:
            door.stop()
        await link.stop()
        if relay is not None:
            relay.stop()
        for listener in listeners:
            listener.close()
        if broker is not None:
            await broker.stop()
    for host in (vehicle_host, server_host):
        if host.failure is not None:
            raise host.failure
    if isinstance(vehicle_host, Host):
        _mark_idle_ends(vehicle_host, link, end_s)
    run = LiveRun(record, held, version, embedded or not uses_broker, interrupted, timeline, end_s, side.store_version)
    run.lateness = {"timers": clock.late.summary()}
    played = faults.notes if faults is not None else []
    run.notes = list(played)
    if packet is not None:
        run.lateness["packets"] = packet.report.get("lateness", {})
        run.timeline = as_driven(timeline, packet.outages)
        run.notes = [*played, *in_words(packet.outages), *(stranger.in_words() for stranger in strangers.came)]
        run.congestion_control = packet.congestion_control
    if isinstance(vehicle_host, ClientHost) and door is not None:
        # our own broker's drops are on record; what else became of messages is attributed, as with any broker
        run.broker_is_ours, run.program = False, vehicle_host.end
        # in a thread: the strategies beside this one may not be through yet
        run.record, settings = await loop.run_in_executor(
            None, vehicle_host.observed, door.visits, setting.server, context, record, end_s
        )
        run.settings, run.how_seen = settings, vehicle_host.how_seen
        run.notes = [*vehicle_host.notes(settings, run.record.connections, door.visits), *run.notes]
        replay(run.record.connections, VehicleLog(log))
    return run


def _mark_idle_ends(vehicle: Host, link: LoopbackLink | PacketLink, end_s: float) -> None:
    """When the NAT forgot a connection of the vehicle on which nothing was sent, as in the model: the path beneath it died."""
    for end, row in vehicle.ends.items():
        at_s = link.idle_ends.get(end, math.inf)
        if at_s < (row.noticed_s if row.noticed_s == row.noticed_s else end_s):
            row.path_end_s = at_s


async def _standing(setting: LiveSetting, *, wanted: bool) -> RunningBroker | None:
    """The broker, once it stands, and so do those of the strategies beside this one: their start would slow this one down."""
    broker: RunningBroker | None = None
    try:
        if wanted:
            broker = await start_broker(setting.broker, setting.folder, setting.server)
        if setting.together is not None:
            await setting.together.wait()
    except BaseException as error:
        if broker is not None:
            await broker.stop()
        if isinstance(error, asyncio.BrokenBarrierError):
            raise LiveFailed("the broker of another strategy could not be started") from None
        if setting.together is not None:
            await setting.together.abort()
        raise
    return broker


def _link(setting: LiveSetting, timeline: LinkTimeline, clock: Clock) -> LoopbackLink | PacketLink:
    """The link that was asked for. Raises LiveFailed where it cannot be had."""
    if setting.link == "loopback":
        return LoopbackLink(
            timeline, setting.server, setting.network.access, clock, queue_bytes=setting.queue_bytes, cgnat=setting.network.cgnat
        )
    if setting.link != "packet":
        raise LiveFailed(f"no link {setting.link!r}, known: {', '.join(LINKS)}")
    from sim.live.packet_link import PacketLink

    missing = PacketLink.missing()
    if missing is not None:
        raise LiveFailed(f"the packet link cannot be made here: {missing}")
    network = setting.network
    return PacketLink(
        timeline,
        setting.server,
        network.access,
        clock,
        queue_bytes=setting.queue_bytes,
        reassignment=network.reassignment,
        cgnat=network.cgnat,
        capture=setting.client.capture if setting.client is not None else None,
    )


def _packet(setting: LiveSetting, link: LoopbackLink | PacketLink) -> PacketLink | None:
    """The link, where it is one of packets. Raises LiveFailed where a client needs one."""
    if isinstance(link, LoopbackLink):
        if setting.client is not None:
            raise LiveFailed("a client of your own runs on the packet link alone: --link packet")
        return None
    return link


async def _open_door(link: PacketLink, setting: LiveSetting, tls: Parties | None, clock: Clock, broker: RunningBroker) -> Door:
    """Let the vehicle's connections to the MQTT port through to the broker, with TLS ended and MQTT looked at."""
    from sim.live.packet.door import Door

    port, first = _way_in(broker, link)
    secure = tls.broker_accepts if tls else None
    door = Door(clock, broker.host, port, secure, whole=setting.client is not None, first=first)
    await link.serve_through(setting.server.mqtt_port, door.accept)
    return door


def _parties(setting: LiveSetting, vin: str) -> Parties | None:
    if setting.server.tls.profile == "none":
        return None
    from sim.live.tls_context import TLSUnavailable
    from sim.live.tls_parties import certificates_for, parties

    try:
        return parties(setting.server, vin, setting.certificates or certificates_for(setting.server, [vin]))
    except TLSUnavailable as error:
        raise LiveFailed(str(error)) from None


def _relay(tls: Parties | None, broker: RunningBroker, link: LoopbackLink | PacketLink) -> TLSRelay:
    from sim.live.tls_relay import TLSRelay

    port, first = _way_in(broker, link)
    return TLSRelay(tls.server if tls is not None else None, broker.host, port, first=first)


def _way_in(broker: RunningBroker, link: LoopbackLink | PacketLink) -> tuple[int, Callable[[], bytes] | None]:
    """The port for the vehicle's connections, and what is said first: to a balancer, the vehicle's address."""
    port = broker.told_port
    if port is None:
        return broker.port, None
    return port, lambda: told(link.address() or LOOPBACK, port)


def _faults(
    setting: LiveSetting, broker: RunningBroker, clock: Clock, link: LoopbackLink | PacketLink,
    log: Callable[[float, str], None],
) -> PlayedFaults | None:  # fmt: skip
    """What plays the faults of the broker; None where none happen."""
    if not setting.happens.changes:
        return None
    port = setting.server.mqtt_port

    def away(is_away: bool) -> None:
        if is_away:
            link.refuse(port)
        else:
            link.admit(port)

    return PlayedFaults(broker, clock, setting.server.nodes.names, starts_in_s=setting.starts_in_s, away=away, log=log)


def _schedule(
    clock: Clock, timeline: LinkTimeline, context: Context, vehicle: Host | ClientHost, server: Host, record: Recorder,
    link: LoopbackLink | PacketLink,
) -> None:  # fmt: skip
    """Creations and changes of the address, at the instants at which the model has them too."""

    def told(address: str | None) -> None:
        if not link.detached:
            vehicle.input(AddressChanged(address))

    probes = context.workload.probes
    mean_gap_s = probes.mean_gap_s if probes is not None else math.inf
    messages = creations(context, lambda index: -mean_gap_s * math.log(context.draw("probe", index)))
    if isinstance(vehicle, ClientHost):
        messages = [message for message in messages if not message.uplink]  # a program has messages of its own
    record.expect(messages)
    for message in messages:
        clock.at(message.created_s, (vehicle if message.uplink else server).input, MessageCreated(message))
    before: str | None = ""
    for at, index in zip(timeline.start_s.tolist(), timeline.address.tolist(), strict=True):
        address = timeline.addresses[index] if index >= 0 else None
        if address != before:
            clock.at(at if at > 0.0 else context.start_s - SETTLE_S, told, address)
            before = address
    for off_s, on_s in timeline.parked:
        clock.at(off_s, vehicle.input, IgnitionChanged(False))
        if on_s < math.inf:
            clock.at(on_s, vehicle.input, IgnitionChanged(True))


async def _until(
    clock: Clock, setting: LiveSetting, stop: asyncio.Event | None, vehicle: Host | ClientHost, server: Host
) -> bool:
    """Wait for the horizon, or the end of a client of the user's own; True where it was cut short.

    It looks ten times a second, and how late it comes to that counts as lateness: a run may have few timers of its own.
    """
    shown_s = -math.inf
    while (now := clock.now()) < setting.horizon_s:
        if now - shown_s >= 0.5:
            setting.at(now)
            shown_s = now
        if vehicle.failure is not None or server.failure is not None:
            return True
        if isinstance(vehicle, ClientHost) and vehicle.over:
            return False
        if stop is not None and stop.is_set():
            return True
        wait_s = min(0.1, max(0.01, setting.horizon_s - now))
        if stop is None:
            await asyncio.sleep(wait_s)
        else:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), wait_s)
        clock.late.add(max(0.0, clock.now() - now - wait_s))
    return False
