"""Flights of a real handshake in bytes, for the comparison with the model's table (sim/protocols/tls.py).

Two OpenSSL connections with the contexts of a live run, in one process over memory BIOs: no network, no time.
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass

from OpenSSL import SSL

from sim.live.tls_context import PeerCheck, was_resumed
from sim.live.tls_parties import Parties, certificates_for, parties
from sim.protocols.server import Server
from sim.protocols.tls import TLS

_VIN = "VIN123"
_ALL = 1 << 20


@dataclass(frozen=True, slots=True)
class Flights:
    """As the model's Handshake has them."""

    client_hello_bytes: int
    server_flight_bytes: int
    client_flight_bytes: int
    tickets_bytes: int
    resumed: bool
    group: str


def measure(settings: TLS) -> tuple[Flights, Flights | None]:
    """A full handshake, and a second one with its ticket; None where the settings have no resumption."""
    server = Server(tls=settings)
    both = parties(server, _VIN, certificates_for(server, [_VIN]))
    full, session = _shake(both, None)
    if settings.resumption == "off" or session is None:
        return full, None
    return full, _shake(both, session)[0]


def _shake(both: Parties, session: SSL.Session | None) -> tuple[Flights, SSL.Session | None]:
    client, server = SSL.Connection(both.vehicle.client, None), SSL.Connection(both.server.server, None)
    client.set_app_data(PeerCheck(both.server_name))
    server.set_app_data(PeerCheck())
    client.set_tlsext_host_name(both.server_name.encode())
    client.set_connect_state()
    server.set_accept_state()
    if session is not None:
        client.set_session(session)
    hello = _flight(client, server)
    answer = _flight(server, client)
    finished = _flight(client, server)
    tickets = _flight(server, client)
    with contextlib.suppress(SSL.WantReadError):  # it reads the tickets, and there is no application data
        client.recv(1)
    found = Flights(hello, answer, finished, tickets, was_resumed(client), client.get_group_name() or "")
    kept = client.get_session()
    for connection in (client, server):
        connection.shutdown()
    return found, kept


def _flight(sender: SSL.Connection, receiver: SSL.Connection) -> int:
    """What `sender` has to say now, handed to `receiver`."""
    with contextlib.suppress(SSL.WantReadError):
        sender.do_handshake()
    try:
        data = sender.bio_read(_ALL)
    except SSL.WantReadError:
        return 0
    receiver.bio_write(data)
    return len(data)
