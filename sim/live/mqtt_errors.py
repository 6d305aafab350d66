"""What can be wrong with bytes that claim to be MQTT (MQTT 5 4.13): each with the reason code it is answered with."""

from __future__ import annotations

from sim.protocols.mqtt_reasons import MALFORMED_PACKET, PROTOCOL_ERROR


class InvalidPacket(ValueError):
    """The bytes are no acceptable packet; the connection has to be closed. `reason_code` is MQTT 5's."""

    def __init__(self, reason_code: int, text: str) -> None:
        super().__init__(text)
        self.reason_code = reason_code
        self.text = text


class MalformedPacket(InvalidPacket):
    """Cannot be parsed according to the standard (MQTT 5 1.2: Malformed Packet)."""

    def __init__(self, text: str, reason_code: int = MALFORMED_PACKET) -> None:
        super().__init__(reason_code, text)


class ProtocolViolation(InvalidPacket):
    """Can be parsed, and holds what the standard does not allow (MQTT 5 1.2: Protocol Error)."""

    def __init__(self, text: str, reason_code: int = PROTOCOL_ERROR) -> None:
        super().__init__(reason_code, text)


class UnsupportedVersion(InvalidPacket):
    """A CONNECT of another protocol version than 3.1.1 and 5; `level` is what it asked for."""

    def __init__(self, reason_code: int, text: str, level: int) -> None:
        super().__init__(reason_code, text)
        self.level = level
