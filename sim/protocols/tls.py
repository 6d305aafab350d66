"""Cost of a TLS 1.3 handshake (RFC 8446): flights in bytes, CPU on both sides, what resumption takes. No cryptography here.

Bytes and CPU were measured with OpenSSL 4.0.3, chain leaf + one intermediate (docs/sources.md, "PQC-TLS", tables T1, T2).
The round trips follow from the flights: 1 for TLS 1.3, and more where a flight exceeds the initial congestion window.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final, Literal

from sim.settings import setting

Profile = Literal["none", "classical", "hybrid", "pqc"]


@dataclass(frozen=True, slots=True)
class TLS:
    """Which handshake the fleet uses."""

    profile: Profile = setting(
        "hybrid",
        "none; classical: X25519 + ECDSA-P256; hybrid: X25519MLKEM768 + ECDSA-P256; pqc: X25519MLKEM768 + ML-DSA",
        "design 4",
    )
    signature: Literal["ml-dsa-44", "ml-dsa-65"] = setting("ml-dsa-44", "signature scheme of the profile pqc", "design 4")
    mutual: bool = setting(True, "the vehicle shows a certificate too", "seed: client certificate in conn_opts.ssl")
    resumption: Literal["off", "stateless", "stateful"] = setting(
        "off", "session tickets: off; stateless (ticket holds the client's certificate); stateful (server cache)", "pqc-tls 2, T2"
    )
    resume_after_death: bool = setting(
        False,
        "whether a session can be resumed after its connection died without close_notify",
        "pqc-tls 2: OpenSSL does not by default",
    )
    ticket_lifetime_s: float = setting(7200.0, "ticket lifetime", "OpenSSL default SSL_CTX_set_timeout 7200 s", above=0.0)
    vehicle_slowdown: float = setting(
        10.0,
        "the vehicle's CPU is this much slower than the server's",
        "our choice; ECU-class CPU not measured (pqc-tls)",
        above=0.0,
    )


@dataclass(frozen=True, slots=True)
class Handshake:
    """Flights and CPU of one handshake. Sizes in bytes, CPU in s on the machine it was measured on."""

    client_hello_bytes: int
    server_flight_bytes: int
    client_flight_bytes: int  # certificate and Finished of the client
    tickets_bytes: int  # NewSessionTicket messages after it
    client_cpu_s: float
    server_cpu_s: float


#: (profile, signature, mutual) -> full handshake; table T1
_FULL: dict[tuple[str, str, bool], Handshake] = {
    ("classical", "", False): Handshake(238, 1735, 80, 510, 474e-6, 266e-6),
    ("classical", "", True): Handshake(238, 1812, 1601, 1982, 496e-6, 589e-6),
    ("hybrid", "", False): Handshake(1422, 2823, 80, 510, 516e-6, 271e-6),
    ("hybrid", "", True): Handshake(1422, 2900, 1601, 1982, 565e-6, 627e-6),
    ("pqc", "ml-dsa-44", False): Handshake(1422, 12365, 80, 510, 699e-6, 712e-6),
    ("pqc", "ml-dsa-44", True): Handshake(1422, 12442, 11143, 9182, 1297e-6, 1354e-6),
    ("pqc", "ml-dsa-65", False): Handshake(1422, 16312, 80, 510, 901e-6, 1144e-6),
    ("pqc", "ml-dsa-65", True): Handshake(1422, 16389, 15090, 12222, 1722e-6, 1757e-6),
}

#: (profile, signature, mutual, ticket kind) -> resumption by PSK-DHE; table T2. Where T2 has no row for a kind of ticket
#: the nearest one stands in: stateful tickets do not depend on the certificate.
_RESUMED: dict[tuple[str, str, bool, str], Handshake] = {
    ("classical", "", False, "stateless"): Handshake(509, 241, 80, 255, 167e-6, 183e-6),
    ("classical", "", True, "stateless"): Handshake(1245, 241, 80, 991, 170e-6, 267e-6),
    ("classical", "", True, "stateful"): Handshake(333, 241, 80, 79, 158e-6, 157e-6),
    ("classical", "", False, "stateful"): Handshake(333, 241, 80, 79, 158e-6, 157e-6),
    ("hybrid", "", False, "stateless"): Handshake(1693, 1329, 80, 255, 235e-6, 223e-6),
    ("hybrid", "", True, "stateless"): Handshake(2429, 1329, 80, 991, 245e-6, 317e-6),
    ("hybrid", "", True, "stateful"): Handshake(1517, 1329, 80, 79, 236e-6, 207e-6),
    ("hybrid", "", False, "stateful"): Handshake(1517, 1329, 80, 79, 236e-6, 207e-6),
    ("pqc", "ml-dsa-44", False, "stateless"): Handshake(1693, 1329, 80, 255, 235e-6, 223e-6),
    ("pqc", "ml-dsa-44", True, "stateless"): Handshake(6029, 1329, 80, 4591, 253e-6, 315e-6),
    ("pqc", "ml-dsa-44", True, "stateful"): Handshake(1517, 1329, 80, 79, 231e-6, 202e-6),
    ("pqc", "ml-dsa-44", False, "stateful"): Handshake(1517, 1329, 80, 79, 231e-6, 202e-6),
    ("pqc", "ml-dsa-65", False, "stateless"): Handshake(1693, 1329, 80, 255, 235e-6, 223e-6),
    ("pqc", "ml-dsa-65", True, "stateless"): Handshake(7549, 1329, 80, 6111, 257e-6, 327e-6),
    ("pqc", "ml-dsa-65", True, "stateful"): Handshake(1517, 1329, 80, 79, 231e-6, 202e-6),
    ("pqc", "ml-dsa-65", False, "stateful"): Handshake(1517, 1329, 80, 79, 231e-6, 202e-6),
}

STATEFUL_TICKET_BYTES = 79  # a key of the server's cache, whatever the certificates; two of them after a full handshake
RECORD_OVERHEAD_BYTES: Final = 22  # record header 5, content type 1, AEAD tag 16 (RFC 8446 5.2)
RECORD_BYTES: Final = 16384


def handshake(tls: TLS, *, resumed: bool = False) -> Handshake | None:
    """Return the handshake of the profile; None for the profile `none`."""
    if tls.profile == "none":
        return None
    signature = tls.signature if tls.profile == "pqc" else ""
    if resumed and tls.resumption != "off":
        return _RESUMED[tls.profile, signature, tls.mutual, tls.resumption]
    full = _FULL[tls.profile, signature, tls.mutual]
    if tls.resumption == "stateful":
        return replace(full, tickets_bytes=2 * STATEFUL_TICKET_BYTES)
    return full


def can_resume(tls: TLS, *, ticket_age_s: float, died: bool) -> bool:
    """Whether the next handshake resumes: tickets in use, fresh enough, and the connection that got it ended well enough."""
    return tls.resumption != "off" and ticket_age_s <= tls.ticket_lifetime_s and (not died or tls.resume_after_death)


def sealed_bytes(tls: TLS, size_bytes: int) -> int:
    """Bytes on the transport for `size_bytes` of application data."""
    if tls.profile == "none":
        return size_bytes
    return size_bytes + RECORD_OVERHEAD_BYTES * -(-size_bytes // RECORD_BYTES)


def extra_round_trips(flight_bytes: int, mss_bytes: int, initial_window: int = 10) -> int:
    """Round trips that the congestion window forces on a flight beyond the one of TLS 1.3.

    Smallest n with window x (2^n - 1) x MSS >= flight, less one (pqc-tls 3; RFC 6928, RFC 5681 slow start).
    """
    rounds, reach = 1, initial_window * mss_bytes
    while reach < flight_bytes:
        rounds += 1
        reach = initial_window * (2**rounds - 1) * mss_bytes
    return rounds - 1
