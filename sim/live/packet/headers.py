"""IPv4 and TCP headers as the path needs them: addresses, ports, flags, and the answers that a network gives by itself.

RFC 791, RFC 792 (ICMP), RFC 9293 3.10.7 (which RST answers what), RFC 1071 (checksum).
"""

from __future__ import annotations

import struct
from ipaddress import IPv4Address

TCP, UDP, ICMP = 6, 17, 1
FIN, SYN, RST, ACK = 0x01, 0x02, 0x04, 0x10
# who signs an ICMP message of the network: an address for documentation (RFC 5737), it never leaves the namespaces
_ROUTER = IPv4Address("192.0.2.1").packed
_QUOTED_BYTES = 28  # of the packet in an ICMP error: headers and 64 bits at least (RFC 792); here IPv4 20 + 8


def is_ipv4(packet: bytes) -> bool:
    return len(packet) >= 20 and packet[0] >> 4 == 4


def source(packet: bytes) -> bytes:
    return packet[12:16]


def destination(packet: bytes) -> bytes:
    return packet[16:20]


def tcp_flags(packet: bytes) -> int:
    """Flags of a TCP segment, -1 where the packet is none (or a later fragment of one)."""
    at = (packet[0] & 0x0F) * 4
    if packet[9] != TCP or len(packet) < at + 20 or packet[6] & 0x1F or packet[7]:
        return -1
    return packet[at + 13]


def flow(packet: bytes, *, from_vehicle: bool) -> bytes:
    """Protocol, addresses and ports, the vehicle's end first, so that both directions of a flow have the same key."""
    at = (packet[0] & 0x0F) * 4
    has_ports = packet[9] in (TCP, UDP)
    near, far = (packet[at : at + 2], packet[at + 2 : at + 4]) if has_ports else (b"", b"")
    if from_vehicle:
        return packet[9:10] + packet[12:20] + near + far
    return packet[9:10] + packet[16:20] + packet[12:16] + far + near


def near_end(key: bytes) -> tuple[str, int] | None:
    """Address and port of the vehicle's end, from what `flow` makes of a TCP segment; None for other packets."""
    if key[0] != TCP or len(key) < 13:
        return None
    return str(IPv4Address(key[1:5])), int.from_bytes(key[9:11], "big")


def reset_for(packet: bytes) -> bytes | None:
    """The RST with which the path answers a segment in the name of its destination; None where none is due."""
    flags = tcp_flags(packet)
    if flags < 0 or flags & RST:
        return None
    at = (packet[0] & 0x0F) * 4
    source_port, destination_port, sequence, acknowledged, offset = struct.unpack_from("!HHIIB", packet, at)
    if flags & ACK:
        answer = (acknowledged, 0, RST)
    else:
        (total,) = struct.unpack_from("!H", packet, 2)
        length = total - at - (offset >> 4) * 4 + bool(flags & SYN) + bool(flags & FIN)
        answer = (0, (sequence + length) & 0xFFFFFFFF, RST | ACK)
    segment = struct.pack("!HHIIBBHHH", destination_port, source_port, answer[0], answer[1], 5 << 4, answer[2], 0, 0, 0)
    pseudo = packet[16:20] + packet[12:16] + struct.pack("!BBH", 0, TCP, len(segment))
    check = struct.pack("!H", checksum(pseudo + segment))
    return _ipv4(TCP, packet[16:20], packet[12:16], segment[:16] + check + segment[18:])


def unreachable_for(packet: bytes) -> bytes | None:
    """ICMP host unreachable for a packet; None for ICMP itself (RFC 1122 3.2.2)."""
    if packet[9] == ICMP:
        return None
    quoted = packet[: (packet[0] & 0x0F) * 4 - 20 + _QUOTED_BYTES]
    body = struct.pack("!BBHI", 3, 1, 0, 0) + quoted
    body = body[:2] + struct.pack("!H", checksum(body)) + body[4:]
    return _ipv4(ICMP, _ROUTER, packet[12:16], body)


def checksum(data: bytes) -> int:
    """The Internet checksum (RFC 1071)."""
    if len(data) % 2:
        data += b"\0"
    total: int = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def _ipv4(protocol: int, sender: bytes, receiver: bytes, body: bytes) -> bytes:
    header = struct.pack("!BBHHHBBH4s4s", 0x45, 0, 20 + len(body), 0, 0x4000, 64, protocol, 0, sender, receiver)
    return header[:10] + struct.pack("!H", checksum(header)) + header[12:] + body
