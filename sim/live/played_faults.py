"""Faults of the server side played for real: processes of the broker and its Redis are killed and started again.

What happens when is laid down before (`sim.server.timeline.ServerTimeline`), as in the model. A process is started so long
before the end of its fault as it takes to serve. How long that is varies from start to start: the port of a broker's only node
is kept closed until the fault ends, so that the vehicle is let in when it is in the model. What came late is a note.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, Final

from sim.live.brokers.processes import Process
from sim.live.brokers.running import RunningBroker
from sim.live.clock import Clock
from sim.server.timeline import Down, ServerEvent, ServerTimeline

_SERVES_WITHIN_S: Final = 60.0  # after its start
_LOOK_EVERY_S: Final = 0.02
_NOTED_FROM_S: Final = 0.5  # by which it was late


class PlayedFaults:
    """`schedule` once the clock runs, `stop` always, before the broker is stopped."""

    def __init__(
        self,
        broker: RunningBroker,
        clock: Clock,
        names: tuple[str, ...],
        *,
        starts_in_s: float,
        away: Callable[[bool], None],
        log: Callable[[float, str], None],
    ) -> None:
        """`names` of the nodes; `starts_in_s`: from the start of one's process until it serves.

        `away` is told when the only node of a broker without a balancer is gone (True), and when it is back.
        """
        self._broker = broker
        self._clock = clock
        self._names = names
        self._starts_in_s = starts_in_s
        self._away = away if broker.balancer is None else _nothing
        self._log = log
        self._tasks: set[asyncio.Task[None]] = set()
        self._starting: set[asyncio.Task[None]] = set()
        self.notes: list[str] = []

    def schedule(self, happens: ServerTimeline) -> None:
        for down in happens.downs:
            self._clock.at(down.start_s, self._begin, self._node_down, down)
        for event in happens.events:
            if event.kind == "store_crash":
                self._clock.at(event.start_s, self._begin, self._store_down, event)

    async def stop(self) -> None:
        """Nothing more is killed or started. A start that is under way is waited for, so that its process is known."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, *self._starting, return_exceptions=True)

    def _begin(self, play: Callable[[Any], Coroutine[Any, Any, None]], what: Any) -> None:
        task = asyncio.ensure_future(play(what))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _node_down(self, down: Down) -> None:
        node, name = self._broker.nodes[down.node], self._names[down.node]

        async def answers() -> bool:
            return await self._broker.answers(node.port)

        self._away(True)
        await self._killed(node.process, f"node {name}")
        if await self._back(node.process, f"node {name}", down.end_s, self._starts_in_s, answers):
            await asyncio.sleep(max(0.0, down.end_s - self._clock.now()))
            self._away(False)

    async def _store_down(self, event: ServerEvent) -> None:
        store = self._broker.store
        assert store is not None
        await self._killed(store.process, "Redis")
        await self._back(store.process, "Redis", event.end_s, 0.0, store.answers)

    async def _killed(self, process: Process, name: str) -> None:
        await process.kill()
        self._log(self._clock.now(), f"Fault: {name} is killed")

    async def _back(
        self, process: Process, name: str, end_s: float, starts_in_s: float, answers: Callable[[], Awaitable[bool]]
    ) -> bool:
        """Start it again, so that it serves at about `end_s`. False where it does not."""
        if end_s == math.inf:
            return False
        await asyncio.sleep(max(0.0, end_s - starts_in_s - self._clock.now()))
        starting = asyncio.ensure_future(process.again())
        self._starting.add(starting)
        await asyncio.shield(starting)
        self._starting.discard(starting)
        gives_up_s = self._clock.now() + _SERVES_WITHIN_S
        while not await answers():
            if process.returncode is not None or self._clock.now() > gives_up_s:
                ended = f"ended with code {process.returncode}" if process.returncode is not None else "does not answer"
                self.notes.append(f"The {name} was started again and {ended}: see {process.log.name}.")
                return False
            await asyncio.sleep(_LOOK_EVERY_S)
        now = self._clock.now()
        self._log(now, f"Fault over: {name} serves again")
        if now - end_s > _NOTED_FROM_S:
            self.notes.append(f"The {name} served again at {now:.1f} s instead of {end_s:.1f} s.")
        return True


def _nothing(_is_away: bool) -> None:
    """A balancer stays."""
