"""Settings of a drive: what the vehicle meets on the road, whatever it sends.

Nothing here depends on the strategy or its traffic, so a drive is computed once and replayed for every strategy.
Sources named `real-world` are the figures collected in docs/sources.md, section "Radio, core network and addresses".
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from sim.settings import setting

LinkStateName = Literal["up", "held", "lost"]
ReassignmentMode = Literal["gateway_change", "every_handover", "never"]
OldPath = Literal["black_hole", "reset", "icmp"]
Access = Literal["cgnat", "private_apn", "public"]
Ignition = Literal["on", "off"]
PathLoss = Literal["uma", "umi", "rma"]


@dataclass(frozen=True, slots=True)
class Waypoint:
    """A point of the route; the vehicle drives in a straight line to it from the one before."""

    at_m: tuple[float, float] = setting(doc="position east and north of the origin")
    speed_mps: float | None = setting(None, "speed on the way to this point; the one before it where not given", above=0.0)
    stop_s: float = setting(0.0, "how long the vehicle stands at this point", at_least=0.0)
    ignition: Ignition = setting("on", "off: the vehicle is parked here, for as long as it stands")
    indoor_loss_db: float = setting(
        0.0,
        "what walls and floors take of the signal while it is parked here",
        "real-world 2.3: ground floor 15 dB, sd 3.5; each basement level 15 to 20 dB more (assumed)",
        at_least=0.0,
    )


@dataclass(frozen=True, slots=True)
class Tower:
    """One cell site with one cell (Simplification: one sector a site)."""

    id: str = setting(doc="name of the cell, as shown in plots")
    at_m: tuple[float, float] = setting(doc="position east and north of the origin")
    gateway: str = setting(doc="gateway (PGW/UPF anchor) that the tower prefers")
    power_dbm: float = setting(46.0, "transmit power", "real-world 3: radio budget", at_most=80.0)
    frequency_hz: float | None = setting(None, "carrier frequency where it differs from radio.frequency", above=0.0)


@dataclass(frozen=True, slots=True)
class ScriptStep:
    """State of the link from `at` on; what is not given stays as it was in the step before."""

    at_s: float = setting(doc="instant from which the step holds", at_least=0.0)
    link: LinkStateName | None = setting(None, "up; held: packets wait; lost: packets are lost")
    cell: str | None = setting(None, "serving cell")
    gateway: str | None = setting(None, "gateway (PGW/UPF anchor)")
    rtt_s: float | None = setting(None, "round-trip time between vehicle and server", at_least=0.0)
    downlink_bps: float | None = setting(None, "rate to the vehicle", above=0.0)
    uplink_bps: float | None = setting(None, "rate from the vehicle", above=0.0)
    ignition: Ignition | None = setting(None, "off: the vehicle is parked from here on")
    cause: str = setting("", "why, as shown in plots")


@dataclass(frozen=True, slots=True)
class Script:
    """A drive given second by second."""

    steps: tuple[ScriptStep, ...] = setting(doc="steps in the order of time; the first one at 0 s")
    duration_s: float = setting(doc="length of the drive", above=0.0)


@dataclass(frozen=True, slots=True)
class RecordedColumns:
    """Names of the columns in the log; `null` where the log has none. Units are those of the column's own name in the docs."""

    time: str = setting("t_s", "time in seconds, in rising order")
    latitude: str | None = setting(None, "degrees")
    longitude: str | None = setting(None, "degrees")
    cell: str | None = setting(None, "cell identity, any text")
    rat: str | None = setting(None, "radio access technology, any text")
    operator: str | None = setting(None, "operator, any text")
    address: str | None = setting(None, "IP address of the vehicle")
    attached: str | None = setting(None, "1/0, true/false: whether the vehicle is registered")
    ignition: str | None = setting(
        None, "1/0, true/false: whether the ignition is on; what the log leaves out while off is parking"
    )
    rsrp: str | None = setting(None, "dBm")
    rtt: str | None = setting(None, "round-trip time in ms")
    downlink: str | None = setting(None, "kbit/s")
    uplink: str | None = setting(None, "kbit/s")


@dataclass(frozen=True, slots=True)
class Recorded:
    """A real drive log (CSV with a header line)."""

    file: str = setting(doc="path, relative to the scenario file")
    columns: RecordedColumns = setting(factory=RecordedColumns, doc="which column of the log holds what")
    gap_s: float = setting(5.0, "a longer hole in the log is a gap: no coverage is assumed in it", "our choice", above=0.0)
    rtt_floor_window_s: float = setting(
        60.0, "the RTT's floor is its minimum over this time before", "design: queueing is not counted twice", above=0.0
    )
    from_s: float = setting(0.0, "start of the part of the log that is driven", at_least=0.0)
    until_s: float | None = setting(None, "end of the part of the log that is driven", above=0.0)


@dataclass(frozen=True, slots=True)
class Gateway:
    """A PGW/UPF anchor and the address it gives."""

    address: str | None = setting(None, "address it gives to the vehicle first; drawn from a pool where not given")


@dataclass(frozen=True, slots=True)
class Reassignment:
    """When the vehicle's address changes. A handover alone never changes it (TS 23.401 5.5.1, TS 23.502 4.9.1)."""

    mode: ReassignmentMode = setting(
        "gateway_change", "gateway_change: with the anchor; every_handover: the stress case; never", "real-world 2.1"
    )
    delay_s: float = setting(
        1.5, "from the end of the old address to the new one", "real-world 3: re-attach to new IP, median 1.5 s", at_least=0.0
    )
    old_path: OldPath = setting("black_hole", "what packets to the old address meet", "brokers 8: the peer sees nothing at all")
    gateway_hold_s: float = setting(
        30.0,
        "a gateway is left only after this long on towers of another",
        "our choice: anchors are not moved per cell",
        at_least=0.0,
    )
    sticky: bool = setting(False, "coming back to a gateway gives the address it gave before")
    reuse_after_s: float | None = setting(
        None,
        "an address left behind belongs to another vehicle after this long; null: never",
        "TS 23.401 5.3.1.2.1: not assigned to other users immediately",
        at_least=0.0,
    )
    reattach_after_s: float = setting(
        3480.0,
        "out of service longer than this means a new attach and a new address",
        "TS 24.301: T3412 54 min + 4 min (from memory)",
        above=0.0,
    )


@dataclass(frozen=True, slots=True)
class CGNAT:
    """Carrier-grade NAT between vehicle and server; in force where `access` is `cgnat`."""

    idle_timeout_s: float = setting(
        300.0,
        "a TCP mapping without traffic ends after this",
        "real-world 3: 300 s, pessimistic; RFC 5382 REQ-5 asks 2 h 4 min",
        above=0.0,
    )
    after_expiry: Literal["reset", "drop"] = setting(
        "reset",
        "what the next uplink packet meets once the mapping is gone",
        "our choice: RST is the kinder and the usual behaviour",
    )
    rebind_at_s: tuple[float, ...] = setting(
        (),
        "instants at which the NAT forgets all mappings (rebind, pool failover); the vehicle keeps its own address",
        at_least=0.0,
    )
    rebinds_per_hour: float = setting(
        0.0, "further such instants, at random (Poisson)", "real-world 2.1: RFC 4787/5382; frequency not found", at_least=0.0
    )


@dataclass(frozen=True, slots=True)
class Network:
    gateways: dict[str, Gateway] = setting(factory=dict, doc="gateways by name; towers and script steps refer to them")
    reassignment: Reassignment = setting(factory=Reassignment, doc="when and how the address changes")
    access: Access = setting(
        "cgnat",
        "cgnat: nobody can connect to the vehicle; private_apn: the server can; public: everybody can",
        "failure-modes F22",
    )
    cgnat: CGNAT = setting(factory=CGNAT, doc="the NAT's timers and rebinds")


@dataclass(frozen=True, slots=True)
class Radio:
    """Path loss and shadowing (TS 38.901), noise and rate."""

    model: PathLoss = setting("rma", "uma: urban, umi: dense urban, rma: rural and highway", "TS 38.901 table 7.4.1-1")
    frequency_hz: float = setting(800e6, "carrier frequency", "real-world 3: highway 0.8 GHz", above=0.0)
    bandwidth_hz: float = setting(10e6, "bandwidth", "real-world 3: radio budget", above=0.0)
    noise_figure_db: float = setting(9.0, "noise figure of the vehicle's receiver", "real-world 3: radio budget")
    shadowing_db: float | None = setting(
        None,
        "standard deviation of shadowing; that of the path loss model where not given",
        "TS 38.901: UMa NLOS 6, RMa NLOS 8, UMi NLOS 7.82",
        at_least=0.0,
    )
    decorrelation_m: float | None = setting(
        None, "decorrelation distance of shadowing; that of the model where not given", "TS 38.901 table 7.5-6", above=0.0
    )
    filter_coefficient: int = setting(4, "L3 filter coefficient k: a = 1/2^(k/4)", "TS 38.331 5.5.3.2; default fc4", at_least=0)
    antenna_gain_db: float = setting(
        15.0,
        "gain of the tower's antenna less feeder loss; the vehicle's is 0 dBi",
        "TR 36.942 4.2: 15 dBi macro cell (from memory)",
    )
    site_correlation_share: float = setting(
        0.5,
        "share of the variance of shadowing that all towers have in common: the vehicle's own surroundings",
        "TR 36.942 5.1: 0.5 between sites (from memory)",
        at_least=0.0,
        at_most=1.0,
    )
    neighbour_load_share: float = setting(
        0.5,
        "share of time in which the other towers on the same carrier send",
        "our choice; see docs/model.md",
        at_least=0.0,
        at_most=1.0,
    )
    measurement_period_s: float = setting(
        0.2, "measurement period of L1 samples", "TS 38.133: 200 ms for intra-frequency", above=0.0
    )
    out_of_sync_db: float = setting(-8.0, "Qout: SINR below which the link is out of sync", "real-world 3: radio budget")
    efficiency: float = setting(0.6, "share of Shannon's rate that is reached", "TR 36.942 A.2", above=0.0, at_most=1.0)


@dataclass(frozen=True, slots=True)
class Handover:
    """Event A3 and what a handover costs."""

    a3_offset_db: float = setting(3.0, "Off of event A3", "TS 38.331 5.5.4.4; real-world 3", at_least=-15.0, at_most=15.0)
    hysteresis_db: float = setting(1.0, "Hys of event A3", "real-world 3", at_least=0.0, at_most=15.0)
    time_to_trigger_s: float = setting(0.32, "TTT of event A3", "real-world 3", at_least=0.0, at_most=5.12)
    interruption_s: float = setting(
        0.019,
        "median interruption of a handover (lognormal); packets wait, none is lost",
        "real-world 1.1: LTE 19 ms median, p95 46 ms",
        at_least=0.0,
    )
    interruption_p95_s: float | None = setting(
        None, "p95 of the interruption; 2.4 x the median where not given", "real-world 1.1: 46/19", at_least=0.0
    )
    failure_share: float = setting(
        0.01,
        "share of handovers that fail and end in radio link failure",
        "real-world 3: 1 %, assumed",
        at_least=0.0,
        at_most=1.0,
    )
    t310_s: float = setting(
        1.0, "T310: out of sync for this long is radio link failure", "TS 38.331 7.1.1; real-world 2.2", at_least=0.0
    )
    reselection_s: tuple[float, float] = setting(
        (0.3, 3.0), "time to find and enter a cell after radio link failure (uniform)", "real-world 3"
    )


@dataclass(frozen=True, slots=True)
class RTT:
    """Round-trip time as a time-correlated lognormal process with a tail."""

    median_s: float = setting(0.080, "median", "real-world 3: lognormal(4.388, 0.485) ms", above=0.0)
    p95_s: float = setting(
        0.178, "95th percentile; equal to the median: a constant RTT", "real-world 3: exp(4.388 + 1.645 x 0.485) ms", above=0.0
    )
    correlation_s: float = setting(
        2.0,
        "time after which the correlation of log RTT has fallen to 1/e",
        "our choice, between the 1 s and 5 s seen for rates",
        above=0.0,
    )
    inflation: float = setting(2.0, "factor on the RTT within 1 s after a cell change", "real-world 3: p95 x2", at_least=1.0)
    tail_share: float = setting(
        0.0,
        "share of seconds with an RTT from the Pareto tail of 1 to 30 s",
        "real-world 3: 0.7 % of replies; off by default, silences cover it",
        at_least=0.0,
        at_most=1.0,
    )


@dataclass(frozen=True, slots=True)
class Silences:
    """Silences of the link that no radio model explains, by length: a Poisson process for each class."""

    over_2s_per_hour: float = setting(
        0.0, "silences of 2 to 5 s in an hour", "real-world 3: 7.7/h (9.9 of 2 s and more, less 2.2)", at_least=0.0
    )
    over_5s_per_hour: float = setting(0.0, "silences of 5 to 10 s in an hour", "real-world 3: 1.24/h", at_least=0.0)
    over_10s_per_hour: float = setting(0.0, "silences of 10 to 30 s in an hour", "real-world 3: 0.83/h", at_least=0.0)
    over_30s_per_hour: float = setting(0.0, "silences of 30 to 60 s in an hour", "real-world 3: 0.13/h", at_least=0.0)


@dataclass(frozen=True, slots=True)
class LinkSettings:
    rtt: RTT = setting(factory=RTT, doc="round-trip time between vehicle and server")
    downlink_bps: float = setting(20e6, "rate to the vehicle, at most", "real-world 1.1: NSA median 17, LTE 7 Mbit/s", above=0.0)
    uplink_bps: float = setting(5e6, "rate from the vehicle, at most", "our choice: a quarter of the downlink", above=0.0)
    rate_sigma: float = setting(
        0.0,
        "sigma of the log rate (AR(1), 0.5 per s); 0: the rate is what SINR and the limits allow",
        "real-world 3: log-rate autocorrelation 0.50 at 1 s",
        at_least=0.0,
    )
    dip: float = setting(
        0.7, "factor on the downlink for 2 s after a cell change", "real-world 3: x0.7 for 2 s", above=0.0, at_most=1.0
    )
    silences: Silences = setting(factory=Silences, doc="silences without a radio cause")
    queue_bytes: int = setting(
        256 * 1024,
        "how far one transport's bytes can delay another's in the link's queue",
        "our choice: 100 ms at 20 Mbit/s",
        above=0,
    )
    realism: bool = setting(True, "off: constant RTT and rates, no inflation, no dips, no handover failures; for teaching")


@dataclass(frozen=True, slots=True)
class DriveConfig:
    """Everything a drive depends on. Exactly one of `route` (with `towers`), `script` and `recorded`."""

    route: tuple[Waypoint, ...] | None = setting(None, "waypoints; the drive ends at the last one")
    towers: tuple[Tower, ...] = setting((), "cell sites along the route")
    script: Script | None = setting(None, "the drive second by second")
    recorded: Recorded | None = setting(None, "a real drive log")
    network: Network = setting(factory=Network, doc="gateways, addresses, NAT")
    radio: Radio = setting(factory=Radio, doc="radio model, for a route")
    handover: Handover = setting(factory=Handover, doc="handover, for a route")
    link: LinkSettings = setting(factory=LinkSettings, doc="RTT, rates, silences")
