"""Strategy 3, the vehicle's side: MQTT first; while it is down poll over HTTPS, and MQTT is retried in the background.

The seed's CommunicationManager: attempt, and where that fails, poll. Modes: mqtt_primary <-> https_fallback.
"""

from __future__ import annotations

from collections.abc import Iterator
from enum import Enum
from typing import Any, Final

from sim.machine import (
    Deadlines,
    MachineBase,
    Message,
    MessageCreated,
    NameFailed,
    NameResolved,
    Note,
    PacketReceived,
    TransportLost,
    TransportOpened,
    WriteBlocked,
    WriteResumed,
)
from sim.protocols.http import Endpoint, HTTPClient, HTTPRequest, HTTPResponse
from sim.strategies.application import Receipts, receipt_bytes
from sim.strategies.config import Hybrid as HybridSettings
from sim.strategies.context import Context
from sim.strategies.mqtt_vehicle import MQTTVehicle, TransportIds
from sim.strategies.mqtt_vehicle import State as MQTTState
from sim.subclassing import mypyc_attr


class Mode(Enum):
    """Which channel carries messages."""

    __hash__ = object.__hash__  # the default hashes the name, in Python, on every look-up

    MQTT_PRIMARY = "mqtt_primary"
    HTTPS_FALLBACK = "https_fallback"


TRANSITIONS: Final[dict[Mode, frozenset[Mode]]] = {
    Mode.MQTT_PRIMARY: frozenset({Mode.HTTPS_FALLBACK}),
    Mode.HTTPS_FALLBACK: frozenset({Mode.MQTT_PRIMARY}),
}

Out = list[Any]
_RECEIPTS: Final = 100  # ids beyond the contiguous ones that a poll tells
_POST_BATCH: Final = 20


@mypyc_attr(allow_interpreted_subclasses=True)
class HybridVehicle(MachineBase):
    """Owns the MQTT machine, a poller and, where uplink is posted, a second HTTP client."""

    __slots__ = (
        "_config",
        "_context",
        "_ever_online",
        "_mqtt",
        "_path",
        "_poller",
        "_poster",
        "_posting",
        "_receipts",
        "deadlines",
        "mode",
    )

    def __init__(self, config: HybridSettings, context: Context) -> None:
        self._config = config
        self._context = context
        self.deadlines = Deadlines()
        new_id = TransportIds()
        self._mqtt = MQTTVehicle(config, context, deadlines=self.deadlines, new_id=new_id)
        self._mqtt.on_change = self._mqtt_changed
        self._mqtt.on_message = self._arrived_by_mqtt
        self._mqtt.auto_retry = config.retry == "backoff"
        server = context.server
        self._path = f"/api/v1/vehicles/{context.vin}/pending-messages"
        self._poller = HTTPClient(
            deadlines=self.deadlines,
            deadline="poll_timeout",
            endpoint=Endpoint(server.name, server.https_port, peer=server.name),
            mode=config.http,
            timeout_s=config.poll_timeout_s,
            new_id=new_id,
            purpose="poll",
            on_response=self._polled,
            on_failure=self._poll_failed,
        )
        self._poster = HTTPClient(
            deadlines=self.deadlines,
            deadline="post_timeout",
            endpoint=Endpoint(server.name, server.https_port, peer=server.name),
            mode=config.http,
            timeout_s=config.poll_timeout_s,
            new_id=new_id,
            purpose="post",
            on_response=self._posted,
            on_failure=self._post_failed,
        )
        self._posting: tuple[Message, ...] = ()
        self._receipts = Receipts()
        self._ever_online = False
        self.mode = Mode.MQTT_PRIMARY

    # --- the contract ---------------------------------------------------------------------------------------------------

    def handle(self, now: float, event: Any) -> Out:
        out: Out = []
        kind = type(event)
        if kind in (PacketReceived, TransportOpened, TransportLost, WriteBlocked, WriteResumed):
            for client in (self._poller, self._poster):
                if event.transport == client.transport:
                    self._http_input(now, client, event, out)
                    return out
        if kind in (NameResolved, NameFailed):
            for client in (self._poller, self._poster):
                if kind is NameResolved:
                    client.name_resolved(now, event, out)
                else:
                    client.name_failed(now, event, out)
        self._mqtt.input(now, event, out)
        if kind is MessageCreated:
            self._post_waiting(now, out)
        return out

    def next_deadline(self) -> float:
        return self.deadlines.earliest

    def handle_deadline(self, now: float) -> Out:
        out: Out = []
        while (name := self.deadlines.due(now)) is not None:
            if name == "poll":
                self._poll_due(now, out)
            elif name == "fallback":
                self._exchange(now, out)
            elif name == "poll_timeout":
                self._poller.deadline_passed(now, out)
            elif name == "post_timeout":
                self._poster.deadline_passed(now, out)
            elif name == "post":
                self._post_waiting(now, out)
            else:
                self._mqtt.deadline_passed(now, name, out)
        return out

    def held(self) -> Iterator[Message]:
        yield from self._mqtt.held()
        yield from self._posting

    def let_go(self) -> None:
        for client in (self._poller, self._poster):
            client.let_go()
        self._mqtt.let_go()

    def _http_input(self, now: float, client: HTTPClient, event: Any, out: Out) -> None:
        if isinstance(event, TransportOpened):
            client.opened(now, out)
        elif isinstance(event, TransportLost):
            client.lost(now, event.reason, out)
        elif isinstance(event, PacketReceived):
            client.received(now, event.packet, out)

    # --- modes ----------------------------------------------------------------------------------------------------------

    def _mqtt_changed(self, now: float, state: MQTTState, out: Out) -> None:
        if state is MQTTState.PARKED:
            # it sleeps on both ways, and begins with MQTT when it is back
            if self.mode is Mode.HTTPS_FALLBACK:
                self._enter(Mode.MQTT_PRIMARY, out)
            self.deadlines.clear("poll", "fallback", "post")
            self._poller.abandon(out, "parked")
            self._poster.abandon(out, "parked")
            posting, self._posting = self._posting, ()
            self._mqtt.put_back(posting, out)
        elif state is MQTTState.ONLINE:
            self._ever_online = True
            if self.mode is Mode.HTTPS_FALLBACK:
                self._enter(Mode.MQTT_PRIMARY, out)
                self.deadlines.clear("poll")
                self.deadlines.clear("fallback")
        elif state is not MQTTState.BACKING_OFF:
            return
        elif self.mode is Mode.MQTT_PRIMARY:
            # attempt, then poll: the fallback begins when the first attempt has failed, as in the seed
            self._enter(Mode.HTTPS_FALLBACK, out)
            self.deadlines.set("fallback", now + self._config.fallback_after_s)
        elif self._config.retry == "with_poll":
            # the seed's loop: the attempt blocks, and only where it has failed is there a poll
            self._exchange(now, out)

    def _enter(self, mode: Mode, out: Out) -> None:
        if mode not in TRANSITIONS[self.mode]:
            raise RuntimeError(f"hybrid: {self.mode} -> {mode} is not in the table")
        self.mode = mode
        out.append(Note(mode.value))

    # --- polling --------------------------------------------------------------------------------------------------------

    def _poll_due(self, now: float, out: Out) -> None:
        if self.mode is not Mode.HTTPS_FALLBACK:
            return
        if self._config.retry == "with_poll":
            if self._mqtt.state is MQTTState.BACKING_OFF:
                self._mqtt.attempt(now, "retry", out)
            return
        self._exchange(now, out)

    def _exchange(self, now: float, out: Out) -> None:
        """Poll, post what waits, and do so again after the period."""
        if not self._poller.busy:
            self._poll(now, "due", out)
        self._post_waiting(now, out)
        self.deadlines.set("poll", now + self._config.poll_s)

    def _poll(self, now: float, trigger: str, out: Out) -> None:
        beyond = self._receipts.beyond(_RECEIPTS)
        body = {"batch": self._config.poll_batch, "ack": self._config.ack, "through": self._receipts.through, "beyond": beyond}
        request = HTTPRequest("GET", self._path, body, receipt_bytes(len(beyond)))
        self._poller.send(now, request, out, trigger=trigger)

    def _arrived_by_mqtt(self, message: Message) -> None:
        self._receipts.add(message.id)

    def _polled(self, now: float, response: HTTPResponse, out: Out) -> None:
        for message in response.messages:
            self._receipts.add(message.id)
            reply = self._mqtt.application.receive(now, message, "poll", out)
            if self._mqtt.update is not None and message.kind == "ota":
                self._mqtt.update.announced(now, out)
            if reply is not None:
                self._mqtt.send(now, reply, out)
        if not response.messages:
            return
        self._post_waiting(now, out)
        full = len(response.messages) >= self._config.poll_batch and self._config.poll_drains
        if full and self.mode is Mode.HTTPS_FALLBACK:
            self._poll(now, "full_batch", out)  # it acknowledges too
        elif self._config.ack == "explicit":
            ids = [message.id for message in response.messages]
            self._poller.send(now, HTTPRequest("POST", self._path + "/ack", {"ids": ids}, receipt_bytes(len(ids))), out)

    def _poll_failed(self, now: float, reason: str, out: Out) -> None:
        """The next poll comes when it is due."""

    # --- uplink in fallback -----------------------------------------------------------------------------------------------

    def _post_waiting(self, now: float, out: Out) -> None:
        if self._config.uplink != "post" or self.mode is not Mode.HTTPS_FALLBACK or self._poster.busy:
            return
        self._posting = self._mqtt.take_outbox(_POST_BATCH)
        if self._posting:
            request = HTTPRequest(
                "POST", f"/api/v1/vehicles/{self._context.vin}/telemetry", messages=self._posting, purpose="payload"
            )
            self._poster.send(now, request, out, trigger="message")

    def _posted(self, now: float, response: HTTPResponse, out: Out) -> None:
        self._posting = ()
        # not from within on_response: the transport may be kept open and would be seen as going on
        self.deadlines.set("post", now)

    def _post_failed(self, now: float, reason: str, out: Out) -> None:
        posting, self._posting = self._posting, ()
        self._mqtt.put_back(posting, out)
