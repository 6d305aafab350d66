"""The broker's nodes as a fleet shares them: accept queue, CPU, admission of CONNECTs. First come, first served.

The only part of the model in which vehicles meet. It is asked in the order of time (Driver: shared items), so that each
answer is final: how long this one waits depends on those before it alone. Times are those of the fleet's clock.

Simplification: a fleet of `vehicles` is stood for by `simulated` of them, and what a node can do in a second is scaled by the
same ratio; waiting is then exact where it comes from overload, and the few milliseconds of chance queueing are not.
Simplification: who has given up meanwhile keeps his place. A TLS server finds the ClientHello in its buffer and answers it
before it sees that nobody is there.
"""

from __future__ import annotations

from array import array
from typing import Final

from sim.machine import NEVER
from sim.server.config import Nodes
from sim.server.timeline import ServerTimeline

ACCEPT: Final = 0
CPU: Final = 1
CONNECT: Final = 2
STATIONS: Final = ("accept", "cpu", "connect")


class Load:
    """A row for each piece of work at a station: when it came there, when its turn was (inf: turned away), how long it took."""

    __slots__ = ("came_s", "node", "station", "turn_s", "work_s")

    def __init__(self) -> None:
        self.node = array("b")
        self.station = array("b")
        self.came_s = array("d")
        self.turn_s = array("d")
        self.work_s = array("d")

    def row(self, node: int, station: int, came_s: float, turn_s: float, work_s: float) -> None:
        self.node.append(node)
        self.station.append(station)
        self.came_s.append(came_s)
        self.turn_s.append(turn_s)
        self.work_s.append(work_s)


class SharedNodes:
    """What all vehicles together ask of the nodes."""

    __slots__ = ("_backlog", "_connect_queue", "_free_s", "_started_s", "_step_s", "_timeline", "load", "message_cpu_s")

    def __init__(self, nodes: Nodes, timeline: ServerTimeline, scale: float) -> None:
        """`scale`: simulated vehicles for each real one. `timeline`: on the fleet's clock."""
        self._timeline = timeline
        #: what one piece of work takes at each station; of the CPU: one second of one core
        self._step_s = (1.0 / (nodes.accept_rate * scale), 1.0 / (nodes.cores * scale), 1.0 / (nodes.connect_rate * scale))
        self._backlog = nodes.backlog * scale
        self._connect_queue = NEVER if nodes.connect_queue is None else nodes.connect_queue * scale
        self._free_s = [[-NEVER, -NEVER, -NEVER] for _ in nodes.names]  # when a station has done what it has
        self._started_s = [-NEVER for _ in nodes.names]
        self.message_cpu_s = nodes.message_cpu_s
        self.load = Load()

    def accept(self, node: int, at: float) -> float:
        """How long a connection whose SYN comes at `at` waits to be accepted; inf where the backlog is full: SYN is dropped."""
        free_s = self._stations(node, at)
        step_s = self._step_s[ACCEPT]
        wait_s = free_s[ACCEPT] - at
        if wait_s > 0.0 and wait_s >= self._backlog * step_s:
            self.load.row(node, ACCEPT, at, NEVER, 0.0)
            return NEVER
        return self._take(node, free_s, ACCEPT, at, at, step_s)

    def compute(self, node: int, at: float, not_before_s: float, cpu_s: float) -> float:
        """How long work of `cpu_s` on one core that comes at `at` waits; `not_before_s`: its connection is accepted then."""
        return self._take(node, self._stations(node, at), CPU, at, max(at, not_before_s), cpu_s * self._step_s[CPU])

    def connect(self, node: int, at: float) -> float:
        """How long a CONNECT waits for its admission; inf: too many wait, the node closes the connection."""
        free_s = self._stations(node, at)
        step_s = self._step_s[CONNECT]
        wait_s = free_s[CONNECT] - at
        if wait_s > 0.0 and wait_s >= self._connect_queue * step_s:
            self.load.row(node, CONNECT, at, NEVER, 0.0)
            return NEVER
        return self._take(node, free_s, CONNECT, at, at, step_s)

    def _take(self, node: int, free_s: list[float], station: int, at: float, ready_s: float, work_s: float) -> float:
        turn_s = free_s[station]
        if turn_s < ready_s:
            turn_s = ready_s
        free_s[station] = turn_s + work_s
        self.load.row(node, station, ready_s, turn_s, work_s)  # until then it waited elsewhere
        return turn_s - at

    def _stations(self, node: int, at: float) -> list[float]:
        """The node's stations; what waited at one that has been restarted since is gone."""
        started_s = self._timeline.started_s(node, at)
        if started_s > self._started_s[node]:
            self._started_s[node] = started_s
            self._free_s[node] = [started_s, started_s, started_s]
        return self._free_s[node]
