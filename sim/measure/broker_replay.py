"""What a broker did with each message for one client, played again from what was seen outside it.

The sessions are known (`broker_view`), and so is how this broker behaves; which messages arrived is evidence, and never
contradicted: what arrived was not dropped. What did not arrive takes the way that the behaviour gives it, through window and
queue, and its cause is where that way ends.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sim.measure.broker_view import Attached, Session
from sim.record.causes import UNATTRIBUTED

Row = Mapping[str, Any]
# order of what happens at one instant
_RESTART, _END, _DETACH, _ATTACH, _HANDED, _CREATED = range(6)


@dataclass(slots=True)
class _Entry:
    row: Row
    qos: int
    expires_s: float
    sent_s: float = math.nan  # on the connection that stands
    unacknowledged: bool = False  # it arrived, and its acknowledgement did not
    nearly_dropped: bool = False  # the queue was full but for one: acknowledgements on the way are not seen

    @property
    def arrives(self) -> bool:
        return self.row["handed_s"] is not None


class BrokerReplay:
    """One client's messages through its sessions. `causes`: message -> cause of those that did not arrive, "": still held."""

    def __init__(
        self,
        downlink: Sequence[Row],
        sessions: Sequence[Session],
        behaviour: Mapping[str, Any],
        settings: Mapping[str, Any],
        workload: Mapping[str, Any],
        horizon_s: float,
        restarts_s: Sequence[float] = (),
    ) -> None:
        """`restarts_s`: when the broker was killed. What it had of QoS 0 in a queue is then gone: no disk gets that."""
        self.causes: dict[int, str] = {}
        self._behaviour = behaviour
        self._window = int(behaviour["inflight_limit"])
        if settings.get("version") == "5":
            self._window = min(self._window, int(settings.get("receive_maximum") or 65535))
        kinds = [workload.get("ota") or {}, workload.get("diagnostics") or {}]
        asked = [int(kind["qos"]) for kind in kinds if "qos" in kind]
        self._granted = min(max(asked, default=1), int(behaviour["qos_max"]))
        self._lives_s = _lives_s(workload) if behaviour["mqtt5"] else {}
        self._inflight: dict[int, _Entry] = {}
        self._queue: deque[_Entry] = deque()
        self._session: Session | None = None
        self._on: Attached | None = None
        self._qos0: list[_Entry] = []  # sent on the connection that stands
        for time_s, _, what, about in _events(downlink, sessions, restarts_s):
            if time_s >= horizon_s:
                break
            if what == _CREATED:
                self._created(time_s, about)
            elif what == _HANDED:
                self._handed(time_s, about)
            elif what == _ATTACH:
                self._attach(time_s, *about)
            elif what == _DETACH:
                self._on = None
            elif what == _RESTART:
                self._restart()
            else:
                self._discard(about)
        self._still_held(downlink)

    def _lost(self, entry: _Entry, cause: str) -> None:
        if not entry.arrives:
            self.causes[entry.row["message"]] = cause

    # --- sessions -----------------------------------------------------------------------------------------------------------

    def _attach(self, now: float, session: Session, attached: Attached) -> None:
        self._session, self._on = session, attached
        self._qos0.clear()
        for number, entry in list(self._inflight.items()):
            if entry.unacknowledged:
                del self._inflight[number]  # it arrives again, at once
            elif not self._behaviour["redeliver_inflight"]:
                del self._inflight[number]
                self._lost(entry, "qos0_dead_transport")
        for entry in self._inflight.values():
            entry.sent_s = now
        self._pump(now)

    def _discard(self, session: Session) -> None:
        for entry in (*self._inflight.values(), *self._queue):
            self._lost(entry, session.end_cause)
        self._inflight.clear()
        self._queue.clear()
        self._session = self._on = None

    def _restart(self) -> None:
        for entry in [one for one in self._queue if one.qos == 0 and not one.arrives]:
            self._queue.remove(entry)
            self._lost(entry, "broker_restart")

    # --- messages -----------------------------------------------------------------------------------------------------------

    def _created(self, now: float, row: Row) -> None:
        behaviour = self._behaviour
        qos = self._granted if behaviour["raises_qos"] else min(int(row["qos"]), self._granted)
        entry = _Entry(row, qos, now + self._lives_s.get(row["kind"], math.inf))
        if row["size_bytes"] > behaviour["packet_limit_bytes"]:
            self._lost(entry, "payload_too_large")
        elif self._session is None or now < self._session.subscribed_s:
            self._lost(entry, "no_subscription")
        elif self._on is not None and not self._on.deaf:
            full = len(self._inflight) >= self._window
            if qos == 0 and not (full and behaviour["window_holds_qos0"]):
                self._send_qos0(now, entry)
            elif qos > 0 and not full and not self._queue:
                self._send(now, entry)
            else:
                self._enqueue(entry)
        elif qos == 0 and not behaviour["queue_qos0"]:
            self._lost(entry, "qos0_offline")
        else:
            self._enqueue(entry)

    def _send(self, now: float, entry: _Entry) -> None:
        entry.sent_s = now
        self._inflight[entry.row["message"]] = entry

    def _send_qos0(self, now: float, entry: _Entry) -> None:
        entry.sent_s = now
        self._qos0.append(entry)
        self._lost(entry, "qos0_dead_transport")

    def _enqueue(self, entry: _Entry) -> None:
        """A full queue drops the newest or the oldest; what arrived later cannot have been dropped."""
        queue, limit = self._queue, int(self._behaviour["queue_limit"])
        candidates = [*queue, entry] if self._behaviour["queue_drop"] == "oldest" and queue else [entry]
        if len(queue) + 1 >= limit:
            candidates[0].nearly_dropped = True
        if len(queue) >= limit:
            dropped = next((one for one in candidates if not one.arrives), None)
            if dropped is not None:
                self._lost(dropped, "queue_full")
            if dropped is entry:
                return
            if dropped is not None:
                queue.remove(dropped)
        queue.append(entry)

    def _handed(self, now: float, row: Row) -> None:
        number = row["message"]
        if number in self._inflight and row["arrivals"] > 1 and self._behaviour["redeliver_inflight"]:
            self._inflight[number].unacknowledged = True
            return
        entry = self._inflight.pop(number, None)
        if entry is None:
            entry = next((one for one in self._queue if one.row["message"] == number), None)
            if entry is None:
                return  # QoS 0
            self._queue.remove(entry)
        self._pump(now)

    def _pump(self, now: float) -> None:
        if self._on is None or self._on.deaf:
            return
        while self._queue and len(self._inflight) < self._window:
            entry = self._queue.popleft()
            if entry.expires_s <= now and not entry.arrives:
                self._lost(entry, "message_expired")
            elif entry.qos == 0:
                self._send_qos0(now, entry)
            else:
                self._send(now, entry)

    # --- the end ------------------------------------------------------------------------------------------------------------

    def _still_held(self, downlink: Sequence[Row]) -> None:
        """What is left waits for its next connection or its window; a transport keeps the order, so that nothing is skipped.

        But for a broker that leaves what was overtaken inside it for the next connection.
        """
        last_s = -math.inf  # sending of the last message that has arrived on the connection that stands
        if self._on is not None and math.isinf(self._on.path_end_s):
            arrived = [row["created_s"] for row in downlink if row["handed_s"] is not None and row["via"] == "mqtt"]
            last_s = max(arrived, default=-math.inf)
        for entry in self._qos0:
            if entry.sent_s < last_s:
                self._lost(entry, UNATTRIBUTED)
        for entry in self._inflight.values():
            skipped = "queue_full" if entry.nearly_dropped else "" if self._behaviour.get("overtaken_waits") else UNATTRIBUTED
            self._lost(entry, skipped if entry.sent_s < last_s else "")
        for entry in self._queue:
            self._lost(entry, "")


def _lives_s(workload: Mapping[str, Any]) -> dict[str, float]:
    """Kind -> message expiry interval in s, where messages of that kind have one."""
    diagnostics, probes = workload.get("diagnostics") or {}, workload.get("probes") or {}
    found = {"diagnostics": float(diagnostics["timeout_s"])} if diagnostics.get("expire") else {}
    return found | ({"probe": float(probes["within_s"])} if "within_s" in probes else {})


def _events(
    downlink: Sequence[Row], sessions: Sequence[Session], restarts_s: Sequence[float]
) -> list[tuple[float, int, int, Any]]:
    found: list[tuple[float, int, int, Any]] = [(at_s, number, _RESTART, None) for number, at_s in enumerate(restarts_s)]
    for session in sessions:
        for each in session.attached:
            found.append((each.at_broker_s, len(found), _ATTACH, (session, each)))
            found.append((each.noticed_by_broker_s, len(found), _DETACH, each))
        if math.isfinite(session.ended_s):
            found.append((session.ended_s, len(found), _END, session))
    for row in downlink:
        found.append((row["created_s"], len(found), _CREATED, row))
        if row["handed_s"] is not None and row["via"] in ("", "mqtt"):
            found.append((row["handed_s"], len(found), _HANDED, row))
    return sorted(found, key=lambda event: (event[0], event[2], event[1]))
