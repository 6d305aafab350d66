"""TLS handshakes: bytes and round trips against every row of docs/sources.md, PQC-TLS (tables T1, T2, T3, T4)."""

import itertools

import pytest

from sim.protocols.tls import (
    RECORD_BYTES,
    RECORD_OVERHEAD_BYTES,
    TLS,
    can_resume,
    extra_round_trips,
    handshake,
    sealed_bytes,
)

#: T1, chain leaf+1: profile, signature, mutual, ClientHello, server flight, client flight 2, tickets, CPU us client and server
FULL = [
    ("classical", "", False, 238, 1735, 80, 510, 474, 266),
    ("classical", "", True, 238, 1812, 1601, 1982, 496, 589),
    ("hybrid", "", False, 1422, 2823, 80, 510, 516, 271),
    ("hybrid", "", True, 1422, 2900, 1601, 1982, 565, 627),
    ("pqc", "ml-dsa-44", False, 1422, 12365, 80, 510, 699, 712),
    ("pqc", "ml-dsa-44", True, 1422, 12442, 11143, 9182, 1297, 1354),
    ("pqc", "ml-dsa-65", False, 1422, 16312, 80, 510, 901, 1144),
    ("pqc", "ml-dsa-65", True, 1422, 16389, 15090, 12222, 1722, 1757),
]

#: T2: profile, signature, mutual, ticket kind, ClientHello, server flight, client flight 2, tickets after
RESUMED = [
    ("classical", "", False, "stateless", 509, 241, 80, 255),
    ("classical", "", True, "stateless", 1245, 241, 80, 991),
    ("classical", "", True, "stateful", 333, 241, 80, 79),
    ("hybrid", "", False, "stateless", 1693, 1329, 80, 255),
    ("hybrid", "", True, "stateless", 2429, 1329, 80, 991),
    ("hybrid", "", True, "stateful", 1517, 1329, 80, 79),
    ("pqc", "ml-dsa-44", True, "stateless", 6029, 1329, 80, 4591),
    ("pqc", "ml-dsa-65", True, "stateless", 7549, 1329, 80, 6111),
    ("pqc", "ml-dsa-65", True, "stateful", 1517, 1329, 80, 79),
]

#: T3: certificate, mutual, chain, mode, server flight, client flight 2 with CONNECT, extra round trips of the server's flight
#: at MSS 1460 / 1448 / 1380 / 1368, of the client's (cubic), round trips to CONNACK (cubic) at the four MSS
ROUND_TRIPS = [
    ("ECDSA-P256", False, "leaf+1", "full", 2823, 166, (0, 0, 0, 0), 0, (3, 3, 3, 3)),
    ("ECDSA-P256", False, "leaf only", "full", 2167, 166, (0, 0, 0, 0), 0, (3, 3, 3, 3)),
    ("ECDSA-P256", False, "auto (leaf+1+root)", "full", 3321, 166, (0, 0, 0, 0), 0, (3, 3, 3, 3)),
    ("ECDSA-P256", True, "leaf+1", "full", 2900, 1687, (0, 0, 0, 0), 0, (3, 3, 3, 3)),
    ("ECDSA-P256", True, "leaf+1", "psk", 1329, 166, (0, 0, 0, 0), 0, (3, 3, 3, 3)),
    ("ECDSA-P256", True, "leaf only", "full", 2244, 1031, (0, 0, 0, 0), 0, (3, 3, 3, 3)),
    ("ECDSA-P256", True, "auto (leaf+1+root)", "full", 3398, 2185, (0, 0, 0, 0), 0, (3, 3, 3, 3)),
    ("RSA-2048", False, "leaf+1", "full", 3801, 166, (0, 0, 0, 0), 0, (3, 3, 3, 3)),
    ("RSA-2048", False, "leaf only", "full", 2748, 166, (0, 0, 0, 0), 0, (3, 3, 3, 3)),
    ("RSA-2048", False, "auto (leaf+1+root)", "full", 4695, 166, (0, 0, 0, 0), 0, (3, 3, 3, 3)),
    ("RSA-2048", True, "leaf+1", "full", 3878, 2665, (0, 0, 0, 0), 0, (3, 3, 3, 3)),
    ("RSA-2048", True, "leaf+1", "psk", 1329, 166, (0, 0, 0, 0), 0, (3, 3, 3, 3)),
    ("RSA-2048", True, "leaf only", "full", 2825, 1612, (0, 0, 0, 0), 0, (3, 3, 3, 3)),
    ("RSA-2048", True, "auto (leaf+1+root)", "full", 4772, 3559, (0, 0, 0, 0), 0, (3, 3, 3, 3)),
    ("ML-DSA-44", False, "leaf+1", "full", 12365, 166, (0, 0, 0, 0), 0, (3, 3, 3, 3)),
    ("ML-DSA-44", False, "leaf only", "full", 8112, 166, (0, 0, 0, 0), 0, (3, 3, 3, 3)),
    ("ML-DSA-44", False, "auto (leaf+1+root)", "full", 16459, 166, (1, 1, 1, 1), 0, (4, 4, 4, 4)),
    ("ML-DSA-44", True, "leaf+1", "full", 12442, 11229, (0, 0, 0, 0), 0, (3, 3, 3, 3)),
    ("ML-DSA-44", True, "leaf+1", "psk", 1329, 166, (0, 0, 0, 0), 0, (3, 3, 3, 3)),
    ("ML-DSA-44", True, "leaf only", "full", 8189, 6976, (0, 0, 0, 0), 0, (3, 3, 3, 3)),
    ("ML-DSA-44", True, "auto (leaf+1+root)", "full", 16536, 15323, (1, 1, 1, 1), 1, (5, 5, 5, 5)),
    ("ML-DSA-65", False, "leaf+1", "full", 16312, 166, (1, 1, 1, 1), 0, (4, 4, 4, 4)),
    ("ML-DSA-65", False, "leaf only", "full", 10530, 166, (0, 0, 0, 0), 0, (3, 3, 3, 3)),
    ("ML-DSA-65", False, "auto (leaf+1+root)", "full", 21957, 166, (1, 1, 1, 1), 0, (4, 4, 4, 4)),
    ("ML-DSA-65", True, "leaf+1", "full", 16389, 15176, (1, 1, 1, 1), 1, (5, 5, 5, 5)),
    ("ML-DSA-65", True, "leaf+1", "psk", 1329, 166, (0, 0, 0, 0), 0, (3, 3, 3, 3)),
    ("ML-DSA-65", True, "leaf+1", "psk_stateful", 1329, 166, (0, 0, 0, 0), 0, (3, 3, 3, 3)),
    ("ML-DSA-65", True, "leaf only", "full", 10607, 9394, (0, 0, 0, 0), 0, (3, 3, 3, 3)),
    ("ML-DSA-65", True, "auto (leaf+1+root)", "full", 22034, 20821, (1, 1, 1, 1), 1, (5, 5, 5, 5)),
    ("ML-DSA-87", False, "leaf+1", "full", 21546, 166, (1, 1, 1, 1), 0, (4, 4, 4, 4)),
    ("ML-DSA-87", False, "leaf only", "full", 13806, 166, (0, 0, 1, 1), 0, (3, 3, 4, 4)),
    ("ML-DSA-87", False, "auto (leaf+1+root)", "full", 29149, 166, (1, 1, 1, 1), 0, (4, 4, 4, 4)),
    ("ML-DSA-87", True, "leaf+1", "full", 21623, 20410, (1, 1, 1, 1), 1, (5, 5, 5, 5)),
    ("ML-DSA-87", True, "leaf+1", "psk", 1329, 166, (0, 0, 0, 0), 0, (3, 3, 3, 3)),
    ("ML-DSA-87", True, "leaf only", "full", 13883, 12670, (0, 0, 1, 1), 0, (3, 3, 4, 4)),
    ("ML-DSA-87", True, "auto (leaf+1+root)", "full", 29226, 28013, (1, 1, 1, 1), 1, (5, 5, 5, 5)),
]
MSS = (1460, 1448, 1380, 1368)

#: T4, measured in the kernel with cubic: bytes of a flight, MSS, whether it arrived before any acknowledgement
FIRST_WINDOW = [
    (12442, 1448, True),
    (11229, 1448, True),
    (10607, 1448, True),
    (9394, 1448, True),
    (16389, 1448, False),
    (15176, 1448, False),
    (13883, 1448, True),
    (12670, 1448, True),
    (21623, 1448, False),
    (20410, 1448, False),
    (12442, 1368, True),
    (11229, 1368, True),
    (10607, 1368, True),
    (9394, 1368, True),
    (16389, 1368, False),
    (15176, 1368, False),
    (13883, 1368, False),
    (12670, 1368, True),
    (21623, 1368, False),
    (20410, 1368, False),
]


def tls(profile: str, signature: str, mutual: bool, **other: object) -> TLS:
    return TLS(profile=profile, mutual=mutual, **({"signature": signature} if signature else {}), **other)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("profile", "signature", "mutual", "hello", "server", "client", "tickets", "client_us", "server_us"), FULL
)
def test_a_full_handshake_takes_the_bytes_and_the_cpu_that_were_measured(
    profile, signature, mutual, hello, server, client, tickets, client_us, server_us
):
    """T1."""
    costs = handshake(tls(profile, signature, mutual))
    assert costs is not None
    flights = (costs.client_hello_bytes, costs.server_flight_bytes, costs.client_flight_bytes, costs.tickets_bytes)
    assert flights == (hello, server, client, tickets)
    assert (costs.client_cpu_s, costs.server_cpu_s) == pytest.approx((client_us * 1e-6, server_us * 1e-6))


@pytest.mark.parametrize(("profile", "signature", "mutual", "kind", "hello", "server", "client", "tickets"), RESUMED)
def test_a_resumption_takes_the_bytes_that_were_measured(profile, signature, mutual, kind, hello, server, client, tickets):
    """T2; the trap of stateless tickets with mTLS: the ticket, and so the next ClientHello, holds the vehicle's certificate."""
    costs = handshake(tls(profile, signature, mutual, resumption=kind), resumed=True)
    assert costs is not None
    flights = (costs.client_hello_bytes, costs.server_flight_bytes, costs.client_flight_bytes, costs.tickets_bytes)
    assert flights == (hello, server, client, tickets)


@pytest.mark.parametrize(
    ("profile", "signature", "mutual", "kind"),
    [
        (profile, signature, mutual, kind)
        for profile, signature in (("classical", ""), ("hybrid", ""), ("pqc", "ml-dsa-44"), ("pqc", "ml-dsa-65"))
        for mutual, kind in itertools.product((False, True), ("stateless", "stateful"))
    ],
)
def test_every_setting_has_a_resumption_that_sends_no_certificate(profile, signature, mutual, kind):
    costs = handshake(tls(profile, signature, mutual, resumption=kind), resumed=True)
    assert costs is not None
    assert costs.client_flight_bytes == 80
    assert costs.server_flight_bytes in (241, 1329)


@pytest.mark.parametrize(
    ("certificate", "mutual", "chain", "mode", "server_flight", "client_flight", "extra_server", "extra_client", "connack"),
    ROUND_TRIPS,
)
@pytest.mark.parametrize("column", range(4))
def test_the_initial_window_forces_the_round_trips_of_the_table(
    certificate, mutual, chain, mode, server_flight, client_flight, extra_server, extra_client, connack, column
):
    """T3, all 36 rows at four segment sizes: CONNACK = 3 + extra(server) + extra(client)."""
    assert extra_round_trips(server_flight, MSS[column]) == extra_server[column]
    assert extra_round_trips(client_flight, MSS[column]) == extra_client
    assert 3 + extra_server[column] + extra_client == connack[column]


@pytest.mark.parametrize(("flight", "mss", "fits"), FIRST_WINDOW)
def test_a_kernel_sends_ten_segments_before_any_acknowledgement(flight, mss, fits):
    """T4: the first burst was exactly 14,480 / 13,680 bytes."""
    assert (extra_round_trips(flight, mss) == 0) == fits


def test_the_second_step_is_at_three_windows():
    """PQC-TLS 3: 43.4 kB at MSS 1448."""
    assert extra_round_trips(43_440, 1448) == 1
    assert extra_round_trips(43_441, 1448) == 2


def test_a_connection_that_died_without_close_notify_is_not_resumed_unless_told_to():
    """PQC-TLS 2, second trap: exactly what an address change does."""
    stateful = TLS(resumption="stateful")
    assert can_resume(stateful, ticket_age_s=10.0, died=False)
    assert not can_resume(stateful, ticket_age_s=10.0, died=True)
    assert can_resume(TLS(resumption="stateful", resume_after_death=True), ticket_age_s=10.0, died=True)
    assert not can_resume(stateful, ticket_age_s=7201.0, died=False)
    assert not can_resume(TLS(), ticket_age_s=10.0, died=False)


@pytest.mark.parametrize(("size", "records"), [(1, 1), (RECORD_BYTES, 1), (RECORD_BYTES + 1, 2), (262_144, 16)])
def test_application_data_is_sealed_in_records_of_16_kib(size, records):
    """RFC 8446 5.1, 5.2."""
    assert sealed_bytes(TLS(), size) == size + records * RECORD_OVERHEAD_BYTES
    assert sealed_bytes(TLS(profile="none"), size) == size
    assert handshake(TLS(profile="none")) is None
