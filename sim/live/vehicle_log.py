"""The vehicle's log, as an engineer would read it while it drives: live.log in the run's folder, a line for each event.

2026-11-24T22:51:03.123+00:00   20.331 s  mqtt_persistent: Reconnected successfully from 10.2.5.200, session present, ...
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from pathlib import Path
from typing import TextIO

from sim.live.strangers import Strangers
from sim.machine import Note
from sim.record.recorder import Connection

_WHY = {
    "address": "the address changed",
    "keep_alive": "no answer to PINGREQ",
    "closed": "closed by the server",
    "reset": "reset",
    "timed_out": "TCP timed out",
    "refused": "refused",
    "connect_timeout": "not done within the connect timeout",
    "name_failed": "the server's name was not resolved",
    "no_address": "no address",
    "no_route": "no route",
    "tls_failed": "TLS failed",
    "wrong_peer": "the server's certificate bears another name",
    "taken_over": "another client connected with this client id",
    "disconnected": "the client said DISCONNECT",
    "not_observed": "the client ended it, why was not observed",
}
_STATES = {
    "https_fallback": "MQTT is down, switching to HTTPS polling",
    "mqtt_primary": "MQTT is back, polling ends",
    "registered": "The server knows this address",
    "unregistered": "The server does not know this address",
}


class LogFile:
    """live.log, shared by the strategies of a run. Lines are there as soon as they are written."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file: TextIO = path.open("w", encoding="utf-8", buffering=1)

    def line(self, who: str, at: datetime, now: float, text: str) -> None:
        """`at` is the wall clock, `now` in s of the drive."""
        if not self._file.closed:
            self._file.write(f"{at.isoformat(timespec='milliseconds')} {now:9.3f} s  {who}: {text}\n")

    def close(self) -> None:
        self._file.close()


class VehicleLog:
    """Turns what a vehicle's host sees into lines. `write(now, text)`."""

    def __init__(self, write: Callable[[float, str], None], strangers: Strangers | None = None) -> None:
        self._write = write
        self._strangers = strangers
        self._address = ""
        self._connected_before = False
        self._lost_s = 0.0

    def address(self, now: float, address: str | None) -> None:
        """The interface has another address, or none."""
        if address is None:
            self._write(now, f"Address lost: {self._address or 'none'}")
        elif not self._address:
            self._write(now, f"Address: {address}")
        else:
            self._write(now, f"Address changed: {self._address} -> {address}")
        self._address = address or self._address

    def note(self, now: float, note: Note, row: Connection | None) -> None:
        """A note of the vehicle's machine; `row` is the connection that it is about."""
        if note.kind == "ready" and row is not None and row.purpose == "mqtt":
            self.ready(now, row)
        elif note.kind == "failed" and row is not None and row.purpose == "mqtt":
            self._failed(now, note.detail)
        elif note.kind in _STATES:
            self._write(now, _STATES[note.kind])

    def ready(self, now: float, row: Connection) -> None:
        """Messages can flow over this connection."""
        session = {1: "session present", 0: "no session present"}.get(row.session_present, "")
        text = f"from {row.address or 'no address'}" + (f", {session}" if session else "")
        if self._connected_before:
            self._write(now, f"Reconnected successfully {text}, {now - self._lost_s:.3f} s after the connection was lost")
        else:
            self._write(now, f"Connected successfully {text}")
        self._connected_before = True

    def ended(self, now: float, row: Connection, reason: str) -> str:
        """A connection or an attempt ends; returns the reason as it should be recorded."""
        if row.purpose != "mqtt":
            return reason
        if row.ready_s != row.ready_s:
            self._failed(now, reason)
            return reason
        stranger = None
        if self._strangers is not None and reason in ("closed", "reset"):
            stranger = self._strangers.since(row.connack_s)
        reason = "taken_over" if stranger is not None else reason
        who = f", from {stranger.near[0]}:{stranger.near[1]}" if stranger is not None else ""
        self._write(now, f"Connection lost: {_in_words(reason)}{who}")
        self._lost_s = now
        return reason

    def _failed(self, now: float, reason: str) -> None:
        self._write(now, f"Connection failed: {_in_words(reason)}")


def replay(rows: Sequence[Connection], log: VehicleLog) -> None:
    """Lines for connections that were read from packets afterwards."""
    events: list[tuple[float, int, Connection]] = []
    for row in rows:
        events += [(at, kind, row) for kind, at in enumerate((row.ready_s, row.noticed_s)) if at == at]
    for at, kind, row in sorted(events, key=lambda event: event[:2]):
        if kind:
            log.ended(at, row, row.reason)
        else:
            log.ready(at, row)


def _in_words(reason: str) -> str:
    return _WHY.get(reason, reason.replace("_", " ") or "reason not known")
