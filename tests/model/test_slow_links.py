"""Large chunks on slow links: keep alive behind payload, and what a cut costs. Derived from bytes and rate.

Of a chunk of n bytes on a link of r bit/s the last byte arrives after 8 x (bytes on the wire) / r and half a round trip.
PINGREQ and PINGRESP are in the same ordered stream as the payload (RFC 9293 3.4; one FIFO for each direction of the link).
"""

import math
from dataclasses import replace

import pytest

from sim.drive.timeline import LinkState
from sim.protocols.tcp import HEADER_BYTES
from sim.strategies.backoff import Backoff
from sim.strategies.config import MQTTPersistent
from sim.strategies.workload import OTA, Telemetry
from tests.model.runs import NOTHING_TO_SEND, PLAIN, RTT_S, Row, attempts, chunks, delivered, drive, run, telemetry, traced

KIB = 1024
FAST = {"down_bps": 20e6, "up_bps": 5e6}
MSS = 1448
PING_WIRE = 2 + HEADER_BYTES


def on_the_wire(size: int, topic: str) -> int:
    """IP bytes of a QoS 1 PUBLISH: MQTT 3.1.1 3.3 and a TCP/IP header for each segment."""
    body = 2 + len(topic) + 2 + size
    encoded = body + (3 if body < 16_384 else 4) if body < 2_097_152 else body + 5
    return encoded + HEADER_BYTES * math.ceil(encoded / MSS)


DOWN, UP = "vehicle/VIN123/down/ota", "vehicle/VIN123/up/telemetry"
SIZES = [64 * KIB, 256 * KIB, 512 * KIB, 1024 * KIB]
RATES = [64e3, 128e3, 256e3, 512e3, 2e6]


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("rate_bps", RATES)
@pytest.mark.parametrize("keep_alive_s", [10.0, 30.0, 60.0])
def test_a_chunk_kills_its_connection_where_it_delays_a_ping_response_by_more_than_a_keep_alive(size, rate_bps, keep_alive_s):
    """By paho's rule (docs/sources.md, Brokers 7): a PINGREQ each K, given up K after one that was not answered."""
    config = MQTTPersistent(keep_alive_s=keep_alive_s, address_watch="off")
    seen = run(drive(Row(0.0, down_bps=rate_bps, up_bps=rate_bps), end_s=200.0), config, chunks(5.0, size=size))
    first = attempts(seen)[0]
    sent_s = 5.0 + 8 * on_the_wire(size, DOWN) / rate_bps
    answered_s = sent_s + 8 * PING_WIRE / rate_bps + RTT_S / 2
    killed_s = first.connack_s + 2 * keep_alive_s
    if answered_s > killed_s:
        assert first.reason == "keep_alive"
        assert first.noticed_s == pytest.approx(killed_s, abs=1e-6)
    else:
        assert math.isnan(first.noticed_s)
        assert delivered(seen) == pytest.approx([sent_s + RTT_S / 2], abs=1e-6)
        assert len(attempts(seen)) == 1


def test_which_of_these_chunks_kill_a_connection():
    """The table that the rule yields for K = 30 s: 1 MiB needs more than 159 kbit/s, 256 KiB more than 40 kbit/s."""
    slowest = {size: 8 * on_the_wire(size, DOWN) / (60.0 - 5.0) for size in SIZES}
    assert {size // KIB: round(rate / 1e3) for size, rate in slowest.items()} == {64: 10, 256: 40, 512: 79, 1024: 158}


@pytest.mark.parametrize("size", [16 * KIB, 64 * KIB])
def test_a_ping_request_waits_behind_payload_in_the_uplink(size):
    rate_bps = 64e3
    timeline = drive(Row(0.0, down_bps=rate_bps, up_bps=rate_bps), end_s=45.0)
    config = MQTTPersistent(keep_alive_s=30.0, address_watch="off")
    seen = run(timeline, config, telemetry(29.0, size=size))
    (asked_s,) = traced(seen, "vehicle", "send_packet", "PINGREQ")
    (heard_s,) = traced(seen, "server", "packet_received", "PINGREQ")
    behind_s = 29.0 + 8 * on_the_wire(size, UP) / rate_bps
    assert heard_s == pytest.approx(max(asked_s, behind_s) + 8 * PING_WIRE / rate_bps + RTT_S / 2, abs=1e-6)


def test_a_ping_response_waits_behind_payload_in_the_downlink():
    rate_bps = 64e3
    config = MQTTPersistent(keep_alive_s=30.0, address_watch="off")
    seen = run(drive(Row(0.0, down_bps=rate_bps, up_bps=rate_bps), end_s=45.0), config, chunks(29.0, size=64 * KIB))
    (answered_s,) = traced(seen, "vehicle", "packet_received", "PINGRESP")
    assert answered_s == pytest.approx(29.0 + 8 * (on_the_wire(64 * KIB, DOWN) + PING_WIRE) / rate_bps + RTT_S / 2, abs=1e-6)


@pytest.mark.parametrize("size", [64 * KIB, 256 * KIB, 1024 * KIB])
@pytest.mark.parametrize(("rate_bps", "cut_after_share"), [(64e3, 0.3), (512e3, 0.9), (2e6, 0.5)])
def test_a_chunk_that_is_cut_is_sent_again_from_its_first_byte(size, rate_bps, cut_after_share):
    """MQTT 3.1.1 4.4: the whole PUBLISH again; `repeated` is what of it had been on the air.

    The vehicle hears of its new address at once.
    """
    takes_s = 8 * on_the_wire(size, DOWN) / rate_bps
    cut_s = 5.0 + cut_after_share * takes_s
    link = {"down_bps": rate_bps, "up_bps": rate_bps}
    timeline = drive(Row(0.0, **link), Row(cut_s, 1, **link), end_s=cut_s + takes_s + 40.0)
    config = MQTTPersistent(keep_alive_s=300.0, address_watch="link_event")
    seen = run(timeline, config, chunks(5.0, size=size), queue_bytes=0)
    again = attempts(seen)[1]
    assert again.asked_s == pytest.approx(cut_s)
    assert again.session_present == 1
    assert seen.record.sends[0] == 2
    assert seen.record.arrivals[0] == 1
    assert seen.record.traffic["down", "repeated"][1] == pytest.approx(cut_after_share * size, abs=2)
    assert seen.record.resent_bytes() == [seen.record.traffic["down", "repeated"][1]]
    connack_wire = 4 + HEADER_BYTES
    sent_s = again.connack_s - RTT_S / 2 + 8 * on_the_wire(size, DOWN) / rate_bps
    assert delivered(seen)[0] == pytest.approx(sent_s + RTT_S / 2, abs=8 * connack_wire / rate_bps)


def test_what_arrived_before_the_cut_is_not_sent_again():
    link = {"down_bps": 64e3, "up_bps": 64e3}
    timeline = drive(Row(0.0, **link), Row(20.0, 1, **link), end_s=60.0)
    config = MQTTPersistent(keep_alive_s=300.0, address_watch="link_event")
    seen = run(timeline, config, chunks(5.0, 15.0, 19.0, size=16 * KIB), queue_bytes=0)
    assert list(seen.record.sends) == [1, 1, 2]
    on_air = 16 * KIB * 1.0 * 64e3 / 8 / on_the_wire(16 * KIB, DOWN)  # in the second before the cut
    assert seen.record.traffic["down", "repeated"][1] == pytest.approx(on_air, abs=2)


def test_what_was_written_to_a_dead_path_and_never_on_the_air_is_not_sent_again():
    """The server writes to the old address until the vehicle is back; those bytes are on the air once, when they arrive."""
    fast = {"down_bps": 20e6, "up_bps": 5e6}
    timeline = drive(Row(0.0, **fast), Row(10.0, 1, **fast), end_s=90.0)
    seen = run(timeline, MQTTPersistent(address_watch="poll", address_poll_s=25.0), chunks(5.0, 12.0, 13.0, size=16 * KIB))
    assert list(seen.record.sends) == [1, 2, 2]
    assert ("down", "repeated") not in seen.record.traffic
    payload = seen.record.traffic["down", "payload"][1]
    assert payload == 3 * on_the_wire(16 * KIB, DOWN)
    assert seen.record.resent_bytes() == [0, 0, 0]


def test_bytes_of_a_chunk_that_were_not_sent_before_the_cut_are_not_booked():
    """Cost is IP bytes: of a chunk cut after 10 s at 64 kbit/s no more than 80,000 bytes were on the air."""
    link = {"down_bps": 64e3, "up_bps": 64e3}
    timeline = drive(Row(0.0, **link), Row(15.0, 1, **link), end_s=16.0)
    seen = run(timeline, MQTTPersistent(keep_alive_s=300.0, address_watch="link_event"), chunks(5.0, size=1024 * KIB))
    assert attempts(seen)[0].bytes_down <= 10.0 * 64e3 / 8 + 1000


def test_a_connection_killed_by_its_own_payload_is_back_at_once():
    """The server's kernel learns of the loss by RST and forgets what it had not sent (RFC 9293 3.10.7.4)."""
    link = {"down_bps": 64e3, "up_bps": 64e3}
    seen = run(
        drive(Row(0.0, **link), end_s=80.0), MQTTPersistent(keep_alive_s=30.0, address_watch="off"), chunks(5.0, size=1024 * KIB),
        queue_bytes=16 * KIB,
    )  # fmt: skip
    killed, again = attempts(seen)[:2]
    assert killed.reason == "keep_alive"
    assert again.connack_s - again.asked_s < 3.0


def test_a_connection_killed_by_its_own_payload_is_back_when_the_queue_of_the_link_has_drained():
    """A queue of 256 KiB takes 33 s at 64 kbit/s; what the server's kernel still held is gone with the connection."""
    link = {"down_bps": 64e3, "up_bps": 64e3}
    config = MQTTPersistent(keep_alive_s=30.0, address_watch="off")
    seen = run(drive(Row(0.0, **link), end_s=300.0), config, chunks(5.0, size=1024 * KIB), queue_bytes=256 * KIB)
    killed = attempts(seen)[0]
    back = [row for row in attempts(seen)[1:] if row.session_present == 1]
    assert back
    assert back[0].connack_s < killed.noticed_s + 33.0 + 30.0


def test_a_device_that_keeps_its_keep_alive_never_gets_a_chunk_that_takes_longer_than_two():
    """The loop that follows: 1 MiB at 64 kbit/s takes 136 s, K = 30 s kills it after 60 s, it is sent again, without end."""
    link = {"down_bps": 64e3, "up_bps": 64e3}
    seen = run(
        drive(Row(0.0, **link), end_s=600.0), MQTTPersistent(keep_alive_s=30.0, address_watch="off"), chunks(5.0, size=1024 * KIB)
    )
    assert seen.outcomes == [("pending", "")]
    assert [row.reason for row in attempts(seen)][:3].count("keep_alive") >= 1
    patient = run(
        drive(Row(0.0, **link), end_s=600.0), MQTTPersistent(keep_alive_s=90.0, address_watch="off"), chunks(5.0, size=1024 * KIB)
    )
    assert patient.outcomes == [("delivered", "")]


def test_transports_share_the_rate_of_one_link():
    """A handshake waits behind what is queued: CONNACK of a second connection behind a chunk on the first."""
    assert PLAIN.tls.profile == "none"
    link = {"down_bps": 64e3, "up_bps": 64e3}
    free = run(drive(Row(0.0, **link), end_s=30.0), MQTTPersistent(), NOTHING_TO_SEND)
    assert attempts(free)[0].connack_s < 0.1
    busy = run(
        drive(Row(0.0, **link), end_s=30.0), replace(MQTTPersistent(), address_watch="off"), chunks(5.0, 5.1, size=16 * KIB)
    )
    took_s = 8 * on_the_wire(16 * KIB, DOWN) / 64e3
    assert delivered(busy) == pytest.approx([5.0 + took_s + RTT_S / 2, 5.0 + 2 * took_s + RTT_S / 2], abs=1e-6)


def test_a_kernel_does_not_give_up_on_bytes_that_are_being_acknowledged():
    """TCP_USER_TIMEOUT and tcp_retries2 count from the last progress (tcp(7), RFC 5482), not from the write."""
    config = MQTTPersistent(keep_alive_s=600.0, user_timeout_s=10.0, address_watch="off")
    seen = run(drive(Row(0.0, rtt_s=0.08, down_bps=64e3, up_bps=64e3), end_s=1200.0), config, telemetry(1000.0, size=1_000_000))
    assert len(attempts(seen)) == 1
    assert seen.outcomes == [("delivered", "")]


@pytest.mark.parametrize("seed", range(6))
def test_a_new_connection_after_a_gap_does_not_wait_for_what_the_old_one_would_resend(seed):
    """A minute without coverage: the old connection's next retransmission is seconds away, the new one's first is not."""
    rows = [Row(0.0, rtt_s=0.08, **FAST), Row(10.0, 0, LinkState.LOST, 0.08, **FAST), Row(70.0, rtt_s=0.08, **FAST)]
    workload = replace(
        NOTHING_TO_SEND, ota=OTA(chunk_bytes=256 * KIB, image_bytes=8 * 1024 * KIB, every_s=5.0), telemetry=Telemetry()
    )
    config = MQTTPersistent(keep_alive_s=10.0, backoff=Backoff(policy="full_jitter"))
    seen = run(drive(*rows, end_s=200.0), config, workload, seed=seed, phases_fixed=False)
    again = next(row for row in attempts(seen) if row.ready_s > 70.0)
    came = [at for at in delivered(seen) if at > again.connack_s]
    assert min(came) - again.connack_s < 0.5
