"""What of the server side and its faults a live run has counterparts for; the rest is refused, in one line."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from sim.live.brokers import BROKERS
from sim.protocols.server import Server
from sim.server.build import NETWORK_FAULTS, lasts_s
from sim.server.config import Fault

#: faults of the server side that are played by killing a process and starting it again
KILLS: Final = ("node_crash", "store_crash")
#: the broker whose nodes can share a store
CLUSTERED: Final = "aedes"
_MODEL_ALONE: Final = "played by the model alone, not live"


def unplayable(faults: Sequence[Fault], server: Server, broker: str) -> str | None:
    """Why the scenario cannot be run live with `broker`: one line that begins with the key. None: it can."""
    faults = [fault for fault in faults if fault.kind not in NETWORK_FAULTS]
    modelled = list(dict.fromkeys(fault.kind for fault in faults if fault.kind not in KILLS))
    if modelled:
        return f"faults: {', '.join(modelled)}: {_MODEL_ALONE}; {', '.join(KILLS)} are"
    silent = next((fault.kind for fault in faults if fault.how == "host"), None)
    if silent is not None:
        return f"faults: {silent}: how: host is {_MODEL_ALONE}; how: process is"
    return _parts(server, broker, faulty=bool(faults)) or next(
        (why for fault in faults if (why := _fault(fault, server, broker))), None
    )


def _parts(server: Server, broker: str, *, faulty: bool) -> str | None:
    """What is wrong with nodes, balancer and store."""
    nodes = len(server.nodes.names)
    if nodes == 1 and server.balancer is None and not faulty:
        return None  # the broker alone, whatever the rest says
    if broker not in BROKERS:
        what = "faults" if faulty else "a balancer" if nodes == 1 else "several nodes"
        return f"--broker {broker}: {what} need a broker whose processes are the lab's own: {', '.join(BROKERS)}"
    if nodes > 1 and broker != CLUSTERED:
        return f"server.nodes.names: live, --broker {CLUSTERED} alone runs several nodes, not {broker}"
    kind = server.session_store().kind
    if nodes > 1 and kind != "redis":
        return f"server.store: nodes of {CLUSTERED} share their sessions in Redis, expected redis, not {kind}"
    if server.nodes.others:
        return f"server.nodes.others: other clients are {_MODEL_ALONE}"
    if nodes > 1 and not server.nodes.tickets_shared:
        return f"server.nodes.tickets_shared: live, TLS ends before the balancer; false is {_MODEL_ALONE}"
    return None


def _fault(fault: Fault, server: Server, broker: str) -> str | None:
    if fault.kind == "store_crash":
        return None if broker == CLUSTERED else f"faults: store_crash: live, --broker {CLUSTERED} alone has a Redis, not {broker}"
    starts_s = BROKERS[broker].starts_in_s
    if lasts_s(fault, server.store) < starts_s:
        return f"faults: {fault.kind}: for: {broker} takes about {starts_s:g} s to start, expected at least that"
    return None
