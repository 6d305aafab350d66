"""Settings of the strategies: the seed's defaults to the letter, each one a parameter.

`seed` in a source means the problem statement this lab was built for (docs/sources.md, "Seed"). Where its text and its
code differ, both are settings and the text's is the default.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from sim.settings import setting
from sim.strategies.backoff import Backoff

Notice = Literal["keep_alive", "transport", "address"]
WhenParked = Literal["stay_connected", "disconnect", "sleep"]


@dataclass(frozen=True, slots=True)
class Outbox:
    """The vehicle's bounded local queue for uplink messages."""

    limit: int = setting(1000, "messages kept", "our choice, as mosquitto's queue", at_least=1)
    drop: Literal["newest", "oldest"] = setting(
        "oldest", "which message a full outbox drops", "our choice: fresh telemetry is worth more"
    )


@dataclass(frozen=True, slots=True)
class MQTTConnection:
    """What every strategy with an MQTT connection has: client, detection, address watch, backoff, outbox."""

    version: Literal["3.1.1", "5"] = setting("3.1.1", "MQTT version", "seed uses the 3.1.1 options of paho")
    keep_alive_s: float = setting(
        30.0,
        "MQTT keep alive, in whole seconds as CONNECT carries it; 0 switches it off",
        "seed: keepAliveInterval = 30",
        at_least=0.0,
        at_most=65535.0,
        whole=True,
    )
    ping_rule: Literal["paho", "idle"] = setting(
        "paho",
        "paho: a PINGREQ every keep alive since CONNECT or the last one; idle: only after that long without sending",
        "brokers 7, paho-mqtt 2.2.0",
    )
    ping_timeout_s: float | None = setting(
        None,
        "PINGRESP missing for this long ends the connection; the keep alive where not given",
        "brokers 7: K after an unanswered PINGREQ",
        above=0.0,
    )
    clean_session: bool = setting(False, "clean session / clean start", "seed: cleansession = 0")
    session_expiry_s: float = setting(
        4294967295.0,
        "MQTT 5 session expiry interval, in whole seconds; the maximum means never",
        "MQTT 5 3.1.2.11.2",
        at_least=0.0,
        whole=True,
    )
    receive_maximum: int = setting(65535, "MQTT 5 receive maximum of the vehicle", "MQTT 5 3.1.2.11.3", at_least=1, at_most=65535)
    connect_timeout_s: float = setting(10.0, "from the start of an attempt to CONNACK", "seed: connectTimeout = 10", above=0.0)
    user_timeout_s: float = setting(
        0.0, "TCP_USER_TIMEOUT of the vehicle's socket; 0: the system's default", "Linux; the seed does not set it", at_least=0.0
    )
    notices: tuple[Notice, ...] = setting(
        ("keep_alive", "transport", "address"),
        "what ends a dead connection; the seed's code notices by `address` alone",
        "seed, B3 and D",
    )
    address_watch: Literal["poll", "link_event", "off"] = setting(
        "poll", "how the vehicle learns of a new address", "seed: sleep 10 s, detectIPChange()"
    )
    address_poll_s: float = setting(10.0, "period of the address poll", "seed: sleep_for(seconds(10))", above=0.0)
    resubscribe: Literal["when_needed", "always"] = setting(
        "when_needed", "SUBSCRIBE when the session is not present, or after every CONNACK", "seed, E5: subscriptions are kept"
    )
    when_parked: WhenParked = setting(
        "stay_connected",
        "stay_connected: goes on as it is; disconnect: DISCONNECT, and back with the ignition; sleep: as that, but wakes up",
        "seed: its loop knows no ignition and goes on",
    )
    wake_every_s: float = setting(
        3600.0, "with `sleep`: the vehicle wakes up each", "our choice: about T3412, 54 min, at which a modem reports", above=0.0
    )
    awake_s: float = setting(
        60.0,
        "with `sleep`: it falls asleep again after so long without a message",
        "our choice, as the active timer T3324: 16 s at least, a tenth of the interval at most",
        above=0.0,
    )
    backoff: Backoff = setting(factory=Backoff, doc="waits between failed attempts")
    outbox: Outbox = setting(factory=Outbox, doc="local queue for uplink messages")


@dataclass(frozen=True, slots=True)
class MQTTPersistent(MQTTConnection):
    """Strategy 1: MQTT keep alive and reconnection (recommended by the seed)."""


@dataclass(frozen=True, slots=True)
class MQTTCleanSession(MQTTConnection):
    """Baseline: as strategy 1, with clean session."""

    clean_session: bool = setting(True, "clean session / clean start", "the baseline's point")
    resubscribe: Literal["when_needed", "always"] = setting(
        "always", "a clean session has no subscriptions", "MQTT 3.1.1 3.1.2.4"
    )


@dataclass(frozen=True, slots=True)
class Push:
    """How the server connects in to the vehicle."""

    connect_timeout_s: float = setting(10.0, "from SYN to the end of TLS", "design 4", above=0.0)
    response_timeout_s: float = setting(
        10.0, "from the batch sent to the vehicle's acknowledgement", "our choice: as connect timeout", above=0.0
    )
    batch: int = setting(20, "messages sent per connection at most", "our choice: as mosquitto's window", at_least=1)
    store_limit: int = setting(1000, "messages kept for a vehicle", "our choice: as mosquitto's queue", at_least=1)


@dataclass(frozen=True, slots=True)
class DDNSHeartbeat:
    """Strategy 2: the vehicle posts its address to a registry, the server connects in."""

    heartbeat_s: float = setting(30.0, "period of the heartbeat", "seed: sleep_for(seconds(30))", above=0.0)
    heartbeat_timeout_s: float | None = setting(
        10.0,
        "a POST not answered by then has failed; null: none, as in the seed's code",
        "our choice: as connect timeout; the seed's code has none",
        above=0.0,
    )
    http: Literal["per_request", "keep_alive"] = setting(
        "per_request", "a transport for each request, or one kept open", "seed: httpClient_.post, form not said"
    )
    locate: Literal["registry", "dns"] = setting(
        "registry", "where the server looks the vehicle up", "seed: VMG Registry Database"
    )
    dns_ttl_s: float = setting(60.0, "TTL of the vehicle's name, with locate: dns", "real-world 3", at_least=0.0)
    address_watch: Literal["poll", "link_event", "off"] = setting(
        "off", "poll and link_event: a heartbeat at once when the address changes", "seed: the code only has the 30 s loop"
    )
    address_poll_s: float = setting(10.0, "period of the address poll", "seed, strategy 1", above=0.0)
    when_parked: WhenParked = setting(
        "stay_connected",
        "stay_connected: goes on as it is; disconnect: says that it has no address and falls silent; sleep: as that, but wakes up",
        "seed: its loop knows no ignition and goes on",
    )
    wake_every_s: float = setting(
        3600.0, "with `sleep`: the vehicle wakes up each", "our choice: about T3412, 54 min, at which a modem reports", above=0.0
    )
    awake_s: float = setting(
        60.0,
        "with `sleep`: it falls asleep again after so long without a message",
        "our choice, as the active timer T3324: 16 s at least, a tenth of the interval at most",
        above=0.0,
    )
    push: Push = setting(factory=Push, doc="the server's connections to the vehicle")
    outbox: Outbox = setting(factory=Outbox, doc="local queue for uplink messages")
    post_timeout_s: float = setting(10.0, "timeout of a POST of telemetry", "our choice: as connect timeout", above=0.0)
    post_batch: int = setting(20, "telemetry messages in a POST at most", "our choice", at_least=1)


@dataclass(frozen=True, slots=True)
class Hybrid(MQTTConnection):
    """Strategy 3: MQTT first, HTTPS polling while it is down, MQTT retried in the background."""

    poll_s: float = setting(
        60.0, "period of the poll while MQTT is down", "seed: HTTPS Polling, every 60 s (its code's loop: 10 s)", above=0.0
    )
    poll_timeout_s: float = setting(10.0, "a poll not answered by then has failed", "our choice: as connect timeout", above=0.0)
    poll_batch: int = setting(10, "messages per response at most, oldest first", "our choice", at_least=1)
    poll_drains: bool = setting(
        True, "a full response is followed by the next poll at once", "our choice: else a backlog drains at one batch a minute"
    )
    ack: Literal["explicit", "none"] = setting(
        "explicit", "explicit: kept until acknowledged; none: removed when sent, as in the seed", "design 4"
    )
    fallback_after_s: float = setting(
        0.0,
        "from the first failed attempt to the first poll; not from the loss of the connection",
        "seed: attempt, where it fails poll; its production page: when MQTT has failed for long",
        at_least=0.0,
    )
    retry: Literal["backoff", "with_poll"] = setting(
        "backoff",
        "MQTT is retried by the backoff, or once before each poll as in the seed's code",
        "seed: retried in the background",
    )
    http: Literal["per_request", "keep_alive"] = setting(
        "per_request", "a transport for each request, or one kept open", "not said by the seed"
    )
    uplink: Literal["outbox", "post"] = setting("outbox", "uplink in fallback waits in the outbox, or is posted", "design 4")
    store_limit: int = setting(1000, "messages kept in the pending list", "our choice: as mosquitto's queue", at_least=1)


@dataclass(frozen=True, slots=True)
class StaticPush:
    """Baseline: the server connects to the address the vehicle had at the start and never learns another."""

    push: Push = setting(factory=Push, doc="the server's connections to the vehicle")
    attempts: int = setting(3, "attempts per message before it is given up", "our choice", at_least=1)
    retry_s: float = setting(10.0, "wait between attempts", "our choice", above=0.0)
    http: Literal["per_request", "keep_alive"] = setting("per_request", "form of the POSTs of telemetry", "as strategy 2")
    outbox: Outbox = setting(factory=Outbox, doc="local queue for uplink messages")
    post_timeout_s: float = setting(10.0, "timeout of a POST of telemetry", "our choice: as connect timeout", above=0.0)
    post_batch: int = setting(20, "telemetry messages in a POST at most", "our choice", at_least=1)
