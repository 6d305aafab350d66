"""Retained messages (MQTT 3.1.1 3.3.1.3, MQTT 5 3.3.1.3): the last of each topic, kept for later subscribers."""

from __future__ import annotations

from collections.abc import Collection

from sim.machine import Message
from sim.protocols.mqtt_subscriptions import ParsedFilter
from sim.protocols.stored_messages import stored_bytes


class RetainedMessages:
    """At most `most` messages of `most_bytes` together."""

    __slots__ = ("_bytes", "_messages", "_most", "_most_bytes")

    def __init__(self, most: int, most_bytes: int) -> None:
        self._most = most
        self._most_bytes = most_bytes
        self._messages: dict[str, tuple[Message, int, str, list[str]]] = {}  # with QoS, publisher, levels of the topic
        self._bytes = 0

    def put(self, message: Message, qos: int, publisher: str = "") -> bool:
        """Replace what the topic had; without payload remove it [MQTT-3.3.1-10]. False: no room, the topic has none now.

        `publisher` is the client id, for No Local; "" where the message is no client's.
        """
        before = self._messages.pop(message.topic, None)
        if before is not None:
            self._bytes -= stored_bytes(before[0])
        if not message.size_bytes:
            return True
        size = stored_bytes(message)
        if len(self._messages) >= self._most or self._bytes + size > self._most_bytes:
            return False
        self._messages[message.topic] = (message, qos, publisher, message.topic.split("/"))
        self._bytes += size
        return True

    def matching(
        self, filters: list[str], now: float, no_local: Collection[str] = (), subscriber: str = ""
    ) -> list[tuple[Message, int, list[str]]]:
        """The messages that match any of the filters, each once, with those that it matches; expired ones are removed.

        Those of the filters that are in `no_local` match nothing that the subscriber has published itself [MQTT-3.8.3-3].
        """
        found: dict[str, tuple[Message, int, list[str]]] = {}
        for name in dict.fromkeys(filters):
            if "+" not in name and "#" not in name:
                candidates = [name] if name in self._messages else []
            else:
                wanted = ParsedFilter(name)
                candidates = [topic for topic, kept in self._messages.items() if wanted.matches(kept[3])]
            for topic in candidates:
                message, qos, publisher, _levels = self._messages[topic]
                if message.expires_s <= now:  # MQTT 5 3.3.2.3.3
                    self._bytes -= stored_bytes(message)
                    del self._messages[topic]
                elif name not in no_local or publisher != subscriber:
                    found.setdefault(topic, (message, qos, []))[2].append(name)
        return list(found.values())
