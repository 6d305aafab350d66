"""Addresses, routes and interfaces of a namespace through rtnetlink(7), acknowledged by the kernel within microseconds.

The `ip` program does the same in some milliseconds and without saying when; the vehicle's address has to change on time.
"""

from __future__ import annotations

import socket
import struct
from ipaddress import IPv4Address

_REQUEST, _ACK, _REPLACE, _CREATE = 0x1, 0x4, 0x100, 0x400
_ERROR, _NEWLINK, _NEWADDR, _DELADDR, _NEWROUTE = 2, 16, 20, 21, 24
_IFF_UP = 0x1
_IFLA_MTU, _IFLA_TXQLEN = 4, 13
_IFA_ADDRESS, _IFA_LOCAL = 1, 2
_RTA_OIF, _RTA_PREFSRC, _RTA_METRICS, _RTAX_INITCWND, _RTAX_CC_ALGO = 4, 7, 8, 11, 16
_TABLE_MAIN, _PROTOCOL_STATIC, _SCOPE_LINK, _UNICAST = 254, 4, 253, 1
_GROUP_LINK = 1
_WAIT_S = 5.0


class Netlink:
    """A conversation with the network stack of the namespace in which it was made, about one interface."""

    def __init__(self, interface: str) -> None:
        self.index = socket.if_nametoindex(interface)
        self._socket = _open(0)
        self._socket.settimeout(_WAIT_S)
        self._sequence = 0

    def interface_up(self, *, mtu_bytes: int, queue_packets: int, index: int = 0) -> None:
        body = struct.pack("=BxHiII", 0, 0, index or self.index, _IFF_UP, _IFF_UP)
        body += _attribute(_IFLA_MTU, struct.pack("=I", mtu_bytes)) + _attribute(_IFLA_TXQLEN, struct.pack("=I", queue_packets))
        self._ask(_NEWLINK, 0, body)

    def add_address(self, address: str) -> None:
        """Add address/32."""
        self._ask(_NEWADDR, _CREATE | _REPLACE, self._address(address))

    def delete_address(self, address: str) -> None:
        """Delete address/32; the kernel drops the routes that have it as their source."""
        self._ask(_DELADDR, 0, self._address(address))

    def default_route(self, source: str, initial_window: int, congestion_control: str) -> None:
        """Everything leaves by the interface, with `source` unless a socket is bound to another address.

        The algorithm of TCP's congestion control goes with the route, since a namespace may only choose among those that the
        host allows everybody; "": the namespace's default. Raises OSError EINVAL where the kernel does not have it.
        """
        body = struct.pack("=BBBBBBBBI", socket.AF_INET, 0, 0, 0, _TABLE_MAIN, _PROTOCOL_STATIC, _SCOPE_LINK, _UNICAST, 0)
        body += _attribute(_RTA_OIF, struct.pack("=i", self.index)) + _attribute(_RTA_PREFSRC, IPv4Address(source).packed)
        metrics = _attribute(_RTAX_INITCWND, struct.pack("=I", initial_window))
        if congestion_control:
            metrics += _attribute(_RTAX_CC_ALGO, congestion_control.encode() + b"\0")
        body += _attribute(_RTA_METRICS, metrics)
        self._ask(_NEWROUTE, _CREATE | _REPLACE, body)

    def close(self) -> None:
        self._socket.close()

    def _address(self, address: str) -> bytes:
        packed = IPv4Address(address).packed
        body = struct.pack("=BBBBI", socket.AF_INET, 32, 0, 0, self.index)
        return body + _attribute(_IFA_LOCAL, packed) + _attribute(_IFA_ADDRESS, packed)

    def _ask(self, kind: int, flags: int, body: bytes) -> None:
        """Send one request; raises OSError with what the kernel answers."""
        self._sequence += 1
        self._socket.send(struct.pack("=IHHII", 16 + len(body), kind, _REQUEST | _ACK | flags, self._sequence, 0) + body)
        while True:
            answer = self._socket.recv(65_536)
            _, answered, _, sequence, _ = struct.unpack_from("=IHHII", answer)
            if answered == _ERROR and sequence == self._sequence:
                (error,) = struct.unpack_from("=i", answer, 16)
                if error:
                    raise OSError(-error, f"rtnetlink request {kind}: {OSError(-error, '').args[0]}")
                return


class InterfaceWatch:
    """Tells when somebody takes the interface down (`ip link set eth0 down`) and up again."""

    def __init__(self, index: int) -> None:
        self._index = index
        self._socket = _open(_GROUP_LINK)
        self._socket.setblocking(False)
        self._up = True

    def fileno(self) -> int:
        return self._socket.fileno()

    def changes(self) -> list[bool]:
        """Read what the kernel told: True for each time it has come up since, False for each time it has gone down."""
        found: list[bool] = []
        while True:
            try:
                data = self._socket.recv(65_536)
            except BlockingIOError:
                return found
            while len(data) >= 32:
                length, kind, _, _, _ = struct.unpack_from("=IHHII", data)
                _, _, index, flags, _ = struct.unpack_from("=BxHiII", data, 16)
                if kind == _NEWLINK and index == self._index:
                    up = bool(flags & _IFF_UP)
                    if up != self._up:
                        found.append(up)
                    self._up = up
                data = data[max(16, (length + 3) & ~3) :]

    def close(self) -> None:
        self._socket.close()


def _open(groups: int) -> socket.socket:
    opened = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, socket.NETLINK_ROUTE)
    opened.bind((0, groups))
    return opened


def _attribute(kind: int, value: bytes) -> bytes:
    length = 4 + len(value)
    return struct.pack("=HH", length, kind) + value + b"\0" * (-length % 4)
