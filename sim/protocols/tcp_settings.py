"""Settings of TCP on both ends. What follows from them is in tcp.py."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from sim.settings import setting


@dataclass(frozen=True, slots=True)
class TCP:
    """Timers and buffers of the kernels on both ends."""

    preset: Literal["linux", "rfc6298"] = setting("linux", "linux: timers as measured on Linux; rfc6298: those of the standard")
    retries2: int = setting(
        15,
        "net.ipv4.tcp_retries2: how long data is retransmitted",
        "Linux ip-sysctl: 924.6 s in theory; measured 937.6-939.4 s",
        at_least=1,
        at_most=255,
    )
    mss_bytes: int = setting(
        1448, "maximum segment size, timestamps taken off", "pqc-tls 3: 1448 on MTU 1500, 1368 on 1420", at_least=536
    )
    initial_window: int = setting(10, "initial congestion window in segments", "RFC 6928; Linux", at_least=1)
    slow_start_after_idle: bool = setting(
        True, "the window falls back to the initial one after an idle RTO", "Linux tcp_slow_start_after_idle = 1; RFC 5681 4.1"
    )
    send_buffer_bytes: int = setting(
        4 * 1024 * 1024, "unsent bytes above which a writer is blocked", "Linux tcp_wmem[2], 4 MiB", above=0
    )
    reset_backlog: bool = setting(True, "whether closing with abort drops what is unsent (RST)", "RFC 9293 3.10.4")

    @property
    def rto_min_s(self) -> float:
        return 0.2 if self.preset == "linux" else 1.0

    @property
    def rto_max_s(self) -> float:
        return 120.0 if self.preset == "linux" else 60.0
