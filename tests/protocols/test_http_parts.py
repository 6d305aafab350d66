"""A body in parts: each is told, each starts the timeout anew, and the exchange ends with the last byte."""

from typing import Any

import pytest

from sim.machine import CloseTransport, Deadlines, OpenTransport, SendPacket
from sim.protocols.http import BodyPart, Endpoint, HTTPClient, HTTPRequest, HTTPResponse, State, range_header


class Fetch:
    """A client and what it was told."""

    def __init__(self) -> None:
        self.deadlines = Deadlines()
        self.told: list[Any] = []
        self.client = HTTPClient(
            deadlines=self.deadlines,
            deadline="timeout",
            endpoint=Endpoint("server", 443, address="52.78.123.45"),
            mode="per_request",
            timeout_s=10.0,
            new_id=iter(range(1, 100)).__next__,
            purpose="download",
            on_response=lambda now, response, out: self.told.append(("response", now, response.status)),
            on_failure=lambda now, reason, out: self.told.append(("failure", now, reason)),
            on_part=lambda now, part, out: self.told.append(("part", now, part.size_bytes)),
        )
        out: list[Any] = []
        self.client.send(0.0, HTTPRequest("GET", "/update", byte_range=(100, 349)), out)
        (opened,) = out
        assert isinstance(opened, OpenTransport)
        self.client.opened(1.0, out)

    def receive(self, now: float, packet: Any) -> list[Any]:
        out: list[Any] = []
        self.client.received(now, packet, out)
        return out


def test_the_exchange_ends_with_the_last_byte():
    fetch = Fetch()
    assert fetch.receive(2.0, HTTPResponse(206, parts_bytes=250)) == []
    assert fetch.client.state is State.RECEIVING
    fetch.receive(3.0, BodyPart(200))
    actions = fetch.receive(4.0, BodyPart(50))
    assert fetch.told == [("part", 3.0, 200), ("part", 4.0, 50), ("response", 4.0, 206)]
    assert [type(action) for action in actions][-1] is CloseTransport
    assert (fetch.client.busy, fetch.deadlines.earliest) == (False, float("inf"))


def test_each_part_starts_the_timeout_anew():
    fetch = Fetch()
    fetch.receive(2.0, HTTPResponse(206, parts_bytes=250))
    assert fetch.deadlines.earliest == 12.0
    fetch.receive(9.0, BodyPart(100))
    assert fetch.deadlines.earliest == 19.0
    out: list[Any] = []
    fetch.deadlines.due(19.0)
    fetch.client.deadline_passed(19.0, out)
    assert fetch.told[-1] == ("failure", 19.0, "timed_out")
    assert out == [CloseTransport(1, True, "request_timeout")]


@pytest.mark.parametrize("packet", [BodyPart(100), HTTPResponse(206, parts_bytes=100)])
def test_what_comes_out_of_turn_is_ignored(packet):
    fetch = Fetch()
    if isinstance(packet, HTTPResponse):
        fetch.receive(2.0, HTTPResponse(206, parts_bytes=250))
    fetch.receive(3.0, packet)
    assert fetch.told == []
    assert fetch.client.busy


def test_a_refused_range_is_a_failure():
    fetch = Fetch()
    fetch.receive(2.0, HTTPResponse(416))
    assert fetch.told == [("failure", 2.0, "refused")]


def test_a_range_costs_its_header():
    asked = HTTPRequest("GET", "/update", byte_range=(100, 349))
    assert range_header((100, 349)) == "bytes=100-349"
    assert asked.encoded_size - HTTPRequest("GET", "/update").encoded_size == len("Range: bytes=100-349\r\n")
    assert SendPacket(1, BodyPart(7)).packet.encoded_size == 7
