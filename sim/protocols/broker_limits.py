"""What a broker bounds that serves anybody who can reach its port. The model's broker has none of these limits."""

from __future__ import annotations

from dataclasses import dataclass

from sim.machine import NEVER

_NONE = 2**31


@dataclass(frozen=True, slots=True)
class BrokerLimits:
    """Beside the limits of a BrokerBehaviour, which are part of what is studied. Defaults: no limit."""

    connect_timeout_s: float = NEVER  # from the transport's opening to CONNECT (MQTT 3.1.1 3.1.4: "a reasonable amount of time")
    keep_alive_max_s: int = 0  # a longer keep alive is answered with Server Keep Alive (MQTT 5 3.2.2.3.14); 0: none
    sessions: int = _NONE
    subscriptions: int = _NONE  # of one session
    filter_bytes: int = 65_535
    filter_levels: int = 65_535
    retained: int = _NONE
    retained_bytes: int = 2**62
    stored_bytes: int = 2**62  # payloads queued for all sessions together
    session_bytes: int = 0  # of which one session may have so many although all is full
    drops_qos0_when_blocked: bool = False  # QoS 0 for a client whose send buffer is full
    # MQTT 5 [MQTT-3.2.2-11]: DISCONNECT 0x9B for a PUBLISH above Maximum QoS. Simplification: the model's vehicle does not
    # look at Maximum QoS, and its broker acknowledges such a message with the QoS that it has, as RabbitMQ does with 3.1.1
    insists_on_qos_max: bool = False
    refused_filters: tuple[str, ...] = ()  # SUBSCRIBE to one of these is answered with 0x80


NO_LIMITS = BrokerLimits()
