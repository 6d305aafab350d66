"""What a sender's kernel holds and how it begins again after a silence: the send buffer and the congestion window."""

from __future__ import annotations

import pytest

from sim.drive.config import Network as NetworkSettings
from sim.drive.timeline import LinkState
from sim.model.link import Link
from sim.model.network import Network
from sim.protocols.server import Server
from sim.record.recorder import Recorder
from tests.model.runs import Row, drive

CHUNK = 256 * 1024
SMALL = 56


def link(*rows: Row, end_s: float = 600.0) -> Link:
    timeline = drive(*rows, end_s=end_s)
    return Link(timeline, Server().tcp, queue_bytes=1 << 20)


@pytest.mark.parametrize("silence_s", [2.0, 5.0, 30.0])
def test_a_small_packet_after_a_silence_does_not_save_the_window(silence_s: float) -> None:
    """Linux tcp_cwnd_restart, RFC 2861: the first packet after a silence shrinks the window, however small it is."""
    took = []
    for small_first in (False, True):
        path = link(Row(0.0, rtt_s=0.08, down_bps=20e6, up_bps=5e6))
        flow = path.flow(0.0)
        sent_s = path.carry(flow, 0, False, CHUNK, 1.0)
        at = sent_s + silence_s
        if small_first:
            path.carry(flow, 0, False, SMALL, at)
        took.append(path.carry(flow, 0, False, CHUNK, at) - at)
    assert took[1] == pytest.approx(took[0], abs=0.01)


def test_within_a_conversation_the_window_stays() -> None:
    path = link(Row(0.0, rtt_s=0.08, down_bps=20e6, up_bps=5e6))
    flow = path.flow(0.0)
    first_s = path.carry(flow, 0, False, CHUNK, 1.0)
    again_s = path.carry(flow, 0, False, CHUNK, first_s + 0.01)
    assert again_s - first_s < first_s - 1.0


def test_an_outage_fills_the_buffer_with_bytes_not_with_time() -> None:
    """What waits for a retransmission fills the send buffer (4 MiB) by its bytes, whatever it has to wait for."""
    timeline = drive(
        Row(0.0, rtt_s=0.08, down_bps=20e6, up_bps=5e6),
        Row(10.0, 0, LinkState.LOST),
        Row(70.0, rtt_s=0.08, down_bps=20e6, up_bps=5e6),
        end_s=600.0,
    )
    network = Network(timeline, Server(), NetworkSettings(), Recorder(), queue_bytes=1 << 20)
    flow = network.link.flow(0.0)
    network.link.carry(flow, 0, False, CHUNK, 1.0)
    full = []
    for i in range(17):
        at = 12.0 + i
        network.link.carry(flow, 0, False, CHUNK + 1, at)
        full.append(network.buffer_full_until(flow, at) > at)
    assert full == [False] * 15 + [True] * 2
