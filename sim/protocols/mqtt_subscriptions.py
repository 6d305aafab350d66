"""Topic filters and who gets a copy: matching, subscription options of MQTT 5 (3.8.3.1), shared subscriptions (4.8.2).

Overlapping subscriptions of one client get one copy with the highest QoS of those that match and the subscription
identifiers of all of them, which both standards allow (MQTT 3.1.1 3.3.5, MQTT 5 3.3.4).
"""

from __future__ import annotations

from typing import Protocol

from sim.machine import Message
from sim.protocols.broker_limits import BrokerLimits
from sim.protocols.mqtt_reasons import QUOTA_EXCEEDED, SUCCESS, TOPIC_FILTER_INVALID, UNSPECIFIED_ERROR
from sim.protocols.publishing import Out, Subscriber

SHARED = "$share/"
NO_LOCAL, RETAIN_AS_PUBLISHED = 0x04, 0x08


class SubscribedSession(Protocol):
    """What is needed of a session here."""

    routing: bool  # it is publishing just now

    @property
    def reachable(self) -> bool: ...

    def deliver(self, now: float, message: Message, qos: int, retain: bool, identifiers: tuple[int, ...], out: Out) -> None: ...


def filter_is_valid(name: str) -> bool:
    """Topic filter rules of MQTT 3.1.1 4.7.1."""
    if not name or "\0" in name:
        return False
    levels = name.split("/")
    for i, level in enumerate(levels):
        if "#" in level and (level != "#" or i != len(levels) - 1):
            return False
        if "+" in level and level != "+":
            return False
    return True


def filter_matches(name: str, topic: str) -> bool:
    """Whether the topic filter matches the topic (MQTT 3.1.1 4.7)."""
    return levels_match(name, topic.split("/"))


def levels_match(name: str, levels: list[str]) -> bool:
    """The same for a topic that is split already."""
    if name[:1] in ("+", "#") and levels[0][:1] == "$":
        return False  # [MQTT-4.7.2-1]
    wanted = name.split("/")
    for i, level in enumerate(wanted):
        if level == "#":
            return True
        if i >= len(levels) or level not in ("+", levels[i]):
            return False
    return len(wanted) == len(levels)


class ParsedFilter:
    """A topic filter that is compared with many topics. Where there is one to compare, `filter_matches` is quicker."""

    __slots__ = ("_begins_wild", "_fixed", "_least", "_most")

    def __init__(self, name: str) -> None:
        levels = name.split("/")
        self._begins_wild = levels[0] in ("+", "#")
        self._most = len(levels)  # of the topic's levels
        if levels[-1] == "#":
            levels.pop()
            self._most = 65_536
        self._least = len(levels)
        self._fixed = [(i, level) for i, level in enumerate(levels) if level != "+"]

    def matches(self, levels: list[str]) -> bool:
        if not self._least <= len(levels) <= self._most:
            return False
        for i, level in self._fixed:
            if levels[i] != level:
                return False
        return not (self._begins_wild and levels[0][:1] == "$")  # [MQTT-4.7.2-1]


def shared_filter(name: str) -> str | None:
    """The topic filter in `$share/name/filter`; "" where that is not well formed, None where it is no shared subscription."""
    if not name.startswith(SHARED):
        return None
    share, slash, wanted = name[len(SHARED) :].partition("/")
    if not share or not slash or "+" in share or "#" in share or not filter_is_valid(wanted):
        return ""  # [MQTT-4.8.2-1], [MQTT-4.8.2-2]
    return wanted


def refusal(name: str, known: int, limits: BrokerLimits) -> int:
    """Reason code with which a subscription is refused, 0 where it is not. `known`: subscriptions the session has without it."""
    if not filter_is_valid(name) or shared_filter(name) == "":
        return TOPIC_FILTER_INVALID
    if name in limits.refused_filters or shared_filter(name) in limits.refused_filters:
        return UNSPECIFIED_ERROR
    if known >= limits.subscriptions or len(name.encode()) > limits.filter_bytes or name.count("/") >= limits.filter_levels:
        return QUOTA_EXCEEDED
    return SUCCESS


class OptionedSubscriber(Subscriber):
    """A session of which a subscription with options or an identifier matches; stands for the session in the routing table."""

    __slots__ = ("_elsewhere", "_identifiers", "_identifiers_elsewhere", "_session", "_with_retain", "granted")

    def __init__(self, session: SubscribedSession, matching: list[tuple[int, int, tuple[int, ...]]]) -> None:
        """`matching`: QoS granted, options, identifiers of each subscription that matches."""
        self._session = session
        self.granted = max(granted for granted, _, _ in matching)
        self._identifiers = tuple(one for _, _, identifiers in matching for one in identifiers)
        own = [entry for entry in matching if not entry[1] & NO_LOCAL]
        self._elsewhere = max((granted for granted, _, _ in own), default=-1)  # what of it a message of its own gets
        self._identifiers_elsewhere = tuple(one for _, _, identifiers in own for one in identifiers)
        self._with_retain = any(options & RETAIN_AS_PUBLISHED for _, options, _ in matching)

    def publish(self, now: float, message: Message, qos: int, retain: bool, out: Out) -> None:
        """`retain` is the publisher's flag, which [MQTT-3.3.1-13] hands on only to those who asked for it."""
        identifiers = self._identifiers
        if self._session.routing:
            if self._elsewhere < 0:
                return  # [MQTT-3.8.3-3]
            qos = min(qos, self._elsewhere)
            identifiers = self._identifiers_elsewhere
        self._session.deliver(now, message, qos, retain and self._with_retain, identifiers, out)


class SharedGroup(Subscriber):
    """The sessions of one shared subscription: each message goes to one of them, in turn, first to those that are connected."""

    __slots__ = ("_members", "_name", "_turns")

    def __init__(self, name: str, turns: dict[str, int]) -> None:
        self._name = name
        self._turns = turns  # the broker's, so that the turn goes on when the routing table is made anew
        self._members: list[tuple[SubscribedSession, int, int, tuple[int, ...]]] = []

    def add(self, session: SubscribedSession, granted: int, options: int, identifiers: tuple[int, ...]) -> None:
        self._members.append((session, granted, options, identifiers))

    def publish(self, now: float, message: Message, qos: int, retain: bool, out: Out) -> None:
        members = self._members
        turn = self._turns.get(self._name, 0) % len(members)
        inorder = members[turn:] + members[:turn]
        chosen = next((member for member in inorder if member[0].reachable), inorder[0])
        self._turns[self._name] = members.index(chosen) + 1
        session, granted, options, identifiers = chosen
        session.deliver(now, message, min(qos, granted), retain and bool(options & RETAIN_AS_PUBLISHED), identifiers, out)
