"""Settings of what stands behind the server's fixed address: balancer, broker nodes, session store, and faults."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from sim.settings import setting

#: process: the kernel answers for it (FIN, RST); host: nobody answers.
How = Literal["process", "host"]

FaultKind = Literal[
    "node_crash",
    "rolling_upgrade",
    "store_failover",
    "store_crash",
    "balancer_change",
    "dns_outage",
    "dns_stale",
    "api_errors",
    "certificate_expiry",
    "tower_outage",
    "region_outage",
    "nat_rebind",
]


@dataclass(frozen=True, slots=True)
class Balancer:
    """A load balancer with the fixed address, which passes TCP on to the nodes. Defaults: AWS Network Load Balancer.

    Simplification: it keeps no bytes of its own, so that a node's FIN or RST is the vehicle's; a proxy hands over what it has.
    """

    algorithm: Literal["round_robin", "least_connections", "source"] = setting(
        "round_robin",
        "which healthy node gets a connection: the next one, the one with the fewest, or by a hash of the client's address",
        "our choice; AWS NLB takes a hash of the flow, which spreads connections alike",
    )
    health_interval_s: float = setting(30.0, "time between health checks of a node", "AWS NLB: 30 s", above=0.0)
    unhealthy_after: int = setting(2, "failed checks in a row until a node gets no more connections", "AWS NLB: 2", at_least=1)
    healthy_after: int = setting(5, "good checks in a row until it gets some again", "AWS NLB: 5", at_least=1)
    idle_timeout_s: float = setting(
        350.0, "a TCP flow without packets is forgotten after this", "failure-modes F20: AWS NLB 350 s", above=0.0
    )
    after_idle: Literal["reset", "drop"] = setting(
        "reset", "what the next packet of either side meets then, or on a node found unhealthy", "failure-modes F20: RST"
    )
    proxy: bool = setting(
        False,
        "it ends TCP itself, as haproxy does: it takes a first packet to a node that has crashed, and only the next one meets RST",
        "AWS NLB passes segments on; haproxy 2.6: docs/validation.md",
    )
    drain_s: float = setting(
        300.0, "how long a node that is taken out for an upgrade keeps its connections", "AWS NLB: deregistration delay 300 s",
        at_least=0.0,
    )  # fmt: skip


@dataclass(frozen=True, slots=True)
class Nodes:
    """The broker's nodes. Nodes are alike."""

    names: tuple[str, ...] = setting(("broker-1",), "names of the nodes; several need a balancer")
    others: int = setting(
        0,
        "other clients connected to each node, which all connect anew at once when it is gone (no jitter)",
        "our choice: none",
        at_least=0,
    )
    accept_rate: float = setting(
        1000.0, "connections a node accepts in a second", "our choice, above the CONNECT admission", above=0.0
    )
    connect_rate: float = setting(500.0, "CONNECTs a node admits in a second", "real-world 3: AWS IoT 500/s", above=0.0)
    memory_bytes: int | None = setting(
        None,
        "what a node stores of messages for all its sessions; each of its clients, the vehicle and `others`, has an equal part; null: no bound",
        "our choice: no bound",
        above=0,
    )
    cores: int = setting(2, "cores that share TLS handshakes and messages", "our choice", at_least=1)
    backlog: int = setting(
        4096,
        "a fleet: connections that wait to be accepted; beyond that SYNs are dropped",
        "Linux since 5.4: net.core.somaxconn 4096",
        at_least=1,
    )
    connect_queue: int | None = setting(
        1000,
        "a fleet: CONNECTs that wait for their admission; beyond that the node closes the connection; null: no bound",
        "our choice: two seconds' worth",
        at_least=1,
    )
    message_cpu_s: float = setting(
        0.0,
        "a fleet: time of one core for each packet of a vehicle (PUBLISH, PUBACK, PINGREQ)",
        "our choice: none; it makes every packet an event",
        at_least=0.0,
    )
    tickets_shared: bool = setting(
        True,
        "nodes share the key of session tickets, also over a restart; false: a ticket resumes on the node that gave it, "
        "until that restarts",
        "our choice; OpenSSL makes a random key for each process unless it is given one",
    )


@dataclass(frozen=True, slots=True)
class Store:
    """Where sessions are kept, which decides what of them outlives a node.

    memory: lost with their node. disk: as of the last save, when their node is back. redis: outlive nodes. replicated:
    outlive nodes, nothing is lost.
    """

    kind: Literal["memory", "disk", "redis", "replicated"] | None = setting(
        None, "memory, disk (of each node), redis, replicated (among the nodes); null: as the broker's preset keeps them"
    )
    save_interval_s: float | None = setting(
        None, "disk: time between saves; 0: at every change; null: as the broker's preset saves", at_least=0.0
    )
    hand_over_s: float | None = setting(
        0.005,
        "memory, disk: time in which a node takes a session over from another one that runs; null: it knows nothing of it",
        "our choice: a round trip in the data centre and some work",
        at_least=0.0,
    )
    replicas: int = setting(1, "redis: replicas that can be failed over to", "our choice", at_least=0)
    replication_lag_s: float = setting(
        0.1,
        "redis: what was written this long before a failover is lost",
        "our choice: replication is asynchronous",
        at_least=0.0,
    )
    failover_s: float = setting(
        30.0, "redis: until a replica serves; meanwhile CONNECTs and publishers wait", "Redis Sentinel: down-after 30 s",
        at_least=0.0,
    )  # fmt: skip
    aof: Literal["always", "everysec", "no"] = setting(
        "everysec",
        "redis: when the append-only file is forced to disk; what a crash of its host loses: nothing, 1 s, 30 s",
        "Redis: appendfsync everysec; `no` leaves it to Linux, about 30 s",
    )
    publisher_limit: int | None = setting(
        None,
        "messages that the publisher keeps while no node or no store serves; the oldest gives way (publisher_gave_up); null: all",
        "our choice",
        at_least=1,
    )


@dataclass(frozen=True, slots=True)
class Fault:
    """Something that happens to the server side or the network. Which keys it takes depends on `kind`."""

    kind: FaultKind = setting(doc="what happens; docs/faults.md says what each one does")
    at_s: float | None = setting(None, "when; or `per_hour`", at_least=0.0)
    per_hour: float | None = setting(None, "at random instants (Poisson), this many in an hour", above=0.0, at_most=3600.0)
    for_s: float | None = setting(None, "how long; where not given as docs/faults.md says", at_least=0.0)
    node: str | None = setting(None, "node_crash: which node; a random one where not given")
    how: How | None = setting(
        None, "process (default): the kernel says so with FIN or RST; host: nobody answers", "brokers 8, RFC 9293 3.10.7.1"
    )
    error_share: float | None = setting(None, "api_errors: share of the requests that fail, default all", above=0.0, at_most=1.0)
    address: str | None = setting(None, "dns_stale: what the name resolves to")
    tower: str | None = setting(None, "tower_outage: which tower")
    gateway: str | None = setting(None, "region_outage: all towers of this gateway")
