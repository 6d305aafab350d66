"""How brokers differ: one dataclass of behaviours and a table of presets, each value with its source.

`measured`: seen in our own runs against that version (docs/sources.md, "Brokers"). `read`: from documentation or source.
"""

from __future__ import annotations

import dataclasses
import functools
import math
from dataclasses import dataclass
from typing import Literal

from sim.settings import setting

KeepAliveRule = Literal["exact", "tick_after", "tick_from_connect", "never"]
KeptIn = Literal["memory", "disk", "redis"]
PresetName = Literal["spec", "mosquitto", "rabbitmq", "aedes", "aedes_redis", "amqtt", "emqx", "hivemq", "aws_iot"]


@dataclass(frozen=True, slots=True)
class BrokerBehaviour:
    """Everything in which the broker machine follows a preset. Times in s."""

    version: str = setting("MQTT 3.1.1 / 5", "product and version the values are of")
    status: Literal["measured", "read"] = setting("read", "how the values were got")
    mqtt5: bool = setting(True, "speaks MQTT 5", "OASIS MQTT 5.0")
    mqtt5_refusal: Literal["connack", "close", "silence"] = setting(
        "connack", "how a broker without MQTT 5 answers it", "MQTT 3.1.1 3.1.2.2: return code 1"
    )
    raises_qos: bool = setting(
        False,
        "messages are delivered with the subscription's QoS, whatever they were published with",
        "MQTT 3.1.1 3.8.4: the lower of both",
    )
    keep_alive_rule: KeepAliveRule = setting(
        "exact",
        "exact: factor x K after the last packet; tick_after: at the next tick after that; tick_from_connect: checks every factor x K from CONNECT, given up when that many in a row find no byte; never",
        "MQTT 3.1.1 3.1.2.10",
    )
    keep_alive_factor: float = setting(
        1.5, "the server closes after this many keep alives without a packet", "MQTT 3.1.1 3.1.2.10", above=0.0
    )
    keep_alive_tick_s: float = setting(0.0, "period of the broker's own check (tick_after)", at_least=0.0)
    keep_alive_checks: int = setting(1, "checks in a row that find no byte (tick_from_connect)", at_least=1)
    qos_max: int = setting(2, "highest QoS granted", "MQTT 5 3.2.2.3.4", at_least=0, at_most=2)
    dup_on_resume: bool = setting(True, "redelivered messages bear DUP", "MQTT 3.1.1 3.3.1.1")
    renumber_on_resume: bool = setting(False, "packet identifiers start anew on each connection")
    redeliver_inflight: bool = setting(True, "unacknowledged messages are sent again on resume", "MQTT 3.1.1 4.4")
    queue_limit: int = setting(2**31, "messages queued for a session that is not connected or whose window is full", at_least=0)
    queue_drop: Literal["newest", "oldest"] = setting("newest", "which message a full queue drops")
    queue_qos0: bool = setting(False, "QoS 0 is queued for a session that is not connected", "MQTT 3.1.1 4.1: a server may")
    inflight_limit: int = setting(65535, "unacknowledged QoS 1 and 2 messages to a client", "MQTT 5 3.1.2.11.3", at_least=1)
    window_holds_qos0: bool = setting(False, "QoS 0 waits, too, while the window is full")
    resume_batch: int = setting(0, "messages delivered per connection after a resume; the rest waits for the next one; 0: all")
    session_expiry_max_s: float = setting(
        math.inf, "a session that is not connected ends after this at most", "MQTT 5 3.1.2.11.2", at_least=0.0
    )
    session_expiry_default_s: float = setting(math.inf, "for MQTT 3.1.1 with clean session false", at_least=0.0)
    packet_limit_bytes: int = setting(268_435_460, "larger PUBLISH packets are refused", "MQTT 3.1.1 2.2.3: 256 MiB", above=0)
    will_on_takeover: bool = setting(
        True, "the will is published when a session is taken over", "MQTT 3.1.1 3.1.2.5: closed without DISCONNECT"
    )
    queued_first_on_takeover: bool = setting(
        False, "after a takeover a window of queued messages goes out before what was in flight (with renumber_on_resume)"
    )
    overtaken_waits: bool = setting(
        False,
        "a message that a later one overtakes while it is being stored waits for the next connection. The machine stores in no time; what becomes of messages in a live run is judged with it",
    )
    takeover_deaf: bool = setting(False, "after a takeover the new connection gets nothing until the next one")
    takeover_blocks: bool = setting(False, "no CONNACK until the old connection has timed out")
    discards_after_disconnect: bool = setting(False, "the session ends with the connection even with clean session false")
    store: KeptIn = setting("memory", "where sessions are kept, where server.store does not say it")
    saves_every_s: float = setting(1800.0, "with store disk: time between saves; 0: at every change", at_least=0.0)
    requeues_on_restart: bool = setting(
        False, "a session that outlives a restart is sent in the order of publication, all of it with DUP, sent before or not"
    )
    connack_delay_s: float = setting(0.0003, "CONNECT to CONNACK inside the broker", "brokers 6", at_least=0.0)
    takeover_reason: bool = setting(True, "MQTT 5: the old connection gets DISCONNECT 0x8E", "MQTT 5 3.1.4")
    receive_maximum: int = setting(
        65535, "MQTT 5: QoS 1 and 2 messages taken from a client without acknowledging them", "MQTT 5 3.2.2.3.3", at_least=1
    )
    topic_alias_maximum: int = setting(0, "MQTT 5: topic aliases a client may use", "MQTT 5 3.2.2.3.8", at_least=0)
    keep_alive_max_s: float = setting(
        0.0, "MQTT 5: a longer keep alive is answered with this one (Server Keep Alive); 0: none is", "MQTT 5 3.2.2.3.14",
        at_least=0.0, at_most=65535.0,
    )  # fmt: skip
    flapping_limit: int = setting(
        0,
        "disconnections within `flapping_window` after which a client is banned; 0: none is",
        "failure-modes F4: off",
        at_least=0,
    )
    flapping_window_s: float = setting(60.0, "the window in which they are counted", "failure-modes F4: EMQX 1 min", above=0.0)
    flapping_ban_s: float = setting(300.0, "how long a ban lasts", "failure-modes F4: EMQX 5 min", at_least=0.0)


PRESETS: dict[str, tuple[BrokerBehaviour, str]] = {
    "spec": (BrokerBehaviour(), "what the MQTT standard says, no limits"),
    "mosquitto": (
        BrokerBehaviour(
            version="mosquitto 2.0.11",
            status="measured",
            keep_alive_rule="tick_after",
            keep_alive_tick_s=6.0,  # 1.5 K, then groups about 6 s apart (brokers 1); the source's check is every 5 s
            queue_limit=1000,  # brokers 4: 1000 kept, newest dropped, publisher still gets PUBACK
            inflight_limit=20,  # brokers 4
            will_on_takeover=False,  # brokers 3
            store="disk",  # persistence true; after a kill everything since the last autosave is gone (docs/brokers.md)
            saves_every_s=1800.0,  # mosquitto.conf(5): autosave_interval
            takeover_reason=False,  # brokers 3: only FIN seen
            receive_maximum=20,  # brokers 3: in its CONNACK
            topic_alias_maximum=10,
        ),
        "Eclipse mosquitto 2.0.11, default settings with persistence",
    ),
    "rabbitmq": (
        BrokerBehaviour(
            version="RabbitMQ 3.10.8 with rabbitmq_mqtt",
            status="measured",
            mqtt5=False,
            mqtt5_refusal="close",  # brokers 3: closes without a CONNACK
            # brokers 1 saw 30 s after CONNECT with K=10, for last packets up to 9 s; with later ones (docs/brokers.md) it is
            # 2 K to 3 K: a check every K, given up at the second in a row with nothing new
            keep_alive_rule="tick_from_connect",
            keep_alive_factor=1.0,
            keep_alive_checks=2,
            qos_max=1,  # brokers 2: SUBACK grants 1
            renumber_on_resume=True,  # brokers 2: ids numbered per connection
            queued_first_on_takeover=True,  # docs/brokers.md: the old channel gives its ten back after the new one has begun
            queue_qos0=True,  # brokers 2: d2 delivered
            inflight_limit=10,  # brokers 4: window 10
            window_holds_qos0=True,  # docs/brokers.md
            will_on_takeover=False,  # brokers 3
            store="disk",  # docs/brokers.md: durable queues; QoS 1 messages are there after kill -9, and so is the session
            saves_every_s=0.0,
            requeues_on_restart=True,  # docs/brokers.md
            session_expiry_default_s=86400.0,  # failure-modes 5 (read): subscription_ttl
            session_expiry_max_s=86400.0,
            connack_delay_s=0.0026,  # brokers 6
        ),
        "RabbitMQ 3.10.8 with its MQTT plugin",
    ),
    "aedes": (
        BrokerBehaviour(
            version="aedes 1.2.0 on node 20",
            status="measured",
            mqtt5=False,  # brokers 3: CONNACK return code 1
            dup_on_resume=False,  # brokers 2: DUP 0 for all
            will_on_takeover=True,  # brokers 3
            overtaken_waits=True,  # docs/brokers.md, "What no preset shows"
            connack_delay_s=0.0009,
        ),
        "aedes 1.2.0, sessions in memory",
    ),
    "aedes_redis": (
        BrokerBehaviour(
            version="aedes 1.2.0 with aedes-persistence-redis 11.2.2",
            status="measured",
            mqtt5=False,
            dup_on_resume=False,
            will_on_takeover=True,
            overtaken_waits=True,
            resume_batch=1001,  # brokers 4: 1001 per connect
            store="redis",
            connack_delay_s=0.0015,
        ),
        "aedes 1.2.0, sessions in Redis",
    ),
    "amqtt": (
        BrokerBehaviour(
            version="amqtt 0.12.1",
            status="measured",
            mqtt5=False,
            mqtt5_refusal="silence",  # brokers 3: nothing for 10 s
            raises_qos=True,  # brokers 2,
            keep_alive_rule="never",  # brokers 1
            queue_qos0=True,  # brokers 2, fact 5: everything is raised to the subscription's QoS
            will_on_takeover=False,  # brokers 3
            redeliver_inflight=False,  # brokers 2: nothing of what went to the dead socket
            takeover_deaf=True,  # brokers 3: connection stays up but deaf (clients with a user name)
            connack_delay_s=0.0013,
        ),
        "amqtt 0.12.1 with user names (anonymous clients lose their sessions)",
    ),
    "emqx": (
        BrokerBehaviour(
            version="EMQX master, 2026-08",
            queue_limit=1000,  # failure-modes 5
            queue_drop="oldest",
            queue_qos0=True,
            inflight_limit=32,
            session_expiry_default_s=7200.0,
            packet_limit_bytes=1024 * 1024,  # real-world 2.5
        ),
        "EMQX defaults",
    ),
    "hivemq": (
        BrokerBehaviour(version="HiveMQ CE", queue_limit=1000, queue_drop="newest", packet_limit_bytes=268_435_460),
        "HiveMQ Community Edition defaults",
    ),
    "aws_iot": (
        BrokerBehaviour(
            version="AWS IoT Core documentation",
            qos_max=1,
            inflight_limit=100,
            session_expiry_default_s=3600.0,
            session_expiry_max_s=604800.0,  # AWS IoT quotas: persistent sessions up to 7 days
            packet_limit_bytes=128 * 1024,  # real-world 2.5
        ),
        "AWS IoT Core limits",
    ),
}


@dataclass(frozen=True, slots=True)
class Broker:
    """A preset and what is changed in it. A field that is null keeps the preset's value."""

    preset: PresetName = setting("mosquitto", "whose behaviour; `python -m sim list` shows them")
    config: str | None = setting(
        None, "a mosquitto.conf, relative to this file: what it says holds where the scenario says nothing (docs/faults.md)"
    )
    mqtt5: bool | None = setting(None, "see the presets")
    mqtt5_refusal: Literal["connack", "close", "silence"] | None = setting(None, "see the presets")
    raises_qos: bool | None = setting(None, "see the presets")
    keep_alive_rule: KeepAliveRule | None = setting(None, "see the presets")
    keep_alive_factor: float | None = setting(None, "see the presets", above=0.0)
    keep_alive_tick_s: float | None = setting(None, "see the presets", at_least=0.0)
    keep_alive_checks: int | None = setting(None, "see the presets", at_least=1)
    qos_max: int | None = setting(None, "see the presets", at_least=0, at_most=2)
    dup_on_resume: bool | None = setting(None, "see the presets")
    renumber_on_resume: bool | None = setting(None, "see the presets")
    redeliver_inflight: bool | None = setting(None, "see the presets")
    queue_limit: int | None = setting(None, "see the presets", at_least=0)
    queue_drop: Literal["newest", "oldest"] | None = setting(None, "see the presets")
    queue_qos0: bool | None = setting(None, "see the presets")
    inflight_limit: int | None = setting(None, "see the presets", at_least=1)
    window_holds_qos0: bool | None = setting(None, "see the presets")
    resume_batch: int | None = setting(None, "see the presets", at_least=0)
    session_expiry_max_s: float | None = setting(None, "see the presets", at_least=0.0)
    session_expiry_default_s: float | None = setting(None, "see the presets", at_least=0.0)
    packet_limit_bytes: int | None = setting(None, "see the presets", above=0)
    will_on_takeover: bool | None = setting(None, "see the presets")
    queued_first_on_takeover: bool | None = setting(None, "see the presets")
    overtaken_waits: bool | None = setting(None, "see the presets")
    takeover_deaf: bool | None = setting(None, "see the presets")
    takeover_blocks: bool | None = setting(None, "see the presets")
    discards_after_disconnect: bool | None = setting(None, "see the presets")
    store: KeptIn | None = setting(None, "see the presets; server.store goes before it")
    saves_every_s: float | None = setting(None, "see the presets", at_least=0.0)
    requeues_on_restart: bool | None = setting(None, "see the presets")
    connack_delay_s: float | None = setting(None, "see the presets", at_least=0.0)
    takeover_reason: bool | None = setting(None, "see the presets")
    receive_maximum: int | None = setting(None, "see the presets", at_least=1)
    topic_alias_maximum: int | None = setting(None, "see the presets", at_least=0)
    keep_alive_max_s: float | None = setting(None, "see the presets", at_least=0.0, at_most=65535.0)
    flapping_limit: int | None = setting(None, "see the presets", at_least=0)
    flapping_window_s: float | None = setting(None, "see the presets", above=0.0)
    flapping_ban_s: float | None = setting(None, "see the presets", at_least=0.0)

    def behaviour(self) -> BrokerBehaviour:
        """Return the preset with the overrides applied."""
        return _behaviour(self)


@functools.lru_cache(maxsize=64)
def _behaviour(settings: Broker) -> BrokerBehaviour:
    """One object for all the vehicles of a fleet."""
    changes = {
        field.name: getattr(settings, field.name)
        for field in dataclasses.fields(settings)
        if field.name not in ("preset", "config") and getattr(settings, field.name) is not None
    }
    return dataclasses.replace(PRESETS[settings.preset][0], **changes)
