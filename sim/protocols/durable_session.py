"""A session that can be written down, had again, and lost with its node: what a broker with more than a process needs."""

from __future__ import annotations

import math
from collections import deque

from sim.machine import NEVER, Drop
from sim.protocols.mqtt_session import MQTTSession, State
from sim.protocols.publishing import Out
from sim.protocols.saved_session import SavedSession
from sim.protocols.stored_messages import Entry


class DurableSession(MQTTSession):
    """What MQTTBroker has for a client id."""

    __slots__ = ()

    def saved(self) -> SavedSession:
        """What would be written down of it now."""
        return SavedSession(
            dict(self.subscriptions),
            dict(self.options) if self.options is not None else None,
            {packet_id: sent.copy() for packet_id, sent in self._inflight.items()},
            [*(self._later or ()), *self._queue],
            set(self._incoming_qos2),
            self._next_id,
            self._session_expiry_s,
        )

    def restore(self, now: float, saved: SavedSession, restarted: bool, out: Out) -> None:
        """Become what was written down, without a connection. Simplification: its expiry begins anew.

        `restarted`: its node was, and read it from its disk.
        """
        self.subscriptions = dict(saved.subscriptions)
        self.options = dict(saved.options) if saved.options is not None else None
        self.subscriptions_changed = True
        if restarted and self._behaviour.requeues_on_restart:
            for entry in sorted(saved.entries(), key=_published):
                self._to_queue().append(entry)
                self._marked[entry[0].id] = None
        else:
            for packet_id, sent in saved.inflight.items():
                self._inflight[packet_id] = sent.copy()
            for entry in saved.queue:
                self._to_queue().append(entry)
        self._incoming_qos2 = dict.fromkeys(saved.incoming_qos2)
        self._next_id = saved.next_id
        self._session_expiry_s = saved.session_expiry_s
        self._enter(State.OFFLINE, now, out)
        if self._session_expiry_s < math.inf:
            self.deadlines.set("session_expiry", now + self._session_expiry_s)

    def forget(self, now: float, cause: str, out: Out) -> None:
        """Its node is gone, and it with it. Messages are lost for `cause`; "": another copy of them is kept."""
        self.transport = -1
        self.will = None
        self.deadlines.clear("keep_alive", "connack_present", "connack_new", "session_expiry", "will")
        dropped: Out = []
        self._discard(cause, dropped)
        if cause:
            out += dropped
        self._enter(State.ENDED, now, out)

    def lose(self, lost: set[int], cause: str, out: Out) -> None:
        """Messages with these ids are not in its store any more."""
        for packet_id in [packet_id for packet_id, sent in self._inflight.items() if sent.message.id in lost]:
            out.append(Drop(self._inflight[packet_id].message, cause))
            self._inflight.pop(packet_id)
        kept = [entry for entry in self._queue if entry[0].id not in lost]
        out += [Drop(entry[0], cause) for entry in self._queue if entry[0].id in lost]
        self._queue.clear()
        for entry in kept:
            self._to_queue().append(entry)
        if self._again is not None:
            self._again = deque(packet_id for packet_id in self._again if packet_id in self._inflight)

    def regain(self, entries: list[Entry]) -> None:
        """Messages are in its store again, before what is queued."""
        self._to_queue().extendleft(reversed(entries))

    def hold_connack(self, delay_s: float) -> None:
        """CONNACK comes later by `delay_s`."""
        for name in ("connack_present", "connack_new"):
            at_s = self.deadlines.at(name)
            if at_s < NEVER:
                self.deadlines.set(name, at_s + delay_s)


def _published(entry: Entry) -> tuple[float, int]:
    """The order in which the broker got them."""
    return entry[0].created_s, entry[0].id
