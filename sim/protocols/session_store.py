"""Where the sessions of a broker with one or more nodes are kept, and what of them outlives a node or the store itself.

One MQTTBroker stands for all nodes, as their client sees them: it has the sessions that some running node serves. A
session has a home, the node of its last connection. What a node keeps for itself while the client is elsewhere, or on its
disk while it is down, is kept here, and so is what the publisher holds back while nobody serves.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Iterator
from typing import Any, Final

from sim.machine import Drop, Message, ServerChanged, TransportLost
from sim.protocols.mqtt_broker import MQTTBroker
from sim.protocols.publishing import Publishing, Subscriber
from sim.protocols.saved_session import SavedSession
from sim.protocols.stored_messages import Entry
from sim.server.config import Store

Out = list[Any]
_REPLICA: Final = -1  # in place of a node: what has reached the store's replica


@functools.cache
def _all(nodes: int) -> frozenset[int]:
    """All nodes, once for the vehicles of a fleet."""
    return frozenset(range(nodes))


class _Loss:
    """What a failover of the store has done to a session that is connected: its node goes on from memory until then."""

    __slots__ = ("all", "came_back", "lost")

    def __init__(self) -> None:
        self.lost: set[int] = set()
        self.came_back: list[Entry] = []
        self.all = False


class SessionStore(Publishing):
    """What publishers publish into, and what is told of nodes and the store."""

    __slots__ = ("_at_home", "_broker", "_failing", "_home", "_losses", "_parked", "_settings", "_up", "_waiting", "_written")

    def __init__(self, settings: Store, nodes: int, broker: MQTTBroker) -> None:
        self._settings = settings
        self._at_home = settings.kind in ("memory", "disk")  # a session is its node's
        self._broker = broker
        self._up = _all(nodes)
        self._failing = False
        self._home: dict[str, int] = {}
        self._parked: dict[tuple[int, str], SavedSession] = {}  # by node and client: kept by a node for itself
        self._written: dict[tuple[int, str], SavedSession] = {}  # on the disk of a node, or on the replica
        self._losses: dict[str, _Loss] = {}
        self._waiting: list[Entry] = []  # at the publisher

    @property
    def serves(self) -> bool:
        """Whether a node runs and the store answers."""
        return bool(self._up) and not self._failing

    def changed(self, now: float, event: ServerChanged, out: Out) -> None:
        """Something happened to the nodes or to the store."""
        _HANDLERS[event.what](self, now, event, out)

    def held(self) -> Iterator[Message]:
        """Messages that the broker does not hold."""
        for message, _qos, _retain in self._waiting:
            yield message
        for saved in self._parked.values():
            for message, _qos, _retain in saved.entries():
                yield message
        for loss in self._losses.values():
            for message, _qos, _retain in loss.came_back:
                yield message

    # --- the publisher's side -------------------------------------------------------------------------------------------

    def subscribe_local(self, name: str, subscriber: Subscriber) -> None:
        self._broker.subscribe_local(name, subscriber)

    def publish(self, now: float, message: Message, qos: int, retain: bool, out: Out) -> None:
        """Publish, or keep it until somebody serves again."""
        if self.serves:
            self._broker.publish(now, message, qos, retain, out)
            return
        self._waiting.append((message, qos, retain))
        limit = self._settings.publisher_limit
        if limit is not None and len(self._waiting) > limit:
            out.append(Drop(self._waiting.pop(0)[0], "publisher_gave_up"))

    def _flush(self, now: float, out: Out) -> None:
        while self._waiting and self.serves:
            message, qos, retain = self._waiting.pop(0)
            self._broker.publish(now, message, qos, retain, out)

    # --- connections ----------------------------------------------------------------------------------------------------

    def connecting(self, now: float, client_id: str, node: int, out: Out) -> float:
        """A CONNECT is at `node`: have there what it may have of the session. Returns how long that takes, in s."""
        broker = self._broker
        loss = self._losses.pop(client_id, None)
        if loss is not None and broker.session(client_id) is not None:
            self._lose(now, client_id, loss, out)
        if not self._at_home:
            self._home[client_id] = node
            return 0.0
        delay_s = 0.0
        home = self._home.get(client_id, node)
        session = broker.session(client_id)
        if home != node and session is not None:
            if self._settings.hand_over_s is not None:
                delay_s = self._settings.hand_over_s
                self._written.pop((home, client_id), None)
            else:
                # Simplification: a session left behind on a node gets no more messages; they go to where its client is
                self._parked[home, client_id] = session.saved()
                broker.forget(now, client_id, "", out)
        parked = self._parked.pop((node, client_id), None) if broker.session(client_id) is None else None
        if parked is not None:
            broker.restore(now, client_id, parked, False, out)
        self._home[client_id] = node
        return delay_s

    # --- nodes ----------------------------------------------------------------------------------------------------------

    def _on_saved(self, now: float, event: ServerChanged, out: Out) -> None:
        node = event.node
        for key in [key for key in self._written if key[0] == node]:
            del self._written[key]
        for client_id in self._broker.client_ids():
            session = self._broker.session(client_id)
            if session is not None and (node == _REPLICA or self._home.get(client_id) == node):
                self._written[node, client_id] = self._as_written(session.saved())
        for (at, client_id), saved in self._parked.items():
            if at == node:
                self._written[node, client_id] = self._as_written(saved)

    def _as_written(self, saved: SavedSession) -> SavedSession:
        """A disk gets no QoS 0 (docs/brokers.md: RabbitMQ). Simplification: of other brokers nobody has measured it."""
        if self._settings.kind != "disk":
            return saved
        return dataclasses.replace(saved, queue=[entry for entry in saved.queue if entry[1]])

    def _on_failed(self, now: float, event: ServerChanged, out: Out) -> None:
        node = event.node
        self._up = self._up - {node}
        if self._at_home:
            for client_id in [client_id for client_id, home in self._home.items() if home == node]:
                session = self._broker.session(client_id)
                if session is not None:
                    self._goes_down(node, client_id, session.saved(), out)
                    self._broker.forget(now, client_id, "", out)
                del self._home[client_id]
            for at, client_id in [key for key in self._parked if key[0] == node]:
                self._goes_down(at, client_id, self._parked.pop((at, client_id)), out)
        for transport in event.transports:
            out += self._broker.handle(now, TransportLost(transport, "node"))

    def _goes_down(self, node: int, client_id: str, had: SavedSession, out: Out) -> None:
        """What of a session in the memory of a node is not on its disk is lost."""
        kept = self._written.get((node, client_id)) if self._settings.kind == "disk" else None
        saved = {message.id for message, _qos, _retain in kept.entries()} if kept is not None else set()
        out += [Drop(message, "broker_restart") for message, _qos, _retain in had.entries() if message.id not in saved]
        if kept is not None:
            self._parked[node, client_id] = kept

    def _on_started(self, now: float, event: ServerChanged, out: Out) -> None:
        self._up = self._up | {event.node}
        for node, client_id in [key for key in self._parked if key[0] == event.node]:
            if self._broker.session(client_id) is None:  # else its client is on another node, which has a session of its own
                self._broker.restore(now, client_id, self._parked.pop((node, client_id)), True, out)
                self._home[client_id] = node
        self._flush(now, out)

    # --- the store ------------------------------------------------------------------------------------------------------

    def _on_store_failed(self, now: float, event: ServerChanged, out: Out) -> None:
        self._failing = True
        for client_id in self._broker.client_ids():
            session = self._broker.session(client_id)
            assert session is not None
            kept = self._written.get((_REPLICA, client_id))
            before = kept.entries() if kept is not None else []
            now_in_it = {message.id for message, _qos, _retain in session.saved().entries()}
            loss = self._losses.get(client_id) or _Loss()
            loss.all = loss.all or kept is None
            loss.lost |= now_in_it - {message.id for message, _qos, _retain in before}
            known = now_in_it | {message.id for message, _qos, _retain in loss.came_back}
            loss.came_back += [entry for entry in before if entry[0].id not in known]
            if session.transport < 0:
                self._losses.pop(client_id, None)
                self._lose(now, client_id, loss, out)
            else:
                self._losses[client_id] = loss  # once its client connects again

    def _lose(self, now: float, client_id: str, loss: _Loss, out: Out) -> None:
        session = self._broker.session(client_id)
        assert session is not None
        if loss.all:
            self._broker.forget(now, client_id, "store_failover", out)
            return
        session.lose(loss.lost, "store_failover", out)
        session.regain(loss.came_back)

    def _on_store_recovered(self, now: float, event: ServerChanged, out: Out) -> None:
        self._failing = False
        self._flush(now, out)


#: what happened -> handler; after the class, so that the methods exist
_HANDLERS: Final[dict[str, Callable[..., None]]] = {
    "sessions_saved": SessionStore._on_saved,
    "node_failed": SessionStore._on_failed,
    "node_started": SessionStore._on_started,
    "store_failed": SessionStore._on_store_failed,
    "store_recovered": SessionStore._on_store_recovered,
}
