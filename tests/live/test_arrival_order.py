"""What came first on one connection is served before what came later on another."""

from __future__ import annotations

import selectors
import socket
import sys

import pytest

from sim.live.arrival_order import ArrivalOrder


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="epoll")
@pytest.mark.parametrize(("selector", "order"), [(ArrivalOrder, "ba"), (selectors.DefaultSelector, "ab")])
def test_a_connection_that_was_just_served_does_not_overtake(selector, order):
    """The plain selector shows what it is for."""
    pairs = {name: socket.socketpair() for name in "ab"}
    with selector() as waiting:
        for name, (here, _there) in pairs.items():
            waiting.register(here, selectors.EVENT_READ, name)
        pairs["a"][1].send(b"subscribe")
        assert [key.data for key, _ in waiting.select(1.0)] == ["a"]
        pairs["a"][0].recv(100)
        pairs["b"][1].send(b"subscribe")
        pairs["a"][1].send(b"publish")
        assert [key.data for key, _ in waiting.select(1.0)] == list(order)
    for pair in pairs.values():
        for end in pair:
            end.close()
