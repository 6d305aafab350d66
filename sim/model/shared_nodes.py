"""The broker's nodes as a fleet shares them: accept queue, CPU, admission of CONNECTs. First come, first served.

It is asked in the order of time (Driver: shared items), so that each answer is final: how long this one waits depends on those
before it alone. Times are those of the fleet's clock.

Simplification: a fleet of `vehicles` is stood for by `simulated` of them, and what a node can do in a second is scaled by the
same ratio; waiting is then exact where it comes from overload, and the few milliseconds of chance queueing are not.
Simplification: who has given up meanwhile keeps his place. A TLS server finds the ClientHello in its buffer and answers it
before it sees that nobody is there.
"""

from __future__ import annotations

from sim.machine import NEVER
from sim.model.load import ACCEPT, CONNECT, CPU, Load
from sim.server.config import Nodes
from sim.server.timeline import ServerTimeline


class SharedNodes:
    """What all vehicles together ask of the nodes."""

    __slots__ = ("_free_s", "_longest_s", "_started_s", "_step_s", "_timeline", "clients", "load", "message_cpu_s")

    def __init__(self, nodes: Nodes, timeline: ServerTimeline, scale: float, vehicles: int = 1) -> None:
        """`scale`: simulated vehicles for each real one, of which there are `vehicles`. `timeline`: on the fleet's clock."""
        self.clients = max(1.0, vehicles / scale / len(nodes.names))  # of a node, which have equal parts of its memory
        self._timeline = timeline
        #: what one piece of work takes at each station; of the CPU: one second of one core
        self._step_s = (1.0 / (nodes.accept_rate * scale), 1.0 / (nodes.cores * scale), 1.0 / (nodes.connect_rate * scale))
        #: who would wait longer finds no place: half a turn less than as many turns as there are places
        self._longest_s = (
            (max(1.0, nodes.backlog * scale) - 0.5) * self._step_s[ACCEPT],
            NEVER,
            NEVER if nodes.connect_queue is None else (max(1.0, nodes.connect_queue * scale) - 0.5) * self._step_s[CONNECT],
        )
        self._free_s = [[-NEVER, -NEVER, -NEVER] for _ in nodes.names]  # when a station has done what it has
        self._started_s = [-NEVER for _ in nodes.names]
        self.message_cpu_s = nodes.message_cpu_s
        self.load = Load(nodes.names)

    def accept(self, node: int, at: float) -> float:
        """How long a connection whose SYN comes at `at` waits to be accepted; inf where the backlog is full: SYN is dropped."""
        return self._queue(node, ACCEPT, at)

    def compute(self, node: int, at: float, cpu_s: float) -> float:
        """How long work of `cpu_s` on one core that comes at `at` waits."""
        return self._take(node, self._stations(node, at), CPU, at, cpu_s * self._step_s[CPU])

    def connect(self, node: int, at: float) -> float:
        """How long a CONNECT waits for its admission; inf: too many wait, the node closes the connection."""
        return self._queue(node, CONNECT, at)

    def _queue(self, node: int, station: int, at: float) -> float:
        free_s = self._stations(node, at)
        if free_s[station] - at > self._longest_s[station]:
            self.load.row(node, station, at, NEVER, 0.0)
            return NEVER
        return self._take(node, free_s, station, at, self._step_s[station])

    def _take(self, node: int, free_s: list[float], station: int, at: float, work_s: float) -> float:
        turn_s = free_s[station]
        if turn_s < at:
            turn_s = at
        free_s[station] = turn_s + work_s
        self.load.row(node, station, at, turn_s, work_s)
        return turn_s - at

    def _stations(self, node: int, at: float) -> list[float]:
        """The node's stations; what waited at one that has been restarted since is gone."""
        started_s = self._timeline.started_s(node, at)
        if started_s > self._started_s[node]:
            self._started_s[node] = started_s
            self._free_s[node] = [started_s, started_s, started_s]
        return self._free_s[node]
