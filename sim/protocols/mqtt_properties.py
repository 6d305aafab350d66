"""MQTT 5 properties (MQTT 5.0 2.2.2): their names, identifiers, types and packets, and how many bytes they take.

A packet's properties are a dict from the standard's name to a value: an int, a str, bytes; `subscription_identifier` is a
tuple of ints and `user_property` a tuple of pairs of str, because both may occur more than once and their order counts.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Any

Properties = dict[str, Any]


class Kind(Enum):
    """How a value is encoded (MQTT 5 1.5)."""

    BYTE = "byte"
    TWO_BYTES = "two byte integer"
    FOUR_BYTES = "four byte integer"
    VARIABLE = "variable byte integer"
    TEXT = "UTF-8 string"
    BINARY = "binary data"
    PAIR = "UTF-8 string pair"


@dataclass(frozen=True, slots=True)
class Property:
    """One row of table 2-4. `packets` are names of packets, `will` being the will properties of CONNECT."""

    name: str
    identifier: int
    kind: Kind
    packets: frozenset[str]
    at_least: int = 0
    at_most: int | None = None  # of integers; None: what the encoding holds
    repeats: bool = False


def _row(name: str, identifier: int, kind: Kind, packets: str, at_least: int = 0, at_most: int | None = None) -> Property:
    repeats = name in ("user_property", "subscription_identifier")
    return Property(name, identifier, kind, frozenset(packets.split()), at_least, at_most, repeats)


_ACKNOWLEDGEMENTS = "puback pubrec pubrel pubcomp suback unsuback"
_FLAG = {"at_least": 0, "at_most": 1}

PROPERTIES: tuple[Property, ...] = (
    _row("payload_format_indicator", 0x01, Kind.BYTE, "publish will", **_FLAG),
    _row("message_expiry_interval", 0x02, Kind.FOUR_BYTES, "publish will"),
    _row("content_type", 0x03, Kind.TEXT, "publish will"),
    _row("response_topic", 0x08, Kind.TEXT, "publish will"),
    _row("correlation_data", 0x09, Kind.BINARY, "publish will"),
    _row("subscription_identifier", 0x0B, Kind.VARIABLE, "publish subscribe", at_least=1),
    _row("session_expiry_interval", 0x11, Kind.FOUR_BYTES, "connect connack disconnect"),
    _row("assigned_client_identifier", 0x12, Kind.TEXT, "connack"),
    _row("server_keep_alive", 0x13, Kind.TWO_BYTES, "connack"),
    _row("authentication_method", 0x15, Kind.TEXT, "connect connack auth"),
    _row("authentication_data", 0x16, Kind.BINARY, "connect connack auth"),
    _row("request_problem_information", 0x17, Kind.BYTE, "connect", **_FLAG),
    _row("will_delay_interval", 0x18, Kind.FOUR_BYTES, "will"),
    _row("request_response_information", 0x19, Kind.BYTE, "connect", **_FLAG),
    _row("response_information", 0x1A, Kind.TEXT, "connack"),
    _row("server_reference", 0x1C, Kind.TEXT, "connack disconnect"),
    _row("reason_string", 0x1F, Kind.TEXT, f"connack disconnect auth {_ACKNOWLEDGEMENTS}"),
    _row("receive_maximum", 0x21, Kind.TWO_BYTES, "connect connack", at_least=1),
    _row("topic_alias_maximum", 0x22, Kind.TWO_BYTES, "connect connack"),
    _row("topic_alias", 0x23, Kind.TWO_BYTES, "publish"),  # 0 has a reason code of its own: 3.3.2.3.4
    _row("maximum_qos", 0x24, Kind.BYTE, "connack", **_FLAG),
    _row("retain_available", 0x25, Kind.BYTE, "connack", **_FLAG),
    _row(
        "user_property",
        0x26,
        Kind.PAIR,
        f"connect connack publish will subscribe unsubscribe disconnect auth {_ACKNOWLEDGEMENTS}",
    ),
    _row("maximum_packet_size", 0x27, Kind.FOUR_BYTES, "connect connack", at_least=1),
    _row("wildcard_subscription_available", 0x28, Kind.BYTE, "connack", **_FLAG),
    _row("subscription_identifier_available", 0x29, Kind.BYTE, "connack", **_FLAG),
    _row("shared_subscription_available", 0x2A, Kind.BYTE, "connack", **_FLAG),
)
BY_NAME = {row.name: row for row in PROPERTIES}
BY_IDENTIFIER = {row.identifier: row for row in PROPERTIES}

#: properties of a PUBLISH that the server hands on unaltered (MQTT 5 3.3.2.3: "MUST send ... unaltered")
PASSED_ON = ("payload_format_indicator", "content_type", "response_topic", "correlation_data", "user_property")

_FIXED_BYTES = {Kind.BYTE: 2, Kind.TWO_BYTES: 3, Kind.FOUR_BYTES: 5}


def utf8_bytes(text: str) -> int:
    """Bytes of a UTF-8 encoded string with its length (MQTT 5 1.5.4)."""
    return 2 + (len(text) if text.isascii() else len(text.encode()))


def variable_bytes(value: int) -> int:
    """Bytes of a variable byte integer (MQTT 5 1.5.5)."""
    if value < 128:
        return 1
    if value < 16_384:
        return 2
    return 3 if value < 2_097_152 else 4


def properties_bytes(properties: Properties | None) -> int:
    """Bytes of the properties with their length in front; none at all take one byte (MQTT 5 2.2.2.1)."""
    if not properties:
        return 1
    body = sum(_value_bytes(BY_NAME[name], value) for name, value in properties.items())
    return variable_bytes(body) + body


def _value_bytes(row: Property, value: Any) -> int:
    """Bytes of one property, identifiers included."""
    kind = row.kind
    if kind in _FIXED_BYTES:
        return _FIXED_BYTES[kind]
    if kind is Kind.TEXT:
        return 1 + utf8_bytes(value)
    if kind is Kind.BINARY:
        return 3 + len(value)
    if kind is Kind.VARIABLE:
        return sum(1 + variable_bytes(one) for one in value)
    return sum(1 + utf8_bytes(name) + utf8_bytes(text) for name, text in value)
