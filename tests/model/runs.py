"""Short runs of the model on drives given row by row: what tests ask of `simulate`."""

import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from sim.drive.config import Network
from sim.drive.timeline import LinkState, LinkTimeline
from sim.model.simulate import Setting, VehicleRun, simulate
from sim.protocols.broker_presets import Broker
from sim.protocols.dns import DNS
from sim.protocols.server import Server
from sim.protocols.tcp import TCP
from sim.protocols.tls import TLS
from sim.record.recorder import Connection
from sim.strategies.config import MQTTPersistent
from sim.strategies.workload import OTA, Telemetry, Workload

RTT_S = 0.0005  # a veth pair between two namespaces, as in the measurements that docs/sources.md reports
NEVER = math.inf


@dataclass(frozen=True)
class Row:
    """The link from `at_s` on. `address` is an index, -1: none."""

    at_s: float
    address: int = 0
    link: LinkState = LinkState.UP
    rtt_s: float = RTT_S
    down_bps: float = NEVER
    up_bps: float = NEVER


def drive(*rows: Row, end_s: float) -> LinkTimeline:
    """A timeline of these rows; a row without an address is lost."""
    n = len(rows)
    floats = {name: np.array([getattr(row, name) for row in rows], float) for name in ("at_s", "rtt_s", "down_bps", "up_bps")}
    addresses = np.array([row.address for row in rows], np.int32)
    return LinkTimeline(
        start_s=floats["at_s"],
        cell=np.zeros(n, np.int32),
        gateway=np.zeros(n, np.int32),
        address=addresses,
        link=np.array([LinkState.LOST if row.address < 0 else row.link for row in rows], np.int8),
        rtt_s=floats["rtt_s"],
        downlink_bps=floats["down_bps"],
        uplink_bps=floats["up_bps"],
        x_m=np.full(n, np.nan),
        y_m=np.full(n, np.nan),
        rsrp_dbm=np.full(n, np.nan),
        cells=("cell",),
        gateways=("gateway",),
        addresses=tuple(f"10.{i + 1}.1.100" for i in range(max(1, int(addresses.max()) + 1))),
        disruptions=(),
        end_s=end_s,
    )


def black_hole(at_s: float, end_s: float) -> LinkTimeline:
    """The path dies at `at_s` without a word and never comes back; the interface keeps its address."""
    return drive(Row(0.0), Row(at_s, 0, LinkState.LOST), end_s=end_s)


def reassigned(at_s: float, end_s: float, *, without_s: float = 0.0, **link: float) -> LinkTimeline:
    """The address changes at `at_s`, with a time without any where `without_s` is given; packets of the old one are lost."""
    rows = [Row(0.0, **link), Row(at_s, -1, **link), Row(at_s + without_s, 1, **link)]
    return drive(*(rows if without_s else (rows[0], rows[2])), end_s=end_s)


PLAIN = Server(tls=TLS(profile="none"), dns=DNS(cached=True), tcp=TCP(), broker=Broker(preset="spec"))
NOTHING_TO_SEND = Workload(ota=None, diagnostics=None, telemetry=None, probes=None)


def chunks(*at_s: float, size: int = 4096, qos: int = 1) -> Workload:
    """Firmware chunks at these instants and nothing else."""
    return replace(NOTHING_TO_SEND, ota=OTA(chunk_bytes=size, at_s=at_s, qos=qos))


def telemetry(every_s: float, *, size: int = 100, qos: int = 1) -> Workload:
    """Telemetry each `every_s`, first at `every_s` where phases are fixed, and nothing else."""
    return replace(NOTHING_TO_SEND, telemetry=Telemetry(every_s=every_s, size_bytes=size, qos=qos))


def run(
    timeline: LinkTimeline,
    config: Any = None,
    workload: Workload = NOTHING_TO_SEND,
    *,
    use: str = "mqtt_persistent",
    server: Server = PLAIN,
    access: str = "public",
    drain_s: float = 0.0,
    queue_bytes: int = 262_144,
    network: Network | None = None,
    seed: int = 1,
    phases_fixed: bool = True,
    trace: bool = True,
    fold: bool = True,
) -> VehicleRun:
    """Run one vehicle. Phases are fixed, so that everything starts at 0 s, and a vehicle knows the server's name."""
    setting = Setting(server, network or Network(access=access), workload, queue_bytes, drain_s, seed, phases_fixed=phases_fixed)
    return simulate(setting, timeline, use, config or MQTTPersistent(), fold=fold, trace=trace)


def attempts(run: VehicleRun, purpose: str = "mqtt") -> list[Connection]:
    return [row for row in run.record.connections if row.purpose == purpose]


def traced(run: VehicleRun, source: str, kind: str, detail: str = "") -> list[float]:
    """Instants of trace rows of `source` (vehicle, server) and `kind` whose detail begins with `detail`."""
    return [
        t
        for t, who, what, _transport, _message, text in run.record.trace
        if (who, what) == (source, kind) and text.startswith(detail)
    ]


def delivered(run: VehicleRun) -> list[float]:
    """Instants of delivery in the order of creation; nan where never."""
    return list(run.record.delivered)


def lost(run: VehicleRun) -> dict[str, int]:
    """Cause -> number of messages lost by it."""
    found: dict[str, int] = {}
    for outcome, cause in run.outcomes:
        if outcome == "lost":
            found[cause] = found.get(cause, 0) + 1
    return found
