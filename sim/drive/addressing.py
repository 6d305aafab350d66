"""The vehicle's gateway and address over the drive: held gateways, reassignment, re-attach, address pools.

A handover changes the cell; the address changes only with the gateway, with a re-attach or in the stress case
(TS 23.401 5.3.1.2.1 and 5.5.1, TS 23.502 4.3.5.1 and 4.9.1).
"""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address
from math import inf

import numpy as np

from sim.drive.config import Network, Reassignment
from sim.drive.course import Course, Steps, instant, steps
from sim.drive.timeline import Disruption

#: Addresses that one vehicle gets from one gateway before they come round again (vehicles after the first).
_BLOCK = 64
#: First address of the pools of vehicles after the first.
_FLEET = int(IPv4Address("10.128.0.0"))


@dataclass(frozen=True, slots=True)
class Addressing:
    gateway: Steps  # index into the course's gateways, -1: none yet
    address: Steps  # index into `addresses`, -1: none
    addresses: tuple[str, ...]
    reassignments: tuple[Disruption, ...]


class Pools:
    """Addresses that the gateways give to one vehicle, in order.

    The first vehicle gets the configured address, then the ones after it; without one 10.<gateway index + 1>.0.10 on.
    Further vehicles have 64 addresses of their own at each gateway from 10.128.0.0 on, used round robin, so that no two
    vehicles of a fleet have the same address at a time.
    """

    def __init__(self, gateways: tuple[str, ...], network: Network, vehicle: int) -> None:
        self._count = len(gateways)
        self._vehicle = vehicle
        given = [network.gateways[name].address if name in network.gateways else None for name in gateways]
        self._first = [ip_address(a) if a else ip_address(f"10.{min(i + 1, 127)}.0.10") for i, a in enumerate(given)]
        self._used: set[IPv4Address | IPv6Address] = set()
        self._drawn = [0] * self._count
        self._last = list(self._first)

    def next(self, gateway: int) -> str:
        """The next address of the gateway."""
        number = self._drawn[gateway]
        self._drawn[gateway] += 1
        if self._vehicle > 0:
            place = (self._vehicle * self._count + gateway) * _BLOCK + number % _BLOCK
            return str(IPv4Address(_FLEET + place % (1 << 23)))
        address = self._first[gateway]
        if number > 0:
            address = self._last[gateway] + 1
            while address in self._used or address in self._first or address.packed[-1] in (0, 255):
                address += 1
        self._last[gateway] = address
        self._used.add(address)
        return str(address)


def assign_addresses(course: Course, network: Network, vehicle: int) -> Addressing:
    """Gateways and addresses for a course."""
    if course.logged_address is not None:
        return _logged(course, course.logged_address)
    return _Anchoring(course, network, vehicle).run()


def _logged(course: Course, logged: Steps) -> Addressing:
    """Addresses exactly as in the log; "" is no address."""
    texts = [str(text) for text in logged.value.tolist()]
    addresses = tuple(dict.fromkeys(text for text in texts if text))
    index = {"": -1} | {text: i for i, text in enumerate(addresses)}
    found: list[Disruption] = []
    before, ended_s = "", 0.0
    for at_s, text, last in zip(logged.at_s.tolist(), texts, ["", *texts[:-1]], strict=True):
        if last and text != last:
            before, ended_s = last, at_s
        if text and text != last and before:
            found.append(Disruption("reassignment", ended_s, at_s, before, text, "logged"))
            before = ""
    if before:
        found.append(Disruption("reassignment", ended_s, course.end_s, before, "", "logged"))
    return Addressing(
        course.prefers, Steps(logged.at_s, np.array([index[t] for t in texts], dtype=np.int32)), addresses, tuple(found)
    )


class _Anchoring:
    """Goes through the stretches of a course in which cell, preferred gateway and service stay the same."""

    def __init__(self, course: Course, network: Network, vehicle: int) -> None:
        self._course = course
        self._rule: Reassignment = network.reassignment
        self._pools = Pools(course.gateways, network, vehicle)
        # what a script or an operator's name says happens at once; towers are left only after the hold
        self._at_once = not course.held_gateways
        self._gateway = -1
        self._address = ""
        self._given: dict[int, str] = {}
        self._given_s = 0.0
        self._attach_s = inf  # when the address that is on its way arrives
        self._ended_s: float | None = None  # since when the vehicle is without the address it had
        self._before = self._cause = ""
        self._away_s: float | None = None
        self._out_s: float | None = None
        self._gateways: list[tuple[float, int]] = []
        self._addresses: list[tuple[float, str]] = []
        self._found: list[Disruption] = []

    def run(self) -> Addressing:
        cell = -1
        for start_s, end_s, in_service, serving, prefers in self._stretches():
            if in_service:
                self._out_s = None
            if in_service or self._course.exact:
                changed = serving >= 0 and cell not in (-1, serving)
                cell = serving if serving >= 0 else cell
                self._follow(start_s, end_s, in_service, changed, prefers)
            if not in_service:
                self._out_of_service(start_s, end_s)
        if self._ended_s is not None:
            self._found.append(Disruption("reassignment", self._ended_s, self._course.end_s, self._before, "", self._cause))
        texts = tuple(dict.fromkeys(text for _, text in self._addresses if text))
        index = {"": -1} | {text: i for i, text in enumerate(texts)}
        address = steps([(0.0, -1), *((t, index[text]) for t, text in self._addresses)], np.int32)
        return Addressing(steps([(0.0, -1), *self._gateways], np.int32), address, texts, tuple(self._found))

    def _stretches(self) -> list[tuple[float, float, bool, int, int]]:
        """(start, end, in service, cell, preferred gateway); the last one has no end."""
        course, outages = self._course, self._course.outages()
        edges = {0.0, *course.serving.at_s.tolist(), *course.prefers.at_s.tolist()}
        edges.update(t for outage in outages for t in outage if t < inf)
        times = np.array(sorted(edges))
        out = np.zeros(len(times), dtype=bool)
        for start_s, end_s in outages:
            out |= (times >= start_s) & (times < end_s)
        served, prefers = course.serving.at(times), course.prefers.at(times)
        columns = (times.tolist(), [*times[1:].tolist(), inf], (~out).tolist(), served.tolist(), prefers.tolist())
        return list(zip(*columns, strict=True))

    def _out_of_service(self, start_s: float, end_s: float) -> None:
        if self._out_s is None:
            self._out_s = start_s
        if not self._course.exact:
            self._complete(start_s)
            self._attach_s = inf  # what has not been attached by now has to wait for service
        ends_s = instant(self._out_s + self._rule.reattach_after_s)
        due = start_s <= ends_s < min(end_s, self._course.end_s) and self._given_s <= ends_s
        if due and self._address and self._rule.mode != "never":
            self._end_address(ends_s, "re-attach")

    def _follow(self, start_s: float, end_s: float, in_service: bool, changed: bool, prefers: int) -> None:
        rule = self._rule
        if self._gateway < 0:
            self._enter(start_s, prefers)
            self._give(start_s)
        if in_service and self._ended_s is not None and self._attach_s == inf:
            self._enter(start_s, prefers)
            self._attach_s = instant(start_s + rule.delay_s)
        self._complete(start_s)
        if rule.mode == "every_handover" and (changed or (self._at_once and prefers != self._gateway)):
            if start_s < self._course.end_s:
                self._move(start_s, prefers, "handover (stress case)")
        elif rule.mode == "gateway_change":
            if prefers == self._gateway:
                self._away_s = None
            else:
                self._away_s = start_s if self._away_s is None else self._away_s
                moves_s = max(start_s, instant(self._away_s + (0.0 if self._at_once else rule.gateway_hold_s)))
                if moves_s < min(end_s, self._course.end_s):
                    self._complete(moves_s)
                    self._move(moves_s, prefers, "gateway change")
        self._complete(end_s)

    def _move(self, at_s: float, gateway: int, cause: str) -> None:
        if self._address:
            self._end_address(at_s, cause)
        self._enter(at_s, gateway)
        self._attach_s = instant(at_s + self._rule.delay_s)

    def _enter(self, at_s: float, gateway: int) -> None:
        self._away_s = None
        if gateway != self._gateway:
            self._gateway = gateway
            self._gateways.append((at_s, gateway))

    def _end_address(self, at_s: float, cause: str) -> None:
        self._ended_s, self._before, self._cause = at_s, self._address, cause
        self._address = ""
        self._addresses.append((at_s, ""))

    def _complete(self, until_s: float) -> None:
        """Give the address that arrives before or at `until_s`."""
        if self._attach_s <= until_s and self._attach_s < inf:
            at_s, self._attach_s = self._attach_s, inf
            self._give(at_s)

    def _give(self, at_s: float) -> None:
        self._given_s = at_s
        if self._rule.sticky and self._gateway in self._given:
            self._address = self._given[self._gateway]
        else:
            self._address = self._given[self._gateway] = self._pools.next(self._gateway)
        self._addresses.append((at_s, self._address))
        if self._ended_s is not None:
            self._found.append(Disruption("reassignment", self._ended_s, at_s, self._before, self._address, self._cause))
            self._ended_s = None


def gateway_names(network: Network, used: list[str], fallback: str = "gateway") -> tuple[str, ...]:
    """Names of the gateways: those of the network, else those in use in their order, else one default."""
    return tuple(network.gateways) or tuple(dict.fromkeys(used)) or (fallback,)
