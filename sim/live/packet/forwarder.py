"""The forwarder: a process of its own that makes both namespaces, moves packets between their TUN devices, and cleans up.

A process, because the event loop of a live run (and Python's lock) would delay packets by what it happens to do. It is
also the guardian: when its standard input ends, by `stop` or because the lab was killed, it deletes what it made.
First line of its standard input: the plan. Lines of its output, the first and the last once:
{"congestion_control": both ends'}, {"applied": instant of the change of address, "address": new one, "by_hand": whether not
the drive's}, {"outages": all of them}, {"ended": report}.
"""

from __future__ import annotations

import contextlib
import ctypes
import dataclasses
import errno
import gc
import json
import math
import os
import select
import signal
import time
import traceback
from bisect import bisect_right
from collections.abc import Callable, Iterator
from typing import Any, NoReturn

from sim.live.lateness import Lateness
from sim.live.packet.capture import CaptureFile
from sim.live.packet.namespaces import INTERFACE, ask_for_names, delete, entered, make, open_tun, set_sysctl, sysctl
from sim.live.packet.netlink import InterfaceWatch, Netlink
from sim.live.packet.outages import Outage, attached
from sim.live.packet.path import Path
from sim.live.packet.plan import Plan, changes

_QUEUE_PACKETS = 10_000  # of a TUN device: a burst waits there until it is read; losses belong to the path alone
_AT_ONCE = 32  # packets read from one side before the other, and what is due, have their turn
_LOOK_UP_S = 1.0  # the lab's end is looked for at least this often
_CONGESTION_CONTROL = "cubic"  # the model's windows; a host may have another default, such as BBR
_PR_SET_TIMERSLACK = 29


class Forwarder:
    """Owns both TUN devices and the vehicle's address."""

    def __init__(self, plan: Plan) -> None:
        self._drive = self._plan = plan  # as it was meant, and as somebody's hand has left it
        self._outages: list[Outage] = []
        self._path = Path(plan)
        self._capture = CaptureFile(plan.capture, plan.epoch_ns) if plan.capture else None
        self._lateness = Lateness()
        with entered(plan.vehicle):
            self._vehicle_tun = open_tun()
            self._vehicle_net = self._prepare()
            self._watch = InterfaceWatch(self._vehicle_net.index)
        with entered(plan.server):
            self._server_tun = open_tun()
            server_net = self._prepare()
            server_net.add_address(plan.server_address)
            self._congestion_control = _CONGESTION_CONTROL
            try:
                server_net.default_route(plan.server_address, plan.initial_window, _CONGESTION_CONTROL)
            except OSError as error:
                if error.errno != errno.EINVAL:
                    raise
                self._congestion_control = ""  # the kernel has not got it
                server_net.default_route(plan.server_address, plan.initial_window, "")
            say({"congestion_control": self._congestion_control or sysctl("ipv4/tcp_congestion_control")})
            server_net.close()
        self._applied_s = -math.inf
        self._changes = 0  # of the address: how many have begun
        self._lay_changes()
        self._address = ""
        self._begun_s = self._now()
        self._changes_late_ms: list[float] = []

    def _prepare(self) -> Netlink:
        plan = self._plan
        net = Netlink(INTERFACE)
        with contextlib.suppress(OSError):  # a kernel without IPv6; its packets end at the path in any case
            set_sysctl("ipv6/conf/all/disable_ipv6", 1)
        set_sysctl("ipv4/tcp_retries2", plan.retries2)
        set_sysctl("ipv4/tcp_slow_start_after_idle", int(plan.slow_start_after_idle))
        net.interface_up(mtu_bytes=65_536, queue_packets=1_000, index=1)  # the loopback interface
        net.interface_up(mtu_bytes=plan.mtu_bytes, queue_packets=_QUEUE_PACKETS)
        return net

    def run(self) -> None:
        """Until the lab closes our standard input, or is no more."""
        self._apply(self._begun_s)
        sources: list[Any] = [0, self._vehicle_tun, self._server_tun, self._watch]
        while True:
            now = self._now()
            due = min(self._path.next_due(), self._changed_s[self._changes])
            readable, _, _ = select.select(sources, [], [], max(0.0, min(due - now, _LOOK_UP_S)))
            if 0 in readable and not os.read(0, 4096):
                return
            if self._vehicle_tun in readable:
                self._read(self._vehicle_tun, self._from_vehicle)
            if self._server_tun in readable:
                self._read(self._server_tun, self._path.from_server)
            if self._watch in readable:
                self._follow_hand()
            self._forward()
            if not readable and os.getppid() != self._plan.lab_pid:
                return

    def _now(self) -> float:
        return time.monotonic() - self._plan.origin

    def _read(self, tun: int, take: Callable[[float, bytes], None]) -> None:
        for _ in range(_AT_ONCE):
            try:
                packet = os.read(tun, 65_536)
            except BlockingIOError:
                return
            take(self._now(), packet)

    def _from_vehicle(self, now: float, packet: bytes) -> None:
        if self._capture is not None:
            self._capture.write(now, packet, up=True)
        self._path.from_vehicle(now, packet)

    def _forward(self) -> None:
        """Hand over what is due, and change the address between the packets before and after that instant."""
        now = self._now()
        while True:
            changes_s = self._changed_s[self._changes]
            arrived = self._path.due(min(now, changes_s))
            if arrived is None:
                if changes_s > now:
                    return
                self._apply(now)
                continue
            at, to_vehicle, packet = arrived
            try:
                os.write(self._vehicle_tun if to_vehicle else self._server_tun, packet)
            except OSError:
                self._path.fates["interface_down"] += 1
            else:
                if to_vehicle and self._capture is not None:
                    self._capture.write(self._now(), packet, up=False)
            self._lateness.add(max(0.0, self._now() - at))

    def _lay_changes(self) -> None:
        """The instants at which the address changes, with the rows that then begin."""
        plan = self._plan
        self._rows = changes(plan.address)
        self._changed_s = [-math.inf, *(plan.start_s[row] for row in self._rows[1:]), math.inf]
        if self._changes:
            self._changes = bisect_right(self._changed_s, self._applied_s, hi=len(self._changed_s) - 1)

    def _apply(self, now: float) -> None:
        """Give the vehicle the address that the drive has now."""
        while self._changed_s[self._changes] <= now:
            self._changes += 1
        address = self._plan.address[self._rows[self._changes - 1]]
        if self._address:
            with ignored(errno.EADDRNOTAVAIL):  # somebody in the namespace deleted it
                self._vehicle_net.delete_address(self._address)
        self._address = address
        if address:
            self._vehicle_net.add_address(address)
            self._route()
        self._applied_s = self._changed_s[self._changes - 1]
        if self._applied_s > self._begun_s:
            self._changes_late_ms.append(round(1e3 * (self._now() - self._applied_s), 3))
        by_hand = any(self._applied_s in (outage.down_s, outage.attached_s) for outage in self._outages)
        say({"applied": self._applied_s, "address": address, "by_hand": by_hand})

    def _route(self) -> None:
        """The default route, which goes with the interface: it comes with the address, as a modem's network manager has it."""
        with ignored(errno.ENETDOWN):
            self._vehicle_net.default_route(self._address, self._plan.initial_window, self._congestion_control)

    def _follow_hand(self) -> None:
        """Somebody took the interface down, or up again."""
        drive, outages = self._drive, self._outages
        for up in self._watch.changes():
            now = self._now()
            if not up and outages and outages[-1].attached_s > now:
                outages[-1] = Outage(outages[-1].down_s)  # down again before it had an address: one outage
            elif not up:
                outages.append(Outage(now))
            elif outages:
                outages[-1] = attached(
                    drive.start_s, drive.address, outages, now, drive.restart_delay_s, drive.restart_keeps_address
                )
        self._plan = drive.after(outages)
        self._path.follow(self._plan)
        self._lay_changes()
        say({"outages": [dataclasses.asdict(outage) for outage in outages]})

    def close(self) -> dict[str, Any]:
        """Let go of the devices; returns what there is to report."""
        os.close(self._vehicle_tun)
        os.close(self._server_tun)
        self._watch.close()
        self._vehicle_net.close()
        if self._capture is not None:
            self._capture.close()
        for address, port, at_s in self._path.idle_ends(self._now()):
            say({"idle_end": [address, port, at_s]})
        return {
            "packets": dict(self._path.fates),
            "lateness": self._lateness.summary(),
            "address_changes_late_ms": self._changes_late_ms,
        }


@contextlib.contextmanager
def ignored(number: int) -> Iterator[None]:
    """Ignore one error number."""
    try:
        yield
    except OSError as error:
        if error.errno != number:
            raise


def say(message: dict[str, Any]) -> None:
    """One line to the lab; nobody hears it where the lab was killed."""
    with contextlib.suppress(BrokenPipeError):
        os.write(1, json.dumps(message).encode() + b"\n")


def read_plan() -> Plan:
    """The first line of standard input; raises EOFError where the lab ended before it was through."""
    parts = []
    while True:
        part = os.read(0, 1 << 20)
        if not part:
            raise EOFError
        parts.append(part)
        if part.endswith(b"\n"):
            return Plan.from_line(b"".join(parts))


def be_on_time() -> bool:
    """Ask for exact timers and for precedence over programs that merely compute; returns whether that was granted.

    Measured on two cores shared with four busy loops, packets handed over later than planned (p50 / p99): with precedence
    0.1 / 0.2 ms (most: 0.4 ms, under a 20 Mbit/s flow 1 to 6 ms), without it 0.1 / 47 to 134 ms.
    """
    gc.freeze()
    gc.disable()  # packets make no cycles
    ctypes.CDLL(None).prctl(_PR_SET_TIMERSLACK, 1, 0, 0, 0)
    try:
        os.sched_setscheduler(0, os.SCHED_RR | os.SCHED_RESET_ON_FORK, os.sched_param(1))
    except OSError:  # a container without CAP_SYS_NICE
        return False
    return True


def main() -> int:
    def end(*_: object) -> NoReturn:
        raise SystemExit(1)

    signal.signal(signal.SIGTERM, end)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        plan = read_plan()
    except EOFError:
        return 1
    report: dict[str, Any] = {}
    try:
        make(plan.vehicle)
        make(plan.server)
        ask_for_names(plan.vehicle, plan.server_address)
        forwarder = Forwarder(plan)
        precedence = be_on_time()
        try:
            forwarder.run()
        finally:
            report = {"precedence": precedence, **forwarder.close()}
    except Exception:
        report["failed"] = traceback.format_exc()
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        delete(plan.vehicle)
        delete(plan.server)
        say({"ended": report})
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
