"""MQTT 5 properties to bytes and back (MQTT 5.0 2.2.2); the table of them is sim.protocols.mqtt_properties."""

from __future__ import annotations

from typing import Any

from sim.live.mqtt_errors import MalformedPacket, ProtocolViolation
from sim.live.mqtt_wire import Reader, write_binary, write_text, write_variable
from sim.protocols.mqtt_properties import BY_IDENTIFIER, BY_NAME, Kind, Properties, Property
from sim.protocols.mqtt_reasons import TOPIC_ALIAS_INVALID

#: of one packet; the standard has no limit, so this bounds the work and the memory of one
MOST_REPEATED = 1_000


def read_properties(reader: Reader, packet: str) -> Properties | None:
    """Read property length and properties of `packet` (a name of the table); None where there are none."""
    length = reader.variable()
    if length == 0:
        return None
    inside = reader.sub_reader(length)
    found: Properties = {}
    repeated: dict[str, list[Any]] = {}
    entries = 0
    while inside.left:
        row = BY_IDENTIFIER.get(inside.variable())
        if row is None:
            raise MalformedPacket("a property is unknown")
        if packet not in row.packets:
            raise MalformedPacket(f"{row.name} is no property of {packet.upper()}")
        value = _read_value(inside, row)
        entries += 1
        if entries > MOST_REPEATED:
            raise ProtocolViolation(f"more than {MOST_REPEATED} properties")
        if row.repeats and not (packet == "subscribe" and row.kind is Kind.VARIABLE):
            repeated.setdefault(row.name, []).append(value)
        elif row.name in found:
            raise ProtocolViolation(f"{row.name} is given twice")
        else:
            found[row.name] = (value,) if row.repeats else value
    for name, values in repeated.items():
        found[name] = tuple(values)
    return found


def _read_value(reader: Reader, row: Property) -> Any:
    kind = row.kind
    value: Any
    if kind is Kind.TEXT:
        return reader.text()
    if kind is Kind.BINARY:
        return reader.binary()
    if kind is Kind.PAIR:
        return reader.text(), reader.text()
    if kind is Kind.BYTE:
        value = reader.byte()
    elif kind is Kind.TWO_BYTES:
        value = reader.two_bytes()
    elif kind is Kind.FOUR_BYTES:
        value = reader.four_bytes()
    else:
        value = reader.variable()
    if row.name == "topic_alias" and value == 0:
        raise ProtocolViolation("topic alias 0", TOPIC_ALIAS_INVALID)  # MQTT 5 3.3.2.3.4
    if value < row.at_least or (row.at_most is not None and value > row.at_most):
        raise ProtocolViolation(f"{row.name} {value} is not allowed")
    return value


def write_properties(properties: Properties | None) -> bytes:
    """Property length and properties."""
    if not properties:
        return b"\0"
    body = b"".join(_write_property(BY_NAME[name], value) for name, value in properties.items())
    return write_variable(len(body)) + body


def _write_property(row: Property, value: Any) -> bytes:
    identifier = bytes((row.identifier,))
    kind = row.kind
    if kind is Kind.BYTE:
        return identifier + bytes((value,))
    if kind is Kind.TWO_BYTES:
        return identifier + int(value).to_bytes(2, "big")
    if kind is Kind.FOUR_BYTES:
        return identifier + int(value).to_bytes(4, "big")
    if kind is Kind.TEXT:
        return identifier + write_text(value)
    if kind is Kind.BINARY:
        return identifier + write_binary(value)
    if kind is Kind.VARIABLE:
        return b"".join(identifier + write_variable(one) for one in value)
    return b"".join(identifier + write_text(name) + write_text(text) for name, text in value)
