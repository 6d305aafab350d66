"""What became of messages, from the packets of a program's connections. Pure.

To the vehicle: delivered is what the program acknowledged (PUBACK, with QoS 2 PUBREC), with QoS 0 what its interface received.
Requests too: what the program's application answers nobody knows, so a request has arrived when the program has it.
From the vehicle: each message that the program published is one of telemetry, created when it left the interface, and
delivered when the broker has it (and has acknowledged it, with QoS 1 and 2). What was published into a dead path is seen
when it comes again, if it does.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from sim.live.observed.attempts import Attempt
from sim.live.observed.visits import Seen
from sim.machine import Message
from sim.protocols.mqtt_packets import PubAck, Publish, PubRec
from sim.record.recorder import Recorder, describe
from sim.strategies.sources import TELEMETRY_IDS

_REFUSED = 0x80  # reason codes from here on (MQTT 5 2.4)


class Deliveries:
    """Goes through the connections and writes to `record`. `topic_down`: the topics below which the workload goes down."""

    def __init__(self, record: Recorder, messages: Mapping[int, Message], topic_down: str) -> None:
        self._record = record
        self._messages = messages
        self._topic_down = topic_down
        self._sent: list[tuple[float, Message]] = []
        self._handed: list[tuple[float, Message]] = []
        self._trace: list[tuple[float, str, str, int, int, str]] = []
        self._published: dict[tuple[str | None, int], Message] = {}  # uplink, by client id and packet id
        self._taken: set[int] = set()  # QoS 2 messages that the program has
        self._count = 0

    def read(self, attempts: Sequence[Attempt], end_s: float) -> None:
        """All connections; what happened after `end_s` is left out."""
        for number, one in enumerate(attempts):
            self._connection(number, one, end_s)
        record = self._record
        for at_s, message in sorted(self._sent, key=_instant):
            if record.sent(at_s, message):
                record.on_air(message, message.size_bytes)
        for at_s, message in sorted(self._handed, key=_instant):
            record.deliver(at_s, message, "mqtt")
            if message.reply_bytes:
                # the application's answer cannot be seen: the row of a request is complete when the program has it
                record.deliver(at_s, Message(-1 - message.id, message.kind, "", 0, 0, at_s, reply_to=message.id), "mqtt")
        record.messages_received += sum(not message.uplink for _, message in self._handed)
        for row in sorted(self._trace, key=_instant):
            record.note_trace(*row)

    def _connection(self, number: int, one: Attempt, end_s: float) -> None:
        visit, flow = one.visit, one.flow
        if visit is None:
            return
        going: dict[int, Message] = {}  # to the vehicle, not acknowledged, by packet id
        coming: dict[int, tuple[float, Message]] = {}  # from the vehicle, not acknowledged
        both = [(seen.at_s, 0, seen) for seen in visit.came] + [(seen.at_s, 1, seen) for seen in visit.went]
        for at_s, from_broker, seen in sorted(both, key=lambda entry: entry[:2]):
            if at_s > end_s:
                break
            passed_s = (flow.got if from_broker else flow.sent).at(seen.end)  # at the vehicle's interface
            if from_broker:
                self._from_broker(number, seen, passed_s, going, coming)
            else:
                self._from_vehicle(number, one.client_id, seen, at_s if math.isnan(passed_s) else passed_s, going, coming)

    def _from_broker(
        self, number: int, seen: Seen, received_s: float, going: dict[int, Message], coming: dict[int, tuple[float, Message]]
    ) -> None:
        packet = seen.packet
        message = self._known(packet)
        self._note(seen.at_s, "broker", "send_packet", number, message, packet)
        if received_s == received_s:
            self._note(received_s, "vehicle", "packet_received", number, message, packet)
        if message is not None:
            self._sent.append((seen.at_s, message))
            if packet.qos:
                going[packet.packet_id] = message
            elif received_s == received_s:
                self._handed.append((received_s, message))
        elif isinstance(packet, PubAck | PubRec) and packet.packet_id in coming:
            arrived_s, published = coming.pop(packet.packet_id)
            if getattr(packet, "code", 0) < _REFUSED:
                self._handed.append((arrived_s, published))

    def _from_vehicle(
        self, number: int, client_id: str | None, seen: Seen, sent_s: float,
        going: dict[int, Message], coming: dict[int, tuple[float, Message]],
    ) -> None:  # fmt: skip
        packet = seen.packet
        message = None
        if isinstance(packet, Publish):
            message = self._published_by_program(packet, client_id, sent_s)
            self._sent.append((sent_s, message))
            if packet.qos:
                coming[packet.packet_id] = seen.at_s, message
            else:
                self._handed.append((seen.at_s, message))
        elif isinstance(packet, PubAck | PubRec) and packet.packet_id in going and getattr(packet, "code", 0) < _REFUSED:
            message = going.pop(packet.packet_id)
            if not (isinstance(packet, PubRec) and message.id in self._taken):  # QoS 2 hands over once
                self._handed.append((sent_s, message))
            if isinstance(packet, PubRec):
                self._taken.add(message.id)
        self._note(sent_s, "vehicle", "send_packet", number, message, packet)
        self._note(seen.at_s, "broker", "packet_received", number, message, packet)

    def _known(self, packet: Any) -> Message | None:
        """The workload's message in a packet."""
        if not isinstance(packet, Publish) or packet.message.kind == "other":
            return None
        topic = packet.message.topic
        return self._messages.get(packet.message.id) if topic.startswith(self._topic_down) or not topic else None

    def _published_by_program(self, packet: Publish, client_id: str | None, sent_s: float) -> Message:
        """A new message, or the one that is sent again: DUP, and the same packet id, topic and payload as before."""
        key = client_id, packet.packet_id
        before, wire = self._published.get(key), packet.message
        if packet.dup and before is not None and (before.topic, before.body) == (wire.topic, wire.body):
            return before
        message = Message(
            TELEMETRY_IDS + self._count, "telemetry", wire.topic, wire.size_bytes, packet.qos, sent_s, uplink=True, body=wire.body
        )
        self._count += 1
        self._record.created(message)
        self._record.messages_sent += 1
        if packet.qos:
            self._published[key] = message
        return message

    def _note(self, at_s: float, who: str, what: str, number: int, message: Message | None, packet: Any) -> None:
        self._trace.append((at_s, who, what, number, message.id if message is not None else -1, describe(packet)))


def _instant(entry: tuple[Any, ...]) -> float:
    return float(entry[0])
