"""Settings of what stands at the fixed address: broker, TLS, DNS, TCP, balancer, nodes, store."""

from __future__ import annotations

import functools
from dataclasses import dataclass, replace

from sim.protocols.broker_presets import Broker
from sim.protocols.dns import DNS
from sim.protocols.tcp_settings import TCP
from sim.protocols.tls import TLS
from sim.server.config import Balancer, Nodes, Store
from sim.settings import setting

#: The seed's configuration has one name of the server, `Server.name`, its test command the other.
SECOND_NAME = "ota-server.com"


@dataclass(frozen=True, slots=True)
class Server:
    """`broker` and `tls` may be given as a name alone: `broker: mosquitto`, `tls: hybrid`; `dns_ttl` stands for `dns.ttl`."""

    name: str = setting("ota-server.company.com", "host name of the server", "seed: fixed domain")
    address: str = setting("52.78.123.45", "fixed address of the load balancer", "seed: fixed IP")
    mqtt_port: int = setting(8883, "port of MQTT over TLS", "seed; IANA secure-mqtt", at_least=1, at_most=65535)
    https_port: int = setting(443, "port of the API", "seed", at_least=1, at_most=65535)
    refuse_share: float = setting(
        0.0,
        "share of the vehicle's connections that are refused (an overloaded accept queue)",
        "our choice: none",
        at_least=0.0,
        at_most=1.0,
    )
    broker: Broker = setting(factory=Broker, doc="whose behaviour the broker has")
    tls: TLS = setting(factory=TLS, doc="TLS handshakes, in all directions")
    dns: DNS = setting(factory=DNS, doc="name resolution")
    tcp: TCP = setting(factory=TCP, doc="TCP on both ends")
    balancer: Balancer | None = setting(None, "the load balancer with the fixed address; null: the one node has it")
    nodes: Nodes = setting(factory=Nodes, doc="the broker's nodes")
    store: Store = setting(factory=Store, doc="where MQTT sessions are kept")

    def session_store(self) -> Store:
        """Where sessions are kept: what the preset says where `store` says nothing."""
        return _session_store(self.store, self.broker)


@functools.lru_cache(maxsize=64)
def _session_store(store: Store, broker: Broker) -> Store:
    """One object for all the vehicles of a fleet."""
    if store.kind is None:
        store = replace(store, kind=broker.behaviour().store)
    if store.kind == "disk" and store.save_interval_s is None:
        store = replace(store, save_interval_s=broker.behaviour().saves_every_s)
    return store
