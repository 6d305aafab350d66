"""What MQTT 5 adds to one connection at the server: CONNACK properties, topic aliases, packet size, properties of PUBLISH.

MQTT 5.0 3.1.2.11 (CONNECT properties), 3.2.2.3 (CONNACK properties), 3.3.2.3 (PUBLISH properties). Lives as long as the
connection; topic aliases do not outlive it (3.3.2.3.4).
"""

from __future__ import annotations

import dataclasses
import math

from sim.machine import NEVER, Message
from sim.protocols.broker_limits import BrokerLimits
from sim.protocols.broker_presets import BrokerBehaviour
from sim.protocols.mqtt_packets import V5, ConnAck, Connect, Disconnect, Publish, SubAck, UnsubAck
from sim.protocols.mqtt_properties import PASSED_ON, Properties
from sim.protocols.mqtt_reasons import PROTOCOL_ERROR, TOPIC_ALIAS_INVALID

#: topics to which the server gives an alias on one connection, whatever more the client allows
MOST_ALIASES = 64
_LARGEST_PACKET = 268_435_460  # 3.2.2.3.6: what a maximum packet size need not say


class MQTT5Connection:
    """The connection made by `connect`; `granted_expiry_s` is the session expiry interval the server gives."""

    __slots__ = (
        "_alias_maximum", "_aliases_in", "_aliases_out", "_client_alias_maximum", "_client_packet_bytes",
        "connack", "keep_alive_s", "receive_maximum", "says_why", "under_way",
    )  # fmt: skip

    def __init__(
        self, connect: Connect, client_id: str, granted_expiry_s: float, behaviour: BrokerBehaviour, limits: BrokerLimits
    ) -> None:
        asked = connect.properties or {}
        self._client_packet_bytes: int = asked.get("maximum_packet_size", _LARGEST_PACKET)
        self._client_alias_maximum: int = min(asked.get("topic_alias_maximum", 0), MOST_ALIASES)
        self._alias_maximum = behaviour.topic_alias_maximum
        self.receive_maximum = behaviour.receive_maximum
        self.under_way: set[int] = set()  # QoS 2 of the client without PUBCOMP, of this connection alone (4.9)
        self.says_why = asked.get("request_problem_information", 1) == 1  # 3.1.2.11.7
        self._aliases_in: dict[int, str] = {}
        self._aliases_out: dict[str, int] = {}
        self.keep_alive_s = connect.keep_alive_s
        most_s = limits.keep_alive_max_s or int(behaviour.keep_alive_max_s)
        if 0 < most_s < connect.keep_alive_s:
            self.keep_alive_s = most_s
        self.connack = self._connack(connect, client_id, granted_expiry_s, behaviour)

    def _connack(
        self, connect: Connect, client_id: str, granted_expiry_s: float, behaviour: BrokerBehaviour
    ) -> Properties | None:
        """Only what differs from the value that absence stands for."""
        said: Properties = {}
        asked_s = connect.session_expiry_s or 0.0
        if granted_expiry_s < asked_s and granted_expiry_s < math.inf:
            said["session_expiry_interval"] = int(granted_expiry_s)
        if self.receive_maximum < 65_535:
            said["receive_maximum"] = self.receive_maximum
        if behaviour.qos_max < 2:
            said["maximum_qos"] = behaviour.qos_max
        if behaviour.packet_limit_bytes < _LARGEST_PACKET:
            said["maximum_packet_size"] = behaviour.packet_limit_bytes
        if not connect.client_id:
            said["assigned_client_identifier"] = client_id  # [MQTT-3.1.3-6]
        if self._alias_maximum:
            said["topic_alias_maximum"] = self._alias_maximum
        if self.keep_alive_s != connect.keep_alive_s:
            said["server_keep_alive"] = self.keep_alive_s  # [MQTT-3.2.2-21]
        return said or None

    def takes(self, packet: ConnAck | SubAck | UnsubAck | Disconnect) -> bool:
        """Whether the client's maximum packet size allows it [MQTT-3.1.2-24]."""
        return packet.encoded_size <= self._client_packet_bytes

    # --- PUBLISH of the client ----------------------------------------------------------------------------------------------

    def incoming(self, now: float, packet: Publish) -> Message | int:
        """The message of a PUBLISH with properties, its alias resolved; a reason code where that is not allowed."""
        properties = packet.properties or {}
        if "subscription_identifier" in properties:
            return PROTOCOL_ERROR  # [MQTT-3.3.4-6]
        message = packet.message
        topic = message.topic
        alias = properties.get("topic_alias")
        if alias is not None:
            if not 0 < alias <= self._alias_maximum:
                return TOPIC_ALIAS_INVALID  # [MQTT-3.3.2-9]
            if topic:
                self._aliases_in[alias] = topic
            elif alias not in self._aliases_in:
                return PROTOCOL_ERROR  # 3.3.4
            else:
                topic = self._aliases_in[alias]
        expiry_s = properties.get("message_expiry_interval")
        passed_on = {name: properties[name] for name in PASSED_ON if name in properties}
        return dataclasses.replace(
            message,
            topic=topic,
            expires_s=message.expires_s if expiry_s is None else now + expiry_s,
            properties=passed_on or None,
        )

    # --- PUBLISH to the client ----------------------------------------------------------------------------------------------

    def outgoing(self, now: float, message: Message, qos: int, packet_id: int, retain: bool, *, dup: bool = False) -> Publish:
        """The PUBLISH packet with what the message carries, its remaining expiry interval and a topic alias."""
        properties: Properties = dict(message.properties) if message.properties else {}
        if message.expires_s < NEVER:
            # [MQTT-3.3.2-6]: the received value less the time it has waited here. To the millisecond: the sum of clock and
            # interval is rounded, and a little more than the interval would become a second more, or too much to encode
            properties["message_expiry_interval"] = max(0, math.ceil(round(message.expires_s - now, 3)))
        if self._client_alias_maximum:
            message = self._with_alias(message, properties)
        return Publish(message, qos, packet_id, dup, retain, V5, properties or None)

    def _with_alias(self, message: Message, properties: Properties) -> Message:
        aliases = self._aliases_out
        alias = aliases.get(message.topic)
        if alias is not None:
            properties["topic_alias"] = alias
            return dataclasses.replace(message, topic="")
        if len(aliases) < self._client_alias_maximum:
            alias = aliases[message.topic] = len(aliases) + 1
            properties["topic_alias"] = alias
        return message

    def too_large(self, now: float, message: Message, qos: int) -> bool:
        """Whether the packet would be larger than the client takes [MQTT-3.1.2-24]; without the alias that might shorten it."""
        if self._client_packet_bytes >= _LARGEST_PACKET:
            return False
        properties: Properties = dict(message.properties) if message.properties else {}
        if message.expires_s < NEVER:
            properties["message_expiry_interval"] = 0
        if self._client_alias_maximum:
            properties["topic_alias"] = 1
        size = Publish(message, qos, 1, version=V5, properties=properties).encoded_size
        return size + len(message.topic.encode()) - len(message.topic) > self._client_packet_bytes


def with_identifiers(message: Message, identifiers: tuple[int, ...]) -> Message:
    """A copy of the message for a subscriber whose subscriptions have identifiers (3.3.2.3.8)."""
    if not identifiers:
        return message
    properties = dict(message.properties or ())
    properties["subscription_identifier"] = identifiers
    return dataclasses.replace(message, properties=properties)


def will_message(now: float, topic: str, payload: bytes, payload_bytes: int, qos: int, properties: Properties | None) -> Message:
    """The message that a will becomes when it is published (3.1.3.2)."""
    body = payload if len(payload) == payload_bytes else None  # the model knows sizes alone
    said = properties or {}
    expires_s = now + said["message_expiry_interval"] if "message_expiry_interval" in said else NEVER
    passed_on = {name: said[name] for name in PASSED_ON if name in said}
    return Message(
        -1, "will", topic, payload_bytes, qos, now, uplink=True, expires_s=expires_s, body=body, properties=passed_on or None
    )
