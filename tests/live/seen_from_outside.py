"""Packets at a vehicle's interface and the same connection at the broker's side, made by hand, for tests of the observer."""

from __future__ import annotations

import struct
from ipaddress import IPv4Address
from typing import Any

from sim.live.mqtt_codec import encode
from sim.live.names.name_server import NameServer, new_key
from sim.live.observed.visits import Visit
from sim.live.packet import names
from sim.live.packet.capture import Captured
from sim.live.packet.headers import ACK, FIN, RST, SYN, TCP, UDP
from sim.protocols.mqtt_packets import V311, ConnAck, Connect, SubAck, Subscribe
from sim.protocols.server import Server

VEHICLE, SERVER = "10.1.1.100", "52.78.123.45"
BROKER = (SERVER, 8883)
HALF_S = 0.04
NAME = "ota-server.company.com"
NAMES = NameServer(Server(name=NAME, address=SERVER), lambda: 0.0, new_key())


def ip(at_s: float, up: bool, protocol: int, body: bytes, vehicle: str = VEHICLE) -> Captured:
    ends = (vehicle, SERVER) if up else (SERVER, vehicle)
    addresses = b"".join(IPv4Address(end).packed for end in ends)
    head = struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(body), 0, 0, 64, protocol, 0) + addresses
    return Captured(at_s, up, len(head) + len(body), head + body)


def lookup(at_s: float, *, answered: bool, port: int = 40_000) -> list[Captured]:
    """An A and an AAAA query from one socket, as glibc sends them, and their answers a round trip later."""
    found = []
    for number in (1, 2):
        asked = names.query(number, NAME)
        found.append(ip(at_s, True, UDP, struct.pack("!HHHH", port, names.PORT, 8 + len(asked), 0) + asked))
        if answered:
            told = NAMES.answer(asked, udp=True) or b""
            udp = struct.pack("!HHHH", names.PORT, port, 8 + len(told), 0)
            found.append(ip(at_s + 2 * HALF_S, False, UDP, udp + told))
    return sorted(found, key=lambda packet: packet.at_s)


class Connection:
    """One connection, both as packets (`captured`) and as the broker's side has it (`visit`). Plain MQTT."""

    def __init__(self, port: int = 50_000, vehicle: str = VEHICLE) -> None:
        self.near = (vehicle, port)
        self.captured: list[Captured] = []
        self.visit = Visit(near=self.near)
        self._sequence = {True: 1_000, False: 4_294_967_000}  # the server's wraps around
        self._place = {True: 0, False: 0}

    def segment(self, at_s: float, up: bool, flags: int, payload: bytes = b"", *, again: int = 0) -> None:
        """`again`: so many bytes before the next ones, for what is sent once more."""
        ports = (self.near[1], BROKER[1]) if up else (BROKER[1], self.near[1])
        sequence = (self._sequence[up] - again) & 0xFFFFFFFF
        body = struct.pack("!HHIIBBHHH", *ports, sequence, 0, 5 << 4, flags, 0, 0, 0) + payload
        self.captured.append(ip(at_s, up, TCP, body, self.near[0]))
        if not again:
            self._sequence[up] = (sequence + len(payload) + bool(flags & (SYN | FIN))) & 0xFFFFFFFF
            self._place[up] += len(payload)

    def open(self, at_s: float) -> Connection:
        self.segment(at_s, True, SYN)
        self.segment(at_s + 2 * HALF_S, False, SYN | ACK)
        self.segment(at_s + 2 * HALF_S, True, ACK)
        self.visit.accepted_s = at_s + 3 * HALF_S
        return self

    def say(self, at_s: float, packet: Any, *, arrives: bool = True) -> Connection:
        """The vehicle sends an MQTT packet."""
        data = encode(packet, V311)
        self.segment(at_s, True, ACK, data)
        if arrives:
            self.visit.up(at_s + HALF_S, data, self._place[True])
        return self

    def hear(self, at_s: float, packet: Any, *, arrives: bool = True) -> Connection:
        """The broker sends an MQTT packet."""
        data = encode(packet, V311)
        self.visit.down(at_s, data, self._place[False])
        if arrives:
            self.segment(at_s + HALF_S, False, ACK, data)
        else:
            self._place[False] += len(data)
        return self

    def connect(self, at_s: float, *, session: bool = False, subscribe: bool = True, client_id: str = "me") -> Connection:
        """TCP at `at_s`, CONNECT 0.1 s later, CONNACK and SUBACK at the vehicle 0.2 and 0.3 s later."""
        self.open(at_s).say(at_s + 0.1, Connect(client_id, False, 30)).hear(at_s + 0.16, ConnAck(session))
        if subscribe:
            self.say(at_s + 0.22, Subscribe(1, (("vehicle/VIN123/#", 1),))).hear(at_s + 0.26, SubAck(1, (1,)))
        return self

    def fin(self, at_s: float, *, up: bool) -> Connection:
        self.segment(at_s, up, FIN | ACK)
        return self

    def reset(self, at_s: float, *, up: bool) -> Connection:
        self.segment(at_s, up, RST | ACK)
        return self
