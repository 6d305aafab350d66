"""DNS over the link: the queries of the vehicle's stub resolver, and what it reads of the answers (RFC 1035 4)."""

from __future__ import annotations

import struct
from ipaddress import IPv4Address

PORT = 53
_HEADER = struct.Struct("!HHHHHH")
_TYPE_A, _CLASS_IN = 1, 1
_RESPONSE, _RECURSION_DESIRED = 0x8000, 0x0100


def query(number: int, name: str) -> bytes:
    """A query for the A record of a name."""
    return _HEADER.pack(number, _RECURSION_DESIRED, 1, 0, 0, 0) + _labels(name) + struct.pack("!HH", _TYPE_A, _CLASS_IN)


def name_in(message: bytes) -> str:
    """The name that a query or an answer is about, in lower case; "" for anything else."""
    try:
        return _read_name(message, _HEADER.size)[0]
    except ValueError:
        return ""


def read_answer(data: bytes, number: int) -> tuple[str, float] | None:
    """(address, TTL in s) of an answer to query `number`, ("", 0) for a name without address; None for anything else."""
    try:
        answered, flags, questions, records, *_ = _HEADER.unpack_from(data)
        if answered != number or not flags & _RESPONSE:
            return None
        at = _HEADER.size
        for _ in range(questions):
            at = _read_name(data, at)[1] + 4
        for _ in range(records):
            at = _read_name(data, at)[1]
            kind, family, ttl_s, size = struct.unpack_from("!HHIH", data, at)
            at += 10 + size
            if (kind, family, size) == (_TYPE_A, _CLASS_IN, 4):
                return str(IPv4Address(data[at - 4 : at])), float(ttl_s)
    except (struct.error, ValueError):
        return None
    return "", 0.0


def _labels(name: str) -> bytes:
    labels = [label.encode("idna") for label in name.rstrip(".").split(".")]
    return b"".join(bytes((len(label),)) + label for label in labels) + b"\0"


def _read_name(data: bytes, at: int) -> tuple[str, int]:
    """(name in lower case, index after it). A pointer ends the name (RFC 1035 4.1.4); what it points to is not needed."""
    labels: list[str] = []
    while True:
        if at >= len(data):
            raise ValueError("a name without end")
        length = data[at]
        if length >= 0xC0:
            return ".".join(labels), at + 2
        if length == 0:
            return ".".join(labels), at + 1
        labels.append(data[at + 1 : at + 1 + length].decode("ascii", "replace").lower())
        at += 1 + length
